"""Untrusted files: generates media, damages it in many ways, and renders each file in a process of its own.

    python tests/support/damaged_files.py [COUNT] [SEED] [SUFFIXES]

renders COUNT (200) of them, of all formats or of those with the given suffixes (`heic,exr`), and counts how the renders
end. Exits with status 1 if any hangs, crashes, leaves a process
behind, takes too much memory, or prints more or less than one sentence; or if all end alike.

Run it as a script, in a small process with one thread: it forks, memory is counted on top of the parent's, and children
started with vfork count the parent's memory once more.
"""

import contextlib
import os
import random
import resource
import signal
import struct
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support import media, stills
from support.exr import from_pixels, write_exr, write_parts

MAX_SECONDS = 60
MAX_GROWTH_BYTES = 2 << 30
"""How far the resident memory may grow over its size before the render."""

_ADDRESS_SPACE_BYTES = 8 << 30
_SIZES = (0, 1, 0x7FFF, 60000, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
PLAYLISTS = (
    "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.1:9/part.ts\n",
    "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{other}\n",
    "ffconcat version 1.0\nfile '{other}'\n",
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "{other}\n",
    "http://127.0.0.1:9/clip.mp4\n",
)
"""Texts that some demuxers read as a list of other files; `{other}` is the path of one."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a render process ended."""

    status: int
    """Exit status; a signal is negative."""
    printed: str
    """Its standard output and error."""
    seconds: float
    grown_bytes: int
    """Peak of its own and its largest child's resident memory, over the size at its start."""
    children: int
    """Processes that it started and left running."""
    has_output: bool
    """True if it has written an output."""

    @property
    def faults(self) -> list[str]:
        """Faults in how it ended; none for an output, or for one sentence and the exit status of a bad source."""
        faults = []
        if self.seconds > MAX_SECONDS:
            faults.append(f"{self.seconds:.0f} s")
        if self.grown_bytes > MAX_GROWTH_BYTES:
            faults.append(f"{self.grown_bytes >> 20} MiB")
        if self.children:
            faults.append(f"{self.children} children left")
        if "Traceback" in self.printed:
            faults.append("traceback")
        if self.status not in (0, 3, 6):
            faults.append(f"status {self.status}")
        last = [line for line in self.printed.splitlines() if line.strip()][-1:]
        if self.status and not all(line.startswith("vidnst: ") and line.endswith(".") for line in last or [""]):
            faults.append("no sentence")
        if (self.status == 0) != self.has_output:
            faults.append("output and status do not agree")
        return faults


def originals(folder: Path) -> list[Path]:
    """Write undamaged files of many formats, of a few small frames each."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = media.numbered_pictures(6)
    aac = ("-c:a", "aac")
    made = [
        media.write_video(folder / "a.mp4", frames, sound=aac),
        media.write_video(folder / "b.mov", frames),
        media.write_video(folder / "c.mkv", frames, codec=media.FFV1),
        media.write_video(folder / "d.webm", frames, codec=("-c:v", "libvpx", "-b:v", "1M")),
        media.write_video(folder / "e.avi", frames, codec=("-c:v", "mjpeg", "-pix_fmt", "yuvj420p")),
        media.write_video(folder / "f.ts", frames, sound=aac),
        media.write_video(folder / "g.gif", frames, codec=()),
        media.write_video(folder / "h.apng", frames, codec=("-c:v", "apng")),
    ]
    pixels = [Image.fromarray(frame) for frame in frames]
    palette, small = folder / "i.png", frames[0]
    pixels[0].quantize(16).save(palette)
    cv2.imwrite(str(folder / "j.png"), small.astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels[0].save(folder / "k.jpg", exif=exif)
    for name in ("l.tif", "m.bmp", "n.webp"):
        pixels[0].save(folder / name)
    pixels[0].save(folder / "o.tif", compression="tiff_lzw")
    made += [
        write_exr(folder / "w.exr", from_pixels(small)),
        write_exr(folder / "x.exr", from_pixels(small), compression="PIZ_COMPRESSION", tile_px=32),
        write_parts(
            folder / "y.exr", {"depth": {"Z": from_pixels(small)[..., 0]}, "left": {"RGB": from_pixels(small)}}
        ),
        media.write_video(folder / "z.dpx", frames[:1], codec=("-pix_fmt", "gbrp10be")),
        media.write_video(folder / "z2.dpx", frames[:1], codec=("-pix_fmt", "rgb24")),
    ]
    pictures = (folder / name for name in ("i.png", "j.png", "k.jpg", "l.tif", "m.bmp", "n.webp", "o.tif"))
    return [*made, *pictures, *_stills(folder, frames)]


def _stills(folder: Path, frames: Sequence[media.Picture]) -> list[Path]:
    """Write pictures of phones and animations."""
    large = media.numbered_picture(1, (300, 200))
    Image.fromarray(large).save(folder / "q.avif", "AVIF", speed=10)
    return [
        stills.write_heic(folder / "p.heic", large, orientation=6, tile_px=128),
        folder / "q.avif",
        stills.write_animation(folder / "r.webp", frames, "WEBP", duration=40),
        stills.write_animation(folder / "s.png", frames, "PNG", duration=40),
        stills.write_animation(folder / "t.png", frames, "GIF", duration=40),
        stills.write_animation(folder / "u.avif", frames, "AVIF", duration=40, speed=10),
        stills.write_animation(folder / "v.tif", frames, "TIFF", compression="tiff_adobe_deflate"),
    ]


def damaged(sources: Sequence[Path], folder: Path, *, count: int, seed: int) -> Iterator[tuple[str, Path]]:
    """Write `count` damaged files, the same for the same seed; yields each with the kind of damage."""
    folder.mkdir(parents=True, exist_ok=True)
    dice = random.Random(seed)
    kinds: list[Callable[[bytes, random.Random], bytes]]
    kinds = [_flip, _flip_head, _cut, _insert, _inflate, _inflate, _png, _exif, _repeat, _boxes]
    for number in range(count):
        source = sources[number % len(sources)]
        data = source.read_bytes()
        suffix = source.suffix
        kind = kinds[(number // len(sources) + number) % len(kinds)] if number % 12 else _playlist_of(source)
        data = kind(data, dice)
        if dice.random() < 0.1:
            suffix = dice.choice([".mp4", ".png", ".jpg", ".gif", ".mkv", ".webp", ".tif", ".heic", ".avif"])
        path = folder / f"{number:03d}{suffix}"
        path.write_bytes(data)
        yield f"{source.name} {kind.__name__}", path


def _flip(data: bytes, dice: random.Random) -> bytes:
    spoilt = bytearray(data)
    for _ in range(dice.choice([1, 4, 32])):
        spoilt[dice.randrange(len(spoilt))] = dice.randrange(256)
    return bytes(spoilt)


def _flip_head(data: bytes, dice: random.Random) -> bytes:
    spoilt = bytearray(data)
    for _ in range(dice.choice([1, 4, 12])):
        at = dice.randrange(4, min(600, len(spoilt)))
        spoilt[at if dice.random() < 0.5 else len(spoilt) - at] = dice.choice([0, 255, dice.randrange(256)])
    return bytes(spoilt)


def _cut(data: bytes, dice: random.Random) -> bytes:
    return data[: dice.choice([0, 8, 64, dice.randrange(len(data)), len(data) - 1, len(data) * 9 // 10])]


def _insert(data: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(data))
    return data[:at] + dice.randbytes(dice.choice([1, 17, 4096])) + data[at + dice.choice([0, 5]) :]


def _inflate(data: bytes, dice: random.Random) -> bytes:
    """Replace a number that may be a width, height, frame count or time scale, wherever it stands."""
    number = dice.choice([*media.SIZE, *media.SIZE, 6, 25, 12800])
    form = dice.choice([">I", "<I", ">H", "<H"])
    old = struct.pack(form, number)
    new = struct.pack(form, min(dice.choice(_SIZES), 2 ** (8 * len(old)) - 1))
    return data.replace(old, new, dice.choice([1, 1, 3]))


def _png(data: bytes, dice: random.Random) -> bytes:
    """Change or remove a chunk of a PNG, with the right checksum."""
    if data[:4] != b"\x89PNG":
        return _inflate(data, dice)
    chunks, at = [], 8
    while at + 12 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        chunks.append((data[at + 4 : at + 8], bytearray(data[at + 8 : at + 8 + length])))
        at += 12 + length
    number = dice.choice([0, 0, dice.randrange(len(chunks))])
    if number and dice.random() < 0.4:
        del chunks[number]
    elif chunks[number][1]:
        body = chunks[number][1]
        place = dice.randrange(0, min(len(body), 26), 4)
        body[place : place + 4] = struct.pack(">I", dice.choice(_SIZES))
    return data[:8] + b"".join(
        struct.pack(">I", len(body)) + name + bytes(body) + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def _exif(data: bytes, dice: random.Random) -> bytes:
    """Insert broken EXIF data into a JPEG."""
    if data[:2] != b"\xff\xd8":
        return _flip_head(data, dice)
    body = b"Exif\0\0" + dice.choice([b"II*\0\x08\0\0\0" + dice.randbytes(80), b"MM\0*" + b"\xff" * 40, b""])
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]


def _repeat(data: bytes, dice: random.Random) -> bytes:
    return data + data[dice.randrange(len(data)) :] * 2


def _boxes(data: bytes, dice: random.Random) -> bytes:
    """Replace a count or a length in an index of an MP4, HEIC or AVIF file."""
    kinds = b"stts stsz stco stsc mdhd mvhd tkhd elst ispe iloc iinf ipma iref irot grid hvcC av1C pitm".split()
    names = [name for name in kinds if name in data]
    if not names:
        return _flip_head(data, dice)
    at = data.index(dice.choice(names)) + dice.choice([-4, 4, 8, 12, 16, 20])
    return data[:at] + struct.pack(">I", dice.choice(_SIZES)) + data[at + 4 :]


def _playlist_of(other: Path) -> Callable[[bytes, random.Random], bytes]:
    def _playlist(data: bytes, dice: random.Random) -> bytes:
        return dice.choice(PLAYLISTS).format(other=other).encode()

    return _playlist


def render(path: Path, folder: Path) -> Outcome:
    """Render a file by the command line in a process forked from this one, with bounded memory and time."""
    output, log = folder / f"{path.name}.out.mp4", folder / f"{path.name}.log"
    report, answer = os.pipe()
    before = _resident_bytes()
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            _work(path, output, log, answer)
        finally:
            os._exit(98)
    os.close(answer)
    status = _wait(child, began)
    with os.fdopen(report, "rb") as pipe:
        counts = pipe.read()
    peak, children = struct.unpack("<QQ", counts) if len(counts) == 16 else (0, 0)
    printed = log.read_text("utf-8", errors="replace") if log.exists() else ""
    return Outcome(status, printed, time.monotonic() - began, max(0, peak - before), children, output.exists())


def _work(path: Path, output: Path, log: Path, answer: int) -> None:
    from vidnst.__main__ import main
    from vidnst.media.input.picture_process import PICTURE_PROCESS
    from vidnst.media.input.still_process import STILL_PROCESSES
    from vidnst.processes.child_guard import CHILD_GUARD

    os.setpgid(0, 0)
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE_BYTES, _ADDRESS_SPACE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    sys.argv = ["vidnst", "render", str(path), "--iterations", "0", "--executor", "inline", "-o", str(output)]
    status = 99
    try:
        main()
    except SystemExit as left:
        status = int(left.code or 0)
    except BaseException:
        import traceback

        traceback.print_exc()
    sys.stderr.flush()
    STILL_PROCESSES.close()
    PICTURE_PROCESS.close()  # as at the exit of a process; this one is left by os._exit
    peak = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) * 1024
    os.write(answer, struct.pack("<QQ", peak, _left_behind()))
    CHILD_GUARD.close()
    os._exit(status)


def _left_behind() -> int:
    """Count the processes that this one started and that still run, but for the one that watches over them."""
    count = 0
    for task in Path("/proc/self/task").glob("*/children"):
        # A thread or a child may end at any moment, also between listing and reading it.
        with contextlib.suppress(OSError):
            for child in task.read_text().split():
                count += b"child_guard.py" not in Path("/proc", child, "cmdline").read_bytes()
    return count


def _wait(child: int, began: float) -> int:
    while time.monotonic() - began < MAX_SECONDS + 5:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _resident_bytes() -> int:
    """Return the resident memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def render_many(count: int, seed: int, folder: Path, suffixes: str = "") -> list[tuple[str, Outcome]]:
    """Render damaged files, of the given suffixes alone; return the name and damage of each with its outcome."""
    cv2.setNumThreads(1)  # forks need a process with one thread
    for name in ("vidnst.__main__", "vidnst.cli.app", "vidnst.rendering.pipeline", "vidnst.farm.workers"):
        import_module(name)  # once, not in every fork
    wanted = suffixes.split(",")
    sources = [path for path in originals(folder / "originals") if not suffixes or path.suffix[1:] in wanted]
    files = damaged(sources, folder / "damaged", count=count, seed=seed)
    return [(f"{path.name} ({what})", render(path, folder)) for what, path in files]


def main(count: int = 200, seed: int = 1, suffixes: str = "") -> int:
    """Render, print a summary, and return how many ended wrongly, plus one if all ended alike."""
    with tempfile.TemporaryDirectory() as folder:
        ended = render_many(count, seed, Path(folder), suffixes)
    bad = [(name, outcome) for name, outcome in ended if outcome.faults]
    for name, outcome in bad:
        sys.stdout.write(f"{name}: {', '.join(outcome.faults)}\n{outcome.printed[-1500:]}\n")
    statuses = Counter(outcome.status for _, outcome in ended)
    alike = not {0, 3} <= set(statuses)
    if alike:
        sys.stdout.write("nothing was damaged, or everything was\n")
    slowest = max(outcome.seconds for _, outcome in ended)
    largest = max(outcome.grown_bytes for _, outcome in ended) >> 20
    sys.stdout.write(
        f"{count} files, {len(bad)} ended wrongly; of each status: {dict(statuses)};"
        f" slowest {slowest:.1f} s, most memory {largest} MiB\n"
    )
    return len(bad) + alike


if __name__ == "__main__":
    sys.exit(bool(main(*(int(text) for text in sys.argv[1:3]), *sys.argv[3:4])))
