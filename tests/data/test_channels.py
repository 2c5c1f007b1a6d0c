"""Kind 33: pictures of as many channels as a network takes, pixel by pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from reprolib.data.channels import as_rgb, read_channels
from reprolib.data.images import read_rgb, write_image, write_png
from reprolib.data.unpaired import Domains, ImageFolder, resize
from reprolib.data.unpaired_batches import UnpairedBatches
from reprolib.errors import UserError

RANDOM = np.random.default_rng(0)


def noise(channels: int, side: tuple[int, int] = (20, 24), kind: type = np.uint8) -> np.ndarray:
    return RANDOM.integers(0, np.iinfo(kind).max, (*side, channels), dtype=kind, endpoint=True)


def test_kind_33_grey_is_the_luma_of_a_coloured_picture_and_grey_itself(tmp_path: Path) -> None:
    colour, grey = noise(3), noise(1)
    write_png(tmp_path / "colour.png", colour)
    write_png(tmp_path / "grey.png", grey)
    red, green, blue = colour.astype(np.int64).transpose(2, 0, 1)
    luma = (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16  # 0.299, 0.587, 0.114 in 16 bits
    assert np.array_equal(read_channels(tmp_path / "colour.png", 1)[..., 0], luma)
    assert np.array_equal(read_channels(tmp_path / "grey.png", 1), grey)
    assert np.array_equal(read_rgb(tmp_path / "grey.png"), as_rgb(grey)), "a grey file, and RGB to who asks for that"
    with Image.open(tmp_path / "grey.png") as image:
        assert image.mode == "L"


@pytest.mark.parametrize("layout", ["contig", "separate", "pages", "sixteen", "big endian"])
def test_kind_33_all_channels_of_a_tiff(tmp_path: Path, layout: str) -> None:
    stored = noise(5, kind=np.uint16 if layout == "sixteen" else np.uint8)
    path, grey = tmp_path / "five.tif", {"photometric": "minisblack", "metadata": None}
    if layout == "pages":
        tifffile.imwrite(path, np.moveaxis(stored, 2, 0), **grey)
    elif layout == "separate":
        tifffile.imwrite(path, np.moveaxis(stored, 2, 0), planarconfig="separate", **grey)
    else:
        tifffile.imwrite(path, stored, planarconfig="contig", byteorder=">" if layout == "big endian" else "<", **grey)
    expected = np.floor(stored / 257 + 0.5) if layout == "sixteen" else stored
    assert np.array_equal(read_channels(path, 5), expected)
    with pytest.raises(UserError, match=r"a picture of [15] channels, not of 4.*five\.tif"):
        read_channels(path, 4)


def test_kind_33_colours_and_alpha_are_four_channels(tmp_path: Path) -> None:
    four = noise(4)
    for name in ("four.png", "four.tif"):
        write_image(tmp_path / name, four)
        assert np.array_equal(read_channels(tmp_path / name, 4), four)
    write_png(tmp_path / "three.png", noise(3))
    with pytest.raises(UserError, match="a picture of 3 channels, not of 4"):
        read_channels(tmp_path / "three.png", 4)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 12])
def test_kind_33_what_is_written_is_read_again(tmp_path: Path, channels: int) -> None:
    picture = noise(channels)
    write_image(tmp_path / "out.tif", picture)
    assert np.array_equal(read_channels(tmp_path / "out.tif", channels), picture)


def test_kind_33_channels_are_resized_one_by_one() -> None:
    picture = noise(5)
    resized = resize(picture, 16)
    assert resized.shape == (16, 16, 5)
    assert np.array_equal(resized[..., :3], resize(picture[..., :3], 16)), "as those of RGB are"
    assert np.array_equal(resize(picture[..., :1], 16), resized[..., :1])


def test_kind_33_batches_of_grey_pictures_are_a_channel_of_those_of_rgb(tmp_path: Path) -> None:
    for name in "abcd":
        write_png(tmp_path / f"{name}.png", noise(1, (40, 30)))
    files = sorted(tmp_path.glob("*.png"))
    rgb = Domains(ImageFolder(files[:2]), ImageFolder(files[2:]))
    ours, theirs = (UnpairedBatches(d, load=24, crop=16, batch=2, steps=3, seed=1) for d in (rgb.in_channels(1), rgb))
    for step in range(3):
        for grey, coloured in zip(ours[step], theirs[step], strict=True):
            assert grey.shape == (2, 1, 16, 16) and torch.equal(grey, coloured[:, :1])


def test_kind_33_a_picture_of_other_channels_is_told_before_training(tmp_path: Path) -> None:
    for name in "ab":
        write_image(tmp_path / f"{name}.tif", noise(5))
    write_image(tmp_path / "c.tif", noise(4))
    domains = Domains(ImageFolder([tmp_path / "a.tif", tmp_path / "c.tif"]), ImageFolder([tmp_path / "b.tif"]))
    with pytest.raises(UserError, match=r"1 of 2 pictures of domain A cannot be used: a picture of 4 channels.*c\.tif"):
        UnpairedBatches(domains.in_channels(5), load=16, crop=16, batch=1, steps=1, seed=0)


def test_kind_33_what_compares_pictures_sees_rgb() -> None:
    with pytest.raises(UserError, match="pictures of 5 channels cannot be scored"):
        as_rgb(noise(5))
