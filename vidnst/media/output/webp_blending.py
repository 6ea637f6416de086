"""Animated WebP whose frames replace each other: ffmpeg's muxer lays each over the last, so that alpha adds up."""

import struct
from pathlib import Path

_FLAGS_OFFSET = 15  # in an ANMF chunk's data: X, Y, width, height, duration (3 bytes each), then the flags
_DO_NOT_BLEND = 0x02


def stop_blending(path: Path) -> None:
    """Let every frame of an animated WebP of our own making replace what was shown before, in place."""
    with path.open("r+b") as file:
        at = 12  # after RIFF, size and WEBP
        while True:
            file.seek(at)
            head = file.read(8)
            if len(head) < 8:
                return
            name, length = struct.unpack("<4sI", head)
            if name == b"ANMF":
                file.seek(at + 8 + _FLAGS_OFFSET)
                flags = file.read(1)[0]
                file.seek(at + 8 + _FLAGS_OFFSET)
                file.write(bytes([flags | _DO_NOT_BLEND]))
            at += 8 + length + length % 2
