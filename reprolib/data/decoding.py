"""Pixels of a picture file as upright 8-bit RGB, whatever its layout, or the true reason why there are none.

Pillow decodes all but what it would cut off or refuse: TIFFs of other than 1 to 8 bits a channel, or of a layout that
it does not know, are decoded by tifffile with imagecodecs, and 16-bit PNGs by imagecodecs. A file of several pictures
gives its first, with a warning.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from reprolib.data import tiff
from reprolib.data.depth import sixteen_to_eight, to_eight
from reprolib.errors import UserError, printable
from reprolib.impostors import impostor

_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, RuntimeError, TypeError, struct.error,
           zlib.error)
"""What decoders raise on broken files."""

_SIGNS_OF_AN_END = ("truncat", "broken data stream", "unrecognized data stream", "not enough", "eof", "end of file",
                    "buffer", "unpack requires", "read past", "incomplete", "corrupt", "decoder error", "read error")
"""Words of decoders about files that stop too early."""

_ORIENTATION, _BITS_PER_SAMPLE, _SAMPLE_FORMAT = 0x0112, 258, 339
"""EXIF and TIFF tags."""

_SEQUENCES = {"TIFF", "GIF", "WEBP", "PNG", "AVIF"}
"""Formats whose files may hold several pictures that are meant to be seen; the others keep previews and layers."""

_SRGB = ImageCms.createProfile("sRGB")


def decode(path: Path, *, to_srgb: bool = False, alpha: bool = False) -> np.ndarray:
    """Pixels of a file, uint8 HW3, or HW4 where `alpha` is asked for and the picture has it.

    Args:
        to_srgb: convert colours by the file's ICC profile; otherwise the numbers are those of the file.

    Raises:
        UserError: no picture, or one that cannot be decoded.
    """
    path = Path(path)
    with opened(path) as image:
        if image is None or _is_deep_tiff(image):
            return _decode_tiff(path, to_srgb, alpha)
        try:
            return _decode_by_pillow(path, image, to_srgb, alpha)
        except (NotImplementedError, *_BROKEN):
            if image.format != "TIFF" or tiff.is_cut_short(path):
                raise
            return _decode_tiff(path, to_srgb, alpha)


def decode_channels(path: Path, channels: int) -> np.ndarray:
    """All channels of a file, uint8 HWC, whatever they mean; a TIFF of as many grey pages has one in each.

    Raises:
        UserError: as `decode`, or another number of channels.
    """
    with opened(path) as image:
        if image is None or image.format == "TIFF":
            stored_HWC, orientation = tiff.samples(path, channels)
            picture_HWC = _upright(stored_HWC, orientation)
        else:
            picture_HWC = decode(path, alpha=True)
    if picture_HWC.shape[2] != channels:
        raise UserError(f"a picture of {picture_HWC.shape[2]} channels, not of {channels}", where=path,
                        fix=f"save it as TIFF with {channels}, or set network.channels")
    return picture_HWC


def size(path: Path) -> tuple[int, int]:
    """Width and height of the upright picture, from its header alone."""
    with opened(path) as image:
        if image is None:
            height, width = _decode_tiff(path, to_srgb=False, alpha=False).shape[:2]
            return width, height
        turned = image.format != "TIFF" and _orientation(image) > 4  # Pillow turns TIFFs by itself
        return image.size[::-1] if turned else image.size


@contextmanager
def opened(path: Path) -> Iterator[Image.Image | None]:
    """The picture as Pillow opens it, None for a TIFF that it does not know; what goes wrong is told as a UserError."""
    if not path.is_file():
        raise UserError("no such picture", where=path, fix="check the path")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")  # large pictures are welcome, and faults are told below
            warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
            try:
                image = Image.open(path)
            except UnidentifiedImageError:
                if not tiff.is_tiff(path):
                    raise
                yield None
                return
            with image:
                yield image
    except UnidentifiedImageError as error:
        raise _not_a_picture(path) from error
    except Image.DecompressionBombError as error:
        raise UserError("a picture too large to be meant", where=path, fix="cut it into smaller ones") from error
    except PermissionError as error:
        raise UserError("no permission to read this picture", where=path, fix="change its permissions") from error
    except (NotImplementedError, *_BROKEN) as error:
        raise _undecodable(path, error) from error


def _not_a_picture(path: Path) -> UserError:
    known = impostor(path)
    if known:
        return UserError(f"not a picture but {known.what}", where=path, fix=known.fix)
    return UserError("not a picture", where=path, fix="expected PNG, JPEG, TIFF, WebP, BMP or another format of Pillow")


def _undecodable(path: Path, error: Exception) -> UserError:
    if _stops_early(error):
        return UserError("a picture that cannot be decoded, most likely truncated", where=path,
                         fix="copy or download it again")
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return UserError(f"a picture that cannot be decoded: {reason}", where=path, fix="save it as PNG")


def _stops_early(error: Exception) -> bool:
    return isinstance(error, (EOFError, struct.error, zlib.error, IndexError)) or any(
        word in str(error).lower() for word in _SIGNS_OF_AN_END)


def _orientation(image: Image.Image) -> int:
    """1 to 8 as EXIF has it; 1, upright, where nothing or nonsense is said."""
    value = image.getexif().get(_ORIENTATION, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright(pixels_HWC: np.ndarray, orientation: int) -> np.ndarray:
    """Undo what EXIF's orientation says of the stored rows and columns."""
    if orientation > 4:
        pixels_HWC = pixels_HWC.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels_HWC = pixels_HWC[::-1]
    if orientation in (2, 3, 6, 7):
        pixels_HWC = pixels_HWC[:, ::-1]
    return np.ascontiguousarray(pixels_HWC)


