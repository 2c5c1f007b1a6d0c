"""Format by layout: the exact pixels of every kind of file, written by another hand than the one that reads it."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps
from png import png16

from reprolib.data.images import list_images, read_photo, read_rgb, read_size
from reprolib.errors import UserError

RANDOM = np.random.default_rng(0)
EIGHT = RANDOM.integers(0, 256, (20, 30, 4), dtype=np.uint8)
DEEP = RANDOM.integers(0, 65536, (20, 30, 4), dtype=np.uint16)
RGB8, GREY8, RGB16, GREY16 = EIGHT[..., :3], EIGHT[..., 0], DEEP[..., :3], DEEP[..., 0]
BITS = RANDOM.integers(0, 2, (20, 30)).astype(bool)


def grey(values_HW: np.ndarray) -> np.ndarray:
    return np.stack([values_HW] * 3, axis=-1)


def rounded(values: np.ndarray) -> np.ndarray:
    return np.rint(values / 257)


def from_cmyk(inks: np.ndarray) -> np.ndarray:
    """Without a profile: what the inks leave of white, rounded down as Pillow's own conversion does."""
    return np.asarray(Image.frombytes("CMYK", (30, 20), np.ascontiguousarray(inks).tobytes()).convert("RGB"))


def tiff(values: np.ndarray, **how: object) -> Callable[[Path], None]:
    return lambda path: tifffile.imwrite(path, values, metadata=None, **how)


def pillow(values: np.ndarray, mode: str | None = None, **how: object) -> Callable[[Path], None]:
    return lambda path: (Image.fromarray(values) if mode is None else Image.fromarray(values).convert(mode)).save(
        path, **how)


PLANES8, PLANES16 = (np.moveaxis(a, -1, 0).copy() for a in (RGB8, RGB16))
SEPARATE = {"photometric": "rgb", "planarconfig": "separate"}

