"""Reading any common picture as 8-bit RGB, and what is said of files that are none."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from png import png16

from reprolib.data.images import list_images, pixel_hash, read_rgb, read_size, write_png
from reprolib.errors import UserError


@pytest.fixture
def rgb() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (9, 13, 3), dtype=np.uint8)


def test_png_round_trip_is_exact_and_stable(tmp_path: Path, rgb: np.ndarray) -> None:
    write_png(tmp_path / "new" / "a.png", rgb)
    write_png(tmp_path / "b.png", read_rgb(tmp_path / "new" / "a.png"))
    assert np.array_equal(read_rgb(tmp_path / "b.png"), rgb)
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "new" / "a.png").read_bytes()
    assert read_size(tmp_path / "b.png") == (13, 9)
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["a.png", "b.png"], "nothing temporary is left"


@pytest.mark.parametrize("suffix", [".bmp", ".tif", ".webp"])
def test_lossless_formats(tmp_path: Path, rgb: np.ndarray, suffix: str) -> None:
    Image.fromarray(rgb).save(tmp_path / f"a{suffix}", **({"lossless": True} if suffix == ".webp" else {}))
    assert np.array_equal(read_rgb(tmp_path / f"a{suffix}"), rgb)


def test_compressed_tiff(tmp_path: Path, rgb: np.ndarray) -> None:
    Image.fromarray(rgb).save(tmp_path / "a.tif", compression="tiff_lzw")
    assert np.array_equal(read_rgb(tmp_path / "a.tif"), rgb)


def test_greyscale_is_repeated(tmp_path: Path, rgb: np.ndarray) -> None:
    Image.fromarray(rgb[..., 0]).save(tmp_path / "a.png")
    assert np.array_equal(read_rgb(tmp_path / "a.png"), np.stack([rgb[..., 0]] * 3, axis=-1))


def test_transparency_is_dropped_and_not_blended(tmp_path: Path, rgb: np.ndarray) -> None:
    alpha = np.zeros((9, 13, 1), np.uint8)
    Image.fromarray(np.concatenate([rgb, alpha], axis=2)).save(tmp_path / "a.png")
    assert np.array_equal(read_rgb(tmp_path / "a.png"), rgb)
    Image.fromarray(np.concatenate([rgb[..., :1], alpha], axis=2)).save(tmp_path / "grey.png")
    assert np.array_equal(read_rgb(tmp_path / "grey.png"), np.repeat(rgb[..., :1], 3, axis=2))


def test_palette(tmp_path: Path) -> None:
    colours = np.array([[10, 20, 30], [200, 100, 0]], np.uint8)
    index = np.random.default_rng(0).integers(0, 2, (6, 5)).astype(np.uint8)
    image = Image.frombytes("P", (5, 6), index.tobytes())
    image.putpalette(colours.tobytes())
    image.save(tmp_path / "a.png", transparency=0)
    assert np.array_equal(read_rgb(tmp_path / "a.png"), colours[index])


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bit_png_is_rounded(tmp_path: Path, channels: int) -> None:
    """65535 / 255 = 257, so the nearest 8-bit value is round(v / 257); the high byte is often one off."""
    deep = np.random.default_rng(1).integers(0, 65536, (40, 30, channels), dtype=np.uint16)
    deep[0, :4, 0] = [0, 65535, 128, 129]
    colours = deep[..., :3] if channels >= 3 else np.repeat(deep[..., :1], 3, axis=2)
    expected = np.rint(colours / 257)
    assert (expected != colours >> 8).any()
    assert np.array_equal(read_rgb(png16(tmp_path / "a.png", deep)), expected)


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3)])
def test_sixteen_bit_tiff_is_rounded(tmp_path: Path, shape: tuple[int, ...]) -> None:
    deep = np.random.default_rng(1).integers(0, 65536, shape, dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb" if len(shape) == 3 else "minisblack")
    expected = np.rint(deep / 257)
    assert np.array_equal(read_rgb(tmp_path / "a.tif"), expected if len(shape) == 3 else np.stack([expected] * 3, -1))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tif"])
def test_truncated_at_any_place_is_one_clear_error(tmp_path: Path, suffix: str) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    whole, cut = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    Image.fromarray(picture).save(whole)
    content = whole.read_bytes()
    for share in (0, 0.001, 0.01, 0.1, 0.5, 0.9):
        cut.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(UserError) as caught:
            read_rgb(cut)
        assert str(cut) in str(caught.value) and "\n" not in str(caught.value)
        assert any(word in str(caught.value) for word in ("not a picture", "truncated", "an empty file"))


@pytest.mark.parametrize("channels", [1, 3])
def test_truncated_sixteen_bit_png(tmp_path: Path, channels: int) -> None:
    path = png16(tmp_path / "a.png", np.random.default_rng(0).integers(0, 65536, (40, 30, channels), dtype=np.uint16))
    path.write_bytes(path.read_bytes()[:800])
    with pytest.raises(UserError, match="truncated"):
        read_rgb(path)


def test_missing_and_other_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such picture.*check the path"):
        read_rgb(tmp_path / "a.png")
    (tmp_path / "a.png").write_text("404")
    with pytest.raises(UserError, match="not a picture.*expected PNG"):
        read_rgb(tmp_path / "a.png")
    with pytest.raises(UserError, match="no such picture"):
        read_rgb(tmp_path)


def test_listing_is_natural_and_only_of_pictures(tmp_path: Path) -> None:
    for name in ("10.png", "2.PNG", "1_10.jpg", "1_9.jpg", "notes.txt", "._2.png", "a3b.png", "a3.png"):
        (tmp_path / name).touch()
    assert [p.name for p in list_images(tmp_path)] == ["1_9.jpg", "1_10.jpg", "2.PNG", "10.png", "a3.png", "a3b.png"]


def test_listing_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no pictures here"):
        list_images(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        list_images(tmp_path / "gone")


def test_pixel_hash_sees_names_shapes_and_pixels(rgb: np.ndarray) -> None:
    base = pixel_hash([("a", rgb), ("b", rgb)])
    other = rgb.copy()
    other[0, 0, 0] ^= 1
    turned = rgb.reshape(13, 9, 3)
    changed = [[("a", rgb)], [("b", rgb), ("a", rgb)], [("a", other), ("b", rgb)], [("a", turned), ("b", rgb)]]
    assert len({base, *map(pixel_hash, changed)}) == 5
    flipped = rgb[:, ::-1]
    assert pixel_hash([("a", flipped)]) == pixel_hash([("a", flipped.copy())]), "memory layout does not matter"
    by_hand = hashlib.sha256(b"a (9, 13, 3) uint8\n" + rgb.tobytes()).hexdigest()
    assert by_hand.startswith(pixel_hash([("a", rgb)]))
