"""Test media, made on the spot: pictures that say which frame they are and which way is up, and videos of them."""

import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.media import ffmpeg

SIZE = (96, 64)
"""Width and height of the usual test picture."""

H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "12", "-pix_fmt", "yuv420p")
FFV1 = ("-c:v", "ffv1", "-pix_fmt", "bgr0")

_BITS = 10
_CORNERS = ((200, 60, 60), (60, 200, 60), (60, 60, 200), (190, 190, 190))
"""Top left, top right, bottom left, bottom right."""

UNEVEN_PTS = tuple(Fraction(ms, 1000) for ms in (0, 100, 200, 240, 350, 700, 733, 800))
UNEVEN_LAST = Fraction(250, 1000)


def run_ffmpeg(*args: str | Path, data: bytes | None = None) -> bytes:
    """Run ffmpeg, fail loudly, return its standard output."""
    command = [str(ffmpeg.executable()), "-hide_banner", "-loglevel", "error", "-y", *map(str, args)]
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout


def picture(index: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """`(H, W, 3)` uint8 RGB: a soft gradient, four coloured corners, and `index` in black and white fields."""
    width, height = size
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    pixels = np.stack([80 + 80 * x, 90 + 70 * y, 150 - 60 * x * y], axis=-1)
    pixels += 12 * np.sin(2 * np.pi * (x + y)[..., None] + index / 5)
    h, w = height // 4, width // 4
    for number, colour in enumerate(_CORNERS):
        rows = slice(0, h) if number < 2 else slice(height - h, height)
        columns = slice(0, w) if number % 2 == 0 else slice(width - w, width)
        pixels[rows, columns] = colour
    edges = _fields(width)
    for bit in range(_BITS):
        level = 235 if index >> bit & 1 else 16
        pixels[height // 2 - height // 8 : height // 2 + height // 8, edges[bit] : edges[bit + 1]] = level
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def _fields(width: int) -> list[int]:
    return [int(edge) for edge in np.linspace(0, width, _BITS + 1)]


def read_index(pixels: NDArray[Any]) -> int:
    """Which frame an upright picture says it is."""
    height, width = pixels.shape[:2]
    grey = pixels.astype(float).mean(axis=2) / (np.iinfo(pixels.dtype).max / 255)
    edges = _fields(width)
    middle = slice(height // 2 - height // 16, height // 2 + height // 16)
    levels = [grey[middle, (edges[b] + edges[b + 1]) // 2].mean() for b in range(_BITS)]
    return sum(1 << bit for bit, level in enumerate(levels) if level > 128)


def is_upright(pixels: NDArray[Any]) -> bool:
    """Whether the coloured corners are where `picture` put them."""
    height, width = pixels.shape[:2]
    h, w = height // 8, width // 8
    scale = np.iinfo(pixels.dtype).max / 255
    found = (pixels[h, w], pixels[h, -w - 1], pixels[-h - 1, w], pixels[-h - 1, -w - 1])
    return all(np.abs(f / scale - c).max() < 40 for f, c in zip(found, _CORNERS, strict=True))


def pictures(count: int, size: tuple[int, int] = SIZE, *, first: int = 0) -> list[NDArray[np.uint8]]:
    """`count` test pictures in a row."""
    return [picture(index, size) for index in range(first, first + count)]


def write_pictures(folder: Path, frames: Sequence[NDArray[Any]], pattern: str = "{:04d}.png") -> list[Path]:
    """Write RGB pictures with OpenCV, in the format that the pattern's suffix names."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / pattern.format(index) for index in range(len(frames))]
    for path, pixels in zip(paths, frames, strict=True):
        assert cv2.imwrite(str(path), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    return paths


def write_video(
    path: Path,
    frames: Sequence[NDArray[np.uint8]],
    *,
    rate: Fraction | int = 25,
    codec: Sequence[str] = H264,
    pts_seconds: Sequence[Fraction] | None = None,
    matrix: str | None = None,
    full_range: bool = False,
    sound: Sequence[str] = (),
    options: Sequence[str] = (),
) -> Path:
    """Encode RGB pictures.

    Args:
        pts_seconds: a time for each frame, for a variable rate; then `rate` does not matter.
        matrix: bt709, smpte170m, ...: converts with it and tags it; none leaves that to ffmpeg, untagged.
        sound: output options for sound (`-c:a`, `ac3`): a quiet tone, exactly as long as the pictures.
        options: more output options.
    """
    height, width = frames[0].shape[:2]
    colour_range = "pc" if full_range else "tv"
    filters = ["null"]
    if pts_seconds is not None:
        filters += [f"settb=1/90000,setpts='{_steps([round(at * 90000) for at in pts_seconds])}'"]
        options = [*options, "-fps_mode", "passthrough", "-enc_time_base", "1/90000"]
    if matrix:
        filters += [f"scale=out_color_matrix={matrix}:out_range={colour_range}:flags=accurate_rnd+full_chroma_int"]
        options = [*options, "-colorspace", matrix, "-color_range", colour_range]
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-framerate", str(Fraction(rate))]
    tone = ["-f", "lavfi", "-i", f"sine=440:sample_rate=48000:duration={float(len(frames) / Fraction(rate))}"]
    run_ffmpeg(
        *raw, "-i", "pipe:0", *(tone if sound else ()), "-map", "0:v", *(("-map", "1:a") if sound else ()),
        "-vf", ",".join(filters), *codec, *sound, *options, path,
        data=b"".join(frame.tobytes() for frame in frames),
    )  # fmt: skip
    return path


def _steps(values: Sequence[int]) -> str:
    expression = str(values[-1])
    for number, value in reversed(list(enumerate(values[:-1]))):
        expression = f"if(eq(N,{number}),{value},{expression})"
    return expression


def rotated(path: Path, output: Path, degrees: int) -> Path:
    """The same video with a rotation of `degrees` counter-clockwise in its container."""
    run_ffmpeg("-display_rotation", str(degrees), "-i", path, "-c", "copy", output)
    return output


def packet_places(path: Path) -> list[tuple[int, int]]:
    """Byte offset and length of every video packet of a file, in the file's order."""
    data = path.read_bytes()
    text = run_ffmpeg("-i", path, "-map", "0:v:0", "-c", "copy", "-f", "framecrc", "pipe:1").decode()
    lengths = [int(line.split(",")[4]) for line in text.splitlines() if not line.startswith("#")]
    stream = run_ffmpeg("-i", path, "-map", "0:v:0", "-c", "copy", "-f", "data", "pipe:1")
    places, at, begin = [], 0, 0
    for length in lengths:
        found = data.index(stream[at : at + length], begin)
        places.append((found, length))
        at, begin = at + length, found + length
    return places


def damage(path: Path, output: Path, packets: Sequence[int]) -> Path:
    """A copy of a video in which some packets, numbered in the file's order, are overwritten."""
    data = bytearray(path.read_bytes())
    places = packet_places(path)
    for number in packets:
        begin, length = places[number]
        data[begin : begin + length] = b"\xff" * length
    output.write_bytes(data)
    return output


def flash_and_beep(
    path: Path,
    *,
    codec: Sequence[str] = H264,
    sound: Sequence[str] = ("-c:a", "aac"),
    flash: int = 25,
    count: int = 50,
    pictures_late_seconds: float = 0,
) -> Path:
    """25 frames a second, black but for frame `flash`, and silence but for a beep that begins with it."""
    begin = flash / 25 + pictures_late_seconds
    tone = f"aevalsrc='if(between(t,{begin},{begin + 0.1}),sin(2*PI*1000*t),0)':s=48000:d={count / 25}:c=stereo"
    light = f"color=black:s=64x48:r=25:d={count / 25},geq=lum='if(eq(N,{flash}),235,16)':cb=128:cr=128"
    run_ffmpeg(
        "-itsoffset", str(pictures_late_seconds), "-f", "lavfi", "-i", light, "-f", "lavfi", "-i", tone,
        "-map", "0:v", "-map", "1:a", *codec, *sound, "-metadata", "title=A title", path,
    )  # fmt: skip
    return path


def beep_seconds(path: Path) -> float:
    """When the beep begins, counted from the container's start."""
    filters = "aresample=async=1:first_pts=0,aresample=48000"
    raw = run_ffmpeg("-i", path, "-map", "0:a:0", "-af", filters, "-ac", "1", "-f", "s16le", "pipe:1")
    loud = np.abs(np.frombuffer(raw, np.int16).astype(np.int32)) > 3000
    assert loud.any(), "there is no beep"
    return int(np.argmax(loud)) / 48000
