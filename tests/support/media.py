"""Generated media: pictures that say which frame they are and which way is up, moving textures, styles, videos, sound.

All pictures are `(height, width, 3)` uint8 RGB unless a function says otherwise.
"""

import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.media import ffmpeg

Picture = NDArray[np.uint8]

SIZE = (96, 64)
"""Width and height of a test picture in pixels."""

H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "12", "-pix_fmt", "yuv420p")
FFV1 = ("-c:v", "ffv1", "-pix_fmt", "bgr0")

_BITS = 10
_CORNERS = ((200, 60, 60), (60, 200, 60), (60, 60, 200), (190, 190, 190))
"""Top left, top right, bottom left, bottom right."""

UNEVEN_PTS = tuple(Fraction(ms, 1000) for ms in (0, 100, 200, 240, 350, 700, 733, 800))
UNEVEN_LAST = Fraction(250, 1000)


def run_ffmpeg(*args: str | Path, data: bytes | None = None) -> bytes:
    """Run ffmpeg and return its standard output; an error fails the test with ffmpeg's message."""
    command = [str(ffmpeg.executable()), "-hide_banner", "-loglevel", "error", "-y", *map(str, args)]
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout


def numbered_picture(index: int, size: tuple[int, int] = SIZE) -> Picture:
    """Draw a soft gradient, four coloured corners, and `index` in black and white fields."""
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
    """Read the index of an upright `numbered_picture`."""
    height, width = pixels.shape[:2]
    grey = pixels.astype(float).mean(axis=2) / (np.iinfo(pixels.dtype).max / 255)
    edges = _fields(width)
    middle = slice(height // 2 - height // 16, height // 2 + height // 16)
    levels = [grey[middle, (edges[b] + edges[b + 1]) // 2].mean() for b in range(_BITS)]
    return sum(1 << bit for bit, level in enumerate(levels) if level > 128)


def is_upright(pixels: NDArray[Any]) -> bool:
    """Tell whether the coloured corners are where `numbered_picture` puts them."""
    height, width = pixels.shape[:2]
    h, w = height // 8, width // 8
    scale = np.iinfo(pixels.dtype).max / 255
    colours = (pixels[h, w], pixels[h, -w - 1], pixels[-h - 1, w], pixels[-h - 1, -w - 1])
    return all(np.abs(colour / scale - corner).max() < 40 for colour, corner in zip(colours, _CORNERS, strict=True))


def numbered_pictures(count: int, size: tuple[int, int] = SIZE, *, first: int = 0) -> list[Picture]:
    """Draw `count` numbered pictures in a row."""
    return [numbered_picture(index, size) for index in range(first, first + count)]


def write_pictures(folder: Path, frames: Sequence[NDArray[Any]], pattern: str = "{:04d}.png") -> list[Path]:
    """Write pictures in the format that the pattern's suffix names; uint16 gives 16 bits."""
    paths = [folder / pattern.format(index) for index in range(len(frames))]
    return [write_picture(path, pixels) for path, pixels in zip(paths, frames, strict=True)]


def write_picture(path: Path, pixels: NDArray[Any]) -> Path:
    """Write one picture, and its folder if that is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    return path


def read_picture(path: Path) -> Picture:
    """Read a picture as 8 bits."""
    pixels = cv2.imread(str(path))
    assert pixels is not None, path
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def soft_noise(
    size: tuple[int, int], cells: tuple[int, int], *, seed: int = 0, low: int = 0, high: int = 256
) -> Picture:
    """Draw noise of some rows and columns, smoothly enlarged to a width and a height."""
    noise = np.random.default_rng(seed).integers(low, high, (*cells, 3), np.uint8)
    return np.asarray(cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def photo(seed: int = 0, width: int = 96, height: int = 64) -> Picture:
    """Draw soft blobs."""
    return soft_noise((width, height), (height // 8, width // 8), seed=seed)


def painting(seed: int = 0, *, block_px: int = 8) -> Picture:
    """Draw eight by eight flat squares of `block_px` pixels."""
    noise = np.random.default_rng(1 + seed).integers(0, 256, (8, 8, 3), np.uint8)
    return np.kron(noise, np.ones((block_px, block_px, 1), np.uint8))


def write_style(path: Path, seed: int = 0, *, block_px: int = 8) -> Path:
    """Write a `painting`."""
    return write_picture(path, painting(seed, block_px=block_px))


def write_burst(
    folder: Path,
    count: int,
    *,
    seed: int = 0,
    size: tuple[int, int] = (48, 32),
    cells: tuple[int, int] = (6, 8),
    pattern: str = "{:03}.png",
) -> Path:
    """Write pictures of a `soft_noise` that moves to the right by two pixels a frame; return their folder."""
    texture = soft_noise(size, cells, seed=seed)
    write_pictures(folder, [np.roll(texture, 2 * number, axis=1) for number in range(count)], pattern)
    return folder


def write_video(
    path: Path,
    frames: Sequence[Picture],
    *,
    rate: Fraction | int = 25,
    codec: Sequence[str] = H264,
    pts_seconds: Sequence[Fraction] | None = None,
    matrix: str | None = None,
    full_range: bool = False,
    sound: Sequence[str] = (),
    options: Sequence[str] = (),
) -> Path:
    """Encode pictures into a video.

    Args:
        pts_seconds: a time stamp for each frame, for a variable rate; `rate` does not matter then.
        matrix: bt709, smpte170m, ...: the conversion to YUV, which is tagged; None leaves it to ffmpeg, untagged.
        sound: ffmpeg's output options for a quiet tone as long as the pictures, such as `("-c:a", "ac3")`.
        options: further output options of ffmpeg.
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


def rotate_video(path: Path, output: Path, degrees: int) -> Path:
    """Copy a video with a rotation of `degrees` counter-clockwise in its container."""
    run_ffmpeg("-display_rotation", str(degrees), "-i", path, "-c", "copy", output)
    return output


def packet_positions(path: Path) -> list[tuple[int, int]]:
    """Return byte offset and length of every video packet, in the file's order."""
    data = path.read_bytes()
    text = run_ffmpeg("-i", path, "-map", "0:v:0", "-c", "copy", "-f", "framecrc", "pipe:1").decode()
    lengths = [int(line.split(",")[4]) for line in text.splitlines() if not line.startswith("#")]
    stream = run_ffmpeg("-i", path, "-map", "0:v:0", "-c", "copy", "-f", "data", "pipe:1")
    positions, at, begin = [], 0, 0
    for length in lengths:
        offset = data.index(stream[at : at + length], begin)
        positions.append((offset, length))
        at, begin = at + length, offset + length
    return positions


def damage_packets(path: Path, output: Path, packets: Sequence[int]) -> Path:
    """Copy a video and overwrite some of its packets, numbered in the file's order, so that they do not decode."""
    data = bytearray(path.read_bytes())
    positions = packet_positions(path)
    for number in packets:
        begin, length = positions[number]
        data[begin : begin + length] = b"\xff" * length
    output.write_bytes(data)
    return output


def write_flash_and_beep(
    path: Path,
    *,
    codec: Sequence[str] = H264,
    sound: Sequence[str] = ("-c:a", "aac"),
    flash: int = 25,
    count: int = 50,
    pictures_late_seconds: float = 0,
) -> Path:
    """Write 25 frames a second, black but for frame `flash`, and silence but for a beep that begins with it."""
    begin = flash / 25 + pictures_late_seconds
    tone = f"aevalsrc='if(between(t,{begin},{begin + 0.1}),sin(2*PI*1000*t),0)':s=48000:d={count / 25}:c=stereo"
    light = f"color=black:s=64x48:r=25:d={count / 25},geq=lum='if(eq(N,{flash}),235,16)':cb=128:cr=128"
    run_ffmpeg(
        "-itsoffset", str(pictures_late_seconds), "-f", "lavfi", "-i", light, "-f", "lavfi", "-i", tone,
        "-map", "0:v", "-map", "1:a", *codec, *sound, "-metadata", "title=A title", path,
    )  # fmt: skip
    return path


def beep_seconds(path: Path) -> float:
    """Return when the beep begins, in seconds from the container's start."""
    filters = "aresample=async=1:first_pts=0,aresample=48000"
    raw = run_ffmpeg("-i", path, "-map", "0:a:0", "-af", filters, "-ac", "1", "-f", "s16le", "pipe:1")
    loud = np.abs(np.frombuffer(raw, np.int16).astype(np.int32)) > 3000
    assert loud.any(), "there is no beep"
    return int(np.argmax(loud)) / 48000


def positions_of(part: Picture, sheet: Picture) -> list[tuple[int, int]]:
    """Find every y and x at which a sheet shows exactly the pixels of a part."""
    height, width = part.shape[:2]
    rows, columns = sheet.shape[0] - height + 1, sheet.shape[1] - width + 1
    corners = [(0, 0), (height - 1, 0), (0, width - 1), (height - 1, width - 1), (height // 2, width // 3)]
    candidates = np.ones((rows, columns), bool)
    for y, x in corners:
        candidates &= (sheet[y : y + rows, x : x + columns] == part[y, x]).all(axis=2)
    positions = [(int(y), int(x)) for y, x in zip(*np.nonzero(candidates), strict=True)]
    return [(y, x) for y, x in positions if np.array_equal(sheet[y : y + height, x : x + width], part)]
