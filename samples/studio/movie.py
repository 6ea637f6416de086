"""Frames and sound into an mp4, by the ffmpeg that is bundled with imageio-ffmpeg."""

import subprocess
import tempfile
import wave
from collections.abc import Iterable, Iterator
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from .texture import Picture, to_bytes

_SOUND_RATE = 48_000


def moments(count: int, last: int) -> Iterator[float]:
    """The moments that `count` frames show of a clip tuned in `last` frames: from 0 to `last - 1`, evenly spaced."""
    for index in range(count):
        yield index * (last - 1) / max(count - 1, 1)


def shore_sound(rng: np.random.Generator, *, seconds: float) -> NDArray[np.int16]:
    """Wind and small waves on a shore, quiet: `(samples, 2)` int16 at 48 kHz, faded in and out."""
    count = round(seconds * _SOUND_RATE)
    time = np.arange(count) / _SOUND_RATE
    frequency = np.fft.rfftfreq(count, 1 / _SOUND_RATE)

    def noise(gain: NDArray[np.float64]) -> NDArray[np.float64]:
        sound = np.fft.irfft(np.fft.rfft(rng.standard_normal(count)) * gain, n=count)
        return np.asarray(sound / np.abs(sound).max())

    channels = []
    for side in (0.0, 0.9):
        wind = noise(1 / (1 + (frequency / 180) ** 2) * (frequency > 35))
        wash = noise(np.exp(-((np.log2(np.maximum(frequency, 1) / 1400) / 1.3) ** 2)))
        gusts = 0.65 + 0.35 * np.sin(2 * np.pi * 0.31 * time + side)
        breakers = np.maximum(np.sin(2 * np.pi * 0.42 * time - 0.6 + side), 0) ** 3
        channels.append(0.16 * wind * gusts + 0.10 * wash * (0.15 + breakers))
    fade = np.clip(np.minimum(time, time[::-1]) / 0.25, 0, 1)
    return np.rint(np.stack(channels, -1) * fade[:, None] * 32767).astype(np.int16)


def write_wave(path: Path, sound: NDArray[np.int16]) -> None:
    """Write `(samples, 2)` int16 at 48 kHz as a WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(sound.shape[1])
        file.setsampwidth(2)
        file.setframerate(_SOUND_RATE)
        file.writeframes(sound.astype("<i2").tobytes())


def write_mp4(path: Path, frames: Iterable[Picture], sound: NDArray[np.int16] | None, *, rate: int, crf: int) -> None:
    """Write H.264 with AAC sound, tagged BT.709.

    Args:
        path: the file, replaced if it exists.
        frames: pictures of one size, both sides even.
        sound: `(samples, 2)` int16 at 48 kHz, None for a silent file.
        rate: frames per second.
        crf: constant rate factor of x264, lower is better and larger.

    Raises:
        RuntimeError: when ffmpeg fails; the message ends with what it said first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = iter(frames)
    first = next(pictures)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        heard = None if sound is None else Path(folder, "sound.wav")
        if heard is not None and sound is not None:
            write_wave(heard, sound)
        command = _command(path, first.shape[:2], heard, rate=rate, crf=crf)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=log) as ffmpeg:
            assert ffmpeg.stdin is not None
            try:
                ffmpeg.stdin.write(to_bytes(first).tobytes())
                for picture in pictures:
                    ffmpeg.stdin.write(to_bytes(picture).tobytes())
                ffmpeg.stdin.close()
            except BrokenPipeError:
                pass  # ffmpeg has given up; its exit status and its words say why
        if ffmpeg.returncode:
            log.seek(0)
            raise RuntimeError(f"ffmpeg could not write {path}: {log.read(500).decode(errors='replace').strip()}")


def _command(path: Path, size: tuple[int, ...], sound: Path | None, *, rate: int, crf: int) -> list[str]:
    height, width = size
    colour = "scale=out_color_matrix=bt709:out_range=tv,"
    colour += "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"
    return [
        *(imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error"),
        *("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(rate), "-i", "-"),
        *([] if sound is None else ["-i", str(sound), "-map", "0:v", "-map", "1:a"]),
        *("-vf", colour, "-c:v", "libx264", "-preset", "slow", "-tune", "animation"),
        *("-crf", str(crf), "-pix_fmt", "yuv420p", "-threads", "1"),
        *(
            "-c:a",
            "aac",
            "-b:a",
            "64k",
            "-fflags",
            "+bitexact",
            "-flags:v",
            "+bitexact",
            "-flags:a",
            "+bitexact",
        ),
        *("-movflags", "+faststart", str(path)),
    ]