def _say_first_of(path: Path, count: int) -> None:
    if count > 1:
        warnings.warn(printable(f"{path} holds {count} pictures; the first is read"), stacklevel=2)


def _decode_by_pillow(path: Path, image: Image.Image, to_srgb: bool, alpha: bool) -> np.ndarray:
    deep_png = image.format == "PNG" and _is_deep_png(path)
    image.load()
    if image.format in _SEQUENCES:
        _say_first_of(path, getattr(image, "n_frames", 1))
    orientation = _orientation(image)  # after loading: what Pillow turned by itself is upright then
    if deep_png:
        picture, opacity = _deep_png(path)
    elif image.mode.startswith(("I", "F")):
        picture, opacity = Image.fromarray(sixteen_to_eight(np.asarray(image), path)), None
    else:
        picture = image
        opacity = np.asarray(image.convert("RGBA").getchannel("A")) if alpha and image.has_transparency_data else None
    rgb_HW3 = _coloured(path, picture, image.info.get("icc_profile") if to_srgb else None)
    return _upright(_joined(rgb_HW3, opacity if alpha else None), orientation)


def _joined(rgb_HW3: np.ndarray, opacity_HW: np.ndarray | None) -> np.ndarray:
    return rgb_HW3 if opacity_HW is None else np.concatenate((rgb_HW3, opacity_HW[..., None]), axis=2)


def _coloured(path: Path, image: Image.Image, profile: bytes | None) -> np.ndarray:
    """RGB of a picture in any of Pillow's 8-bit modes, by its profile if one is given.

    Colours under transparency are kept, nothing is blended. Viewers convert with relative intent and black points
    matched, and so does this.
    """
    if not profile:
        return np.array(image.convert("RGB"))
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return np.array(image.convert("RGB"))  # the numbers are sRGB's: no detour that rounds them
        mode = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}[source.profile.xcolor_space.strip()]
        if mode != "RGB" and not image.mode.startswith(mode):
            raise ValueError(f"made for {mode}, not for {image.mode}")
        converted = ImageCms.profileToProfile(
            image.convert(mode), source, _SRGB, ImageCms.Intent.RELATIVE_COLORIMETRIC, "RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION)
    except (ImageCms.PyCMSError, KeyError, OSError, ValueError) as error:
        warnings.warn(printable(f"the colour profile of {path} is left out: {error}"), stacklevel=2)
        return np.array(image.convert("RGB"))
    assert converted is not None
    return np.array(converted)


def _is_deep_png(path: Path) -> bool:
    """Whether a PNG has 16 bits a channel, of which Pillow keeps the high byte only without saying so."""
    with path.open("rb") as stream:
        return stream.read(25)[24] == 16  # the bit depth in the header chunk


def _deep_png(path: Path) -> tuple[Image.Image, np.ndarray | None]:
    """A 16-bit PNG in 8-bit grey or RGB, and its alpha."""
    import imagecodecs  # loaded for such files only

    eight = to_eight(imagecodecs.png_decode(path.read_bytes()), 65535)
    if eight.ndim == 2:
        eight = eight[..., None]
    channels = eight.shape[2]
    picture = Image.fromarray(np.ascontiguousarray(eight[..., 0] if channels < 3 else eight[..., :3]))
    return picture, eight[..., -1] if channels in (2, 4) else None


def _is_deep_tiff(image: Image.Image) -> bool:
    """Whether a TIFF has more than 8 bits a channel, of which Pillow keeps the high byte of some, or mixes them up; or
    numbers with a sign, which it does not look at."""
    if image.format != "TIFF":
        return False
    tags = image.tag_v2  # type: ignore[attr-defined]
    return max(tags.get(_BITS_PER_SAMPLE, (1,))) > 8 or any(kind != 1 for kind in tags.get(_SAMPLE_FORMAT, (1,)))


def _decode_tiff(path: Path, to_srgb: bool, alpha: bool) -> np.ndarray:
    page = tiff.first_page(path)
    _say_first_of(path, page.count)
    rgb_HW3 = _coloured(path, page.picture, page.profile if to_srgb else None)
    return _upright(_joined(rgb_HW3, page.opacity_HW if alpha else None), page.orientation)