LAYOUTS: dict[str, tuple[str, Callable[[Path], None], np.ndarray]] = {
    "8-bit RGB PNG": ("png", pillow(RGB8), RGB8),
    "8-bit RGBA PNG": ("png", pillow(EIGHT), RGB8),
    "grey PNG": ("png", pillow(GREY8), grey(GREY8)),
    "grey+alpha PNG": ("png", pillow(EIGHT[..., :2]), grey(GREY8)),
    "1-bit PNG": ("png", pillow(BITS), grey(BITS * 255)),
    "16-bit grey PNG": ("png", pillow(GREY16), grey(rounded(GREY16))),
    "8-bit planar TIFF": ("tif", tiff(PLANES8, **SEPARATE), RGB8),
    "8-bit planar LZW TIFF": ("tif", tiff(PLANES8, compression="lzw", **SEPARATE), RGB8),
    "8-bit WebP TIFF": ("tif", tiff(RGB8, photometric="rgb", compression="webp",
                                    compressionargs={"lossless": True}), RGB8),
    "16-bit TIFF with a sign": ("tif", tiff((GREY16 // 2).astype(np.int16)), grey(rounded(GREY16 // 2))),
    "8-bit zstd TIFF": ("tif", tiff(RGB8, photometric="rgb", compression="zstd"), RGB8),
    "16-bit TIFF": ("tif", tiff(RGB16, photometric="rgb"), rounded(RGB16)),
    "16-bit big-endian TIFF": ("tif", tiff(RGB16, photometric="rgb", byteorder=">"), rounded(RGB16)),
    "16-bit BigTIFF": ("tif", tiff(RGB16, photometric="rgb", bigtiff=True), rounded(RGB16)),
    "16-bit planar TIFF": ("tif", tiff(PLANES16, **SEPARATE), rounded(RGB16)),
    "16-bit LZW TIFF": ("tif", tiff(RGB16, photometric="rgb", compression="lzw"), rounded(RGB16)),
    "16-bit LZW TIFF, predicted": ("tif", tiff(RGB16, photometric="rgb", compression="lzw", predictor=True),
                                   rounded(RGB16)),
    "16-bit deflate TIFF": ("tif", tiff(RGB16, photometric="rgb", compression="zlib"), rounded(RGB16)),
    "16-bit planar deflate TIFF": ("tif", tiff(PLANES16, compression="zlib", **SEPARATE), rounded(RGB16)),
    "16-bit tiled TIFF": ("tif", tiff(RGB16, photometric="rgb", tile=(16, 16)), rounded(RGB16)),
    "16-bit grey TIFF": ("tif", tiff(GREY16, photometric="minisblack"), grey(rounded(GREY16))),
    "16-bit LZW grey TIFF": ("tif", tiff(GREY16, photometric="minisblack", compression="lzw"), grey(rounded(GREY16))),
    "16-bit grey TIFF, white is 0": ("tif", tiff(GREY16, photometric="miniswhite"), grey(rounded(65535 - GREY16))),
    "8-bit grey TIFF, white is 0": ("tif", tiff(GREY8, photometric="miniswhite"), grey(255 - GREY8)),
    "32-bit grey TIFF with 16 in use": ("tif", tiff(GREY16.astype(np.uint32)), grey(rounded(GREY16))),
    "12-bit grey TIFF": ("tif", tiff(GREY16 >> 4, photometric="minisblack", bitspersample=12),
                         grey(np.rint((GREY16 >> 4) / 4095 * 255))),
    "16-bit RGBA TIFF": ("tif", tiff(DEEP, photometric="rgb", extrasamples=["unassalpha"]), rounded(RGB16)),
    "8-bit RGBA TIFF": ("tif", tiff(EIGHT, photometric="rgb", extrasamples=["unassalpha"]), RGB8),
    "8-bit grey+alpha TIFF": ("tif", tiff(EIGHT[..., :2], photometric="minisblack", planarconfig="contig",
                                          extrasamples=["unassalpha"]), grey(GREY8)),
    "16-bit grey+alpha TIFF": ("tif", tiff(DEEP[..., :2], photometric="minisblack", planarconfig="contig",
                                           extrasamples=["unassalpha"]), grey(rounded(GREY16))),
    "1-bit TIFF": ("tif", tiff(BITS, photometric="minisblack"), grey(BITS * 255)),
    "1-bit fax TIFF": ("tif", pillow(BITS, compression="group4"), grey(BITS * 255)),
    "CMYK TIFF": ("tif", tiff(EIGHT, photometric="separated"), from_cmyk(EIGHT)),
    "16-bit CMYK TIFF": ("tif", tiff(DEEP, photometric="separated"), from_cmyk(rounded(DEEP).astype(np.uint8))),
    "PPM": ("ppm", pillow(RGB8), RGB8),
    "16-bit PPM": ("ppm", lambda path: path.write_bytes(b"P6 30 20 65535\n" + RGB16.astype(">u2").tobytes()),
                   rounded(RGB16)),
    "16-bit PGM": ("pgm", lambda path: path.write_bytes(b"P5 30 20 65535\n" + GREY16.astype(">u2").tobytes()),
                   grey(rounded(GREY16))),
    "BMP": ("bmp", pillow(RGB8), RGB8),
    "TGA": ("tga", pillow(RGB8), RGB8),
    "WebP without loss": ("webp", pillow(RGB8, lossless=True), RGB8),
    "JPEG 2000 without loss": ("jp2", pillow(RGB8), RGB8),
    "QOI": ("qoi", pillow(RGB8), RGB8),
    "grey GIF": ("gif", pillow(GREY8), grey(GREY8)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_kind_1_exact_pixels_of_every_layout(layout: str, tmp_path: Path) -> None:
    suffix, write, expected = LAYOUTS[layout]
    path = tmp_path / f"a.{suffix}"
    write(path)
    with warnings.catch_warnings(action="error"):
        found = read_rgb(path)
    assert found.dtype == np.uint8 and found.shape == (20, 30, 3)
    assert np.array_equal(found, expected)
    assert read_size(path) == (30, 20)
    assert list_images(tmp_path) == [path], "what is read is listed"
    assert np.array_equal(read_photo(path), found), "nothing changes without a colour profile"


@pytest.mark.parametrize(("suffix", "options"), [
    ("jpg", {}), ("jfif", {"format": "JPEG"}), ("JPE", {"format": "JPEG"}), ("avif", {}), ("webp", {})])
def test_lossy_formats_are_as_pillow_has_them(tmp_path: Path, suffix: str, options: dict[str, str]) -> None:
    """Benchmarks are JPEGs and 8-bit PNGs: not a bit differs from the plain way of reading them."""
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(RGB8).save(path, **options)
    with Image.open(path) as plain:
        assert np.array_equal(read_rgb(path), np.asarray(plain.convert("RGB")))
    assert list_images(tmp_path) == [path]


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_jpeg_of_other_colours(tmp_path: Path, mode: str) -> None:
    flat = Image.new("RGB", (16, 16), (200, 200, 200)).convert(mode)
    flat.save(tmp_path / "a.jpg", quality=100)
    assert np.abs(read_rgb(tmp_path / "a.jpg").astype(int) - 200).max() <= 1


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("suffix", ["png", "tif", "gif"])
def test_palettes_are_resolved(tmp_path: Path, bits: int, suffix: str) -> None:
    colours = RANDOM.integers(0, 256, (2**bits, 3), dtype=np.uint8)
    index = RANDOM.integers(0, 2**bits, (20, 30)).astype(np.uint8)
    image = Image.frombytes("P", (30, 20), index.tobytes())
    image.putpalette(colours.tobytes())
    image.save(tmp_path / f"a.{suffix}")
    assert np.array_equal(read_rgb(tmp_path / f"a.{suffix}"), colours[index])


def test_deep_palette_of_a_tiff(tmp_path: Path) -> None:
    colours = RANDOM.integers(0, 256, (3, 65536), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", GREY16, photometric="palette", colormap=colours * 257, metadata=None)
    assert np.array_equal(read_rgb(tmp_path / "a.tif"), np.moveaxis(colours[:, GREY16], 0, -1))


def test_colours_multiplied_by_alpha_are_divided_by_it(tmp_path: Path) -> None:
    deep = np.full((4, 4, 4), 20000, np.uint16)
    deep[..., 3] = 40000
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb", extrasamples=["assocalpha"], metadata=None)
    assert np.abs(read_rgb(tmp_path / "a.tif").astype(int) - 127.5).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["8-bit PNG", "16-bit PNG", "16-bit grey PNG", "8-bit TIFF", "16-bit TIFF", "WebP"])
def test_kind_2_pictures_stand_upright(tmp_path: Path, orientation: int, kind: str) -> None:
    """The first stored pixel is where the EXIF specification says: top left, top right, bottom right, ..."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    depth, suffix = (16 if "16" in kind else 8), kind.split()[-1].lower()
    path = tmp_path / f"a.{suffix}"
    if suffix == "tiff":
        tifffile.imwrite(path, RGB16 if depth == 16 else RGB8, photometric="rgb", metadata=None,
                         extratags=[(0x0112, "H", 1, orientation, True)])
        stored = rounded(RGB16) if depth == 16 else RGB8
    elif depth == 16 and "grey" not in kind:
        png16(path, RGB16, exif.tobytes().removeprefix(b"Exif\0\0"))
        stored = rounded(RGB16)
    else:
        Image.fromarray(GREY16 if depth == 16 else RGB8).save(path, exif=exif, lossless=True)
        stored = grey(rounded(GREY16)) if depth == 16 else RGB8
    found = read_rgb(path)
    across, down = (20, 30) if orientation > 4 else (30, 20)
    assert found.shape == (down, across, 3) and read_size(path) == (across, down)
    corner = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}
    assert np.array_equal(found[corner[orientation]], stored[0, 0])
    second = {1: (0, 1), 2: (0, -2), 3: (-1, -2), 4: (-1, 1), 5: (1, 0), 6: (1, -1), 7: (-2, -1), 8: (-2, 0)}
    assert np.array_equal(found[second[orientation]], stored[0, 1])
    if kind == "8-bit PNG":
        with Image.open(path) as image:
            assert np.array_equal(found, np.asarray(ImageOps.exif_transpose(image)))


def test_nonsense_as_orientation_is_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 77
    Image.fromarray(RGB8).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_rgb(tmp_path / "a.png"), RGB8) and read_size(tmp_path / "a.png") == (30, 20)


def test_kind_1_the_first_of_several_pictures_is_read_and_that_is_said(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "deep.tif", np.stack((RGB16, RGB16 // 2)), photometric="rgb")
    pages = [Image.fromarray(a) for a in (RGB8, RGB8 // 2, RGB8 // 3)]
    pages[0].save(tmp_path / "flat.tif", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "moving.webp", save_all=True, append_images=pages[1:], lossless=True)
    for name, count, expected in (("deep.tif", 2, rounded(RGB16)), ("flat.tif", 3, RGB8), ("moving.webp", 3, RGB8)):
        with pytest.warns(UserWarning, match=f"{name} holds {count} pictures; the first is read") as said:
            assert np.array_equal(read_rgb(tmp_path / name), expected)
        assert len(said) == 1


def test_kind_1_planes_without_a_word_on_colour_are_pages(tmp_path: Path) -> None:
    """Three grey pages are no RGB picture, whatever their number suggests."""
    tifffile.imwrite(tmp_path / "a.tif", PLANES16, photometric="minisblack")
    with pytest.warns(UserWarning, match="holds 3 pictures"):
        assert np.array_equal(read_rgb(tmp_path / "a.tif"), grey(rounded(GREY16)))


@pytest.mark.parametrize(("values", "how", "reason"), [
    (np.full((4, 4), 0.5, np.float32), {}, "floating-point numbers.*8 or 16 bits"),
    (np.full((4, 4, 3), 0.5, np.float64), {"photometric": "rgb"}, "floating-point"),
    (np.full((4, 4), 70000, np.uint32), {}, r"outside 16 bits \(70000 to 70000\)"),
    (np.full((4, 4), -5, np.int8), {}, "8-bit numbers with a sign"),
    (np.full((4, 4), 5, np.int8), {}, "8-bit numbers with a sign"),
    (np.full((4, 4), -5, np.int16), {}, r"outside 16 bits \(-5 to -5\)"),
    (np.zeros((4, 4, 3), np.uint16), {"photometric": "cielab"}, "CIELAB.*grey or RGB"),
])
def test_kind_1_what_cannot_be_shown_is_refused_with_the_reason(
        tmp_path: Path, values: np.ndarray, how: dict[str, str], reason: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", values, **how)
    with pytest.raises(UserError, match=reason) as caught:
        read_rgb(tmp_path / "a.tif")
    assert "a.tif" in str(caught.value)


@pytest.mark.parametrize(("meaning", "read"), [("minisblack", 1), ("rgb", 3)])
def test_kind_1_channels_that_are_no_colours_are_left_out_and_that_is_said(tmp_path: Path, meaning: str,
                                                                          read: int) -> None:
    deep = np.dstack((RGB16, RGB16[..., :2]))
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric=meaning, planarconfig="contig", metadata=None)
    with pytest.warns(UserWarning, match=rf"a.tif has {5 - read} channels beyond grey, RGB and alpha"):
        picture = read_rgb(tmp_path / "a.tif")
    assert np.array_equal(picture[..., :read], rounded(deep)[..., :read])


@pytest.mark.parametrize("compression", ["lzw", "zlib", None])
def test_a_deep_tiff_cut_short_is_called_truncated(tmp_path: Path, compression: str | None) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.concatenate([RGB16] * 9), photometric="rgb", compression=compression, metadata=None)
    content = path.read_bytes()
    for share in (0.01, 0.1, 0.5, 0.9):
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(UserError, match="a.tif") as caught:
            read_rgb(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("content", "told"), [
    (b"", "an empty file.*download it again"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 5\n", "a Git LFS pointer.*git lfs pull"),
    (b"<!DOCTYPE html>\n<html><body>Sign in</body></html>", "a web page.*behind the page's link"),
    (b"\xef\xbb\xbf\r\n<HTML>", "a web page"),
    (b"<?xml version='1.0'?>\n<svg width='3'/>", "vector drawing.*as PNG"),
    (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC.*as JPEG or PNG"),
    (b"%PDF-1.7\n", "a PDF"),
    (b"PK\5\6" + bytes(18), "not a picture"),
    (b"\x1f\x8b\x08" + bytes(40), "an archive .gzip.*unpack it"),
    (b"Rar!\x1a\7\1\0", "an archive .RAR."),
    (b"hello, this is text", "not a picture.*expected PNG"),
])
def test_kind_46_files_in_place_of_a_picture_are_named(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    for read in (read_rgb, read_photo, read_size):
        with pytest.raises(UserError, match=told) as caught:
            read(path)
        assert "a.jpg" in str(caught.value) and "\n" not in str(caught.value)


def profile(primaries: list[list[float]], gamma: float, space: bytes = b"RGB ") -> bytes:
    """An ICC profile of three primaries (XYZ under D50) or of grey, with one gamma, from the ICC specification."""
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in (0.9642, 1, 0.8249)))
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    name = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"wide\0" + bytes(78)
    tags = {b"wtpt": white, b"desc": name + bytes(-len(name) % 4)}
    if space == b"RGB ":
        columns = [b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in c)) for c in primaries]
        tags |= dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True))
        tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    else:
        tags |= {b"kTRC": curve}
    at, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for tag, content in tags.items():
        table += tag + struct.pack(">II", at + len(body), len(content))
        body += content
    rest = struct.pack(">I", len(tags)) + table + body
    head = struct.pack(">I4sI4s4s4s", 128 + len(rest), b"none", 0x02400000, b"mntr", space, b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head + bytes(128 - len(head)) + rest


P3 = [[0.51512, 0.2412, -0.00105], [0.29198, 0.69225, 0.04189], [0.1571, 0.06657, 0.78407]]
"""Display P3's primaries, adapted to D50."""
SRGB = [[0.43607, 0.22249, 0.01392], [0.38515, 0.71687, 0.09708], [0.14307, 0.06061, 0.7141]]


def test_kind_30_a_photo_with_a_profile_is_converted_to_srgb_and_a_benchmark_is_not(tmp_path: Path) -> None:
    muted = (RGB8 // 2 + 60).astype(np.uint8)  # inside sRGB's gamut, nearly
    linear = (muted / 255) ** 2.2
    shown = (linear @ np.array(P3) @ np.linalg.inv(np.array(SRGB))).clip(0, 1)
    curved = np.where(shown <= 0.0031308, 12.92 * shown, 1.055 * shown ** (1 / 2.4) - 0.055)
    Image.fromarray(muted).save(tmp_path / "a.png", icc_profile=profile(P3, 2.2))
    assert np.array_equal(read_rgb(tmp_path / "a.png"), muted)
    found = read_photo(tmp_path / "a.png").astype(float)
    assert np.abs(found - muted).max() > 10
    assert np.abs(found - curved * 255).max() < 1.6

    deep = (muted.astype(np.uint16) * 257)
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb", iccprofile=profile(P3, 2.2), metadata=None)
    assert np.array_equal(read_photo(tmp_path / "a.tif"), found) and np.array_equal(read_rgb(tmp_path / "a.tif"), muted)


def test_grey_profile_and_profiles_that_do_not_fit(tmp_path: Path) -> None:
    Image.fromarray(GREY8).save(tmp_path / "grey.png", icc_profile=profile([], 1.8, b"GRAY"))
    linear = (GREY8 / 255) ** 1.8
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(read_photo(tmp_path / "grey.png") - grey(curved * 255)).max() < 1.6
    for name, icc in (("other", profile([], 1.0, b"GRAY")), ("broken", b"no profile at all")):
        Image.fromarray(RGB8).save(tmp_path / f"{name}.png", icc_profile=icc)
        with pytest.warns(UserWarning, match="colour profile of .* is left out"):
            assert np.array_equal(read_photo(tmp_path / f"{name}.png"), RGB8)


def test_a_profile_of_srgb_changes_nothing(tmp_path: Path) -> None:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(RGB8).save(tmp_path / "a.png", icc_profile=icc)
    assert np.array_equal(read_photo(tmp_path / "a.png"), RGB8)


@pytest.mark.parametrize(("suffix", "write"), [
    ("png", pillow(EIGHT)), ("tif", tiff(EIGHT, photometric="rgb", extrasamples=["unassalpha"])),
    ("webp", pillow(EIGHT, lossless=True, exact=True)),
    ("tif", tiff(EIGHT.astype(np.uint16) * 257, photometric="rgb", extrasamples=["unassalpha"]))])
def test_kind_15_transparency_is_kept_on_request(tmp_path: Path, suffix: str, write: Callable[[Path], None]) -> None:
    path = tmp_path / f"a.{suffix}"
    write(path)
    assert np.array_equal(read_photo(path, alpha=True), EIGHT)
    assert np.array_equal(read_photo(path), RGB8)
    Image.fromarray(RGB8).save(tmp_path / "opaque.png")
    assert read_photo(tmp_path / "opaque.png", alpha=True).shape[2] == 3


def test_transparency_of_a_palette_and_of_deep_grey(tmp_path: Path) -> None:
    index = RANDOM.integers(0, 2, (6, 5)).astype(np.uint8)
    image = Image.frombytes("P", (5, 6), index.tobytes())
    image.putpalette(bytes([10, 20, 30, 200, 100, 0]))
    image.save(tmp_path / "a.png", transparency=0)
    assert np.array_equal(read_photo(tmp_path / "a.png", alpha=True)[..., 3], index * 255)
    png16(tmp_path / "b.png", DEEP[..., :2])
    found = read_photo(tmp_path / "b.png", alpha=True)
    assert np.array_equal(found, np.concatenate((grey(rounded(GREY16)), rounded(DEEP[..., 1:2])), axis=2))
