"""Images as files: grids of greyscale images as PNG, with nothing but the standard library."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np


def grid(images: np.ndarray, columns: int = 10, gap: int = 1, scale: int = 3) -> np.ndarray:
    """(N, 1, H, W) images in [-1, 1] -> one uint8 picture, each pixel ``scale`` wide."""
    n, _, height, width = images.shape
    rows = -(-n // columns)
    picture = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap), 64, np.uint8)
    for i, image in enumerate(images[:, 0]):
        top, left = gap + (i // columns) * (height + gap), gap + (i % columns) * (width + gap)
        picture[top : top + height, left : left + width] = np.clip((image + 1) * 127.5, 0, 255)
    return picture.repeat(scale, axis=0).repeat(scale, axis=1)


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write a (H, W) uint8 picture.  Format: W3C PNG, 3rd edition: greyscale, 8 bit, no filter."""
    height, width = picture.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    lines = b"".join(b"\0" + row.tobytes() for row in np.ascontiguousarray(picture, np.uint8))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines, 9)) + chunk(b"IEND", b"")
    )
