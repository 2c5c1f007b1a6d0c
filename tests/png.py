"""16-bit PNGs written by hand, from the PNG specification: Pillow writes none in colour."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

COLOUR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}


def png16(path: Path, deep_HWC: np.ndarray, exif: bytes = b"") -> Path:
    """Write grey, grey+alpha, RGB or RGBA, all rows unfiltered."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, channels = deep_HWC.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep_HWC)
    header = struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPE[channels], 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + (chunk(b"eXIf", exif) if exif else b"")
                     + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    return path
