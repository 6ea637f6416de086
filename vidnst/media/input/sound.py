"""Sound as samples: a soundtrack as a file of raw floats, a style as an array, and how loud a sound is."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidnst.errors import EncoderError, SourceError, StyleError
from vidnst.media import ffmpeg
from vidnst.media.input.container import SOUND_OPTIONS

_STYLE_SECONDS = 60
"""Seconds of a style that are read: its texture is in them."""
_PLAIN_LAYOUTS = "aformat=channel_layouts=stereo|mono"
_TIMEOUT_SECONDS = 600
_BYTES = np.dtype("<f4").itemsize
_PIECE_SAMPLES = 1 << 18
_LOUDNESS = re.compile(r"^ +I: +(-?[0-9.]+) LUFS", re.MULTILINE)
_GATE_LUFS = -70.0
"""What EBU R128 says of silence, and of what is shorter than its blocks of 400 ms."""
_LEVEL_OFFSET = -0.691
_SILENT = 1e-6
ALIGNED = "aresample=async=1:first_pts=0"
"""Filter that begins at time 0 and fills gaps with silence, without stretching anything."""


@dataclass(frozen=True, slots=True)
class RawSound:
    """A file of interleaved float32 samples, little-endian; full scale is 1."""

    path: Path
    rate: int
    """Samples per second."""
    channels: int
    layout: str = ""
    """ffmpeg's name of the channel layout; empty for the usual one of so many channels."""

    @property
    def samples(self) -> int:
        """Number of samples of each channel."""
        return self.path.stat().st_size // (_BYTES * self.channels)

    @property
    def options(self) -> list[str]:
        """ffmpeg's input options that say what is in the file, before `-i`."""
        layout = ["-ch_layout", self.layout] if self.layout else ["-ac", str(self.channels)]
        return [*ffmpeg.PROTOCOL_OPTIONS, "-f", "f32le", "-ar", str(self.rate), *layout]

    @property
    def input(self) -> list[str]:
        """ffmpeg's options for the file as an input."""
        return [*self.options, "-i", ffmpeg.file_url(self.path)]

    def read(self, start: int, end: int) -> NDArray[np.float32]:
        """Return the samples `start <= index < end`, `(channels, samples)`.

        Raises:
            SourceError: the file has been cut off.
        """
        count = (end - start) * self.channels
        values = np.fromfile(self.path, "<f4", count, offset=start * self.channels * _BYTES)
        if values.size != count:
            raise SourceError(f"the samples in {self.path} have been cut off", "give the same command again")
        return np.ascontiguousarray(values.reshape(-1, self.channels).T.astype(np.float32, copy=False))

    def pieces(self) -> Iterator[NDArray[np.float32]]:
        """Yield all samples, piece by piece."""
        total = self.samples
        for start in range(0, total, _PIECE_SAMPLES):
            yield self.read(start, min(total, start + _PIECE_SAMPLES))

    def write(self, pieces: Iterator[NDArray[np.float32]]) -> None:
        """Write the file from pieces, `(channels, samples)`."""
        with self.path.open("wb") as file:
            for piece in pieces:
                file.write(np.ascontiguousarray(piece.T, "<f4").tobytes())


def decode_track(
    source_options: Sequence[str],
    stream: int,
    target: RawSound,
    *,
    most_seconds: Fraction,
    cancelled: Callable[[], bool] | None = None,
) -> int:
    """Decode an audio stream to a raw file, aligned to time 0 of the input.

    Samples that are NaN or infinite are taken as 0; returns their number.

    Args:
        source_options: ffmpeg's options for the input, with `-i`.
        stream: index of the stream in the input.
        target: the file, with the stream's rate and channels.
        most_seconds: where decoding stops: gaps between time stamps become silence, of any length.
        cancelled: polled regularly; True stops.

    Raises:
        EncoderError, DiskFullError: ffmpeg failed.
        CancelledError: `cancelled` returned True.
    """
    layout = ["-ch_layout", target.layout] if target.layout else ["-ac", str(target.channels)]
    args = [*source_options, "-map", f"0:{stream}", "-af", ALIGNED, *layout, "-ar", str(target.rate)]
    args += ["-t", f"{float(most_seconds):.6f}"]
    args += ["-c:a", "pcm_f32le", "-f", "f32le", "-y", ffmpeg.file_url(target.path)]
    ffmpeg.run(args, cancelled=cancelled)
    return _replace_not_finite(target.path)


def _replace_not_finite(path: Path) -> int:
    """Set the samples of a raw file that are not finite to 0; returns their number."""
    total, count = path.stat().st_size // _BYTES, 0
    with path.open("r+b") as file:
        for start in range(0, total, _PIECE_SAMPLES):
            file.seek(start * _BYTES)
            values = np.frombuffer(file.read(min(_PIECE_SAMPLES, total - start) * _BYTES), "<f4")
            finite = np.isfinite(values)
            if not finite.all():
                count += int(np.count_nonzero(~finite))
                file.seek(start * _BYTES)
                file.write(np.where(finite, values, np.float32(0)).astype("<f4").tobytes())
    return count


def read_style_sound(path: Path, rate: int) -> NDArray[np.float32]:
    """Return the first minute of a file's sound in up to two channels, `(channels, samples)`.

    Raises:
        StyleError: there is no such file, it has no sound that ffmpeg reads, or it is silent or not finite.
    """
    stereo = read_excerpt(path, rate, channels=2, seconds=_STYLE_SECONDS)
    alike = np.array_equal(stereo[0], stereo[1])
    sound = read_excerpt(path, rate, channels=1, seconds=_STYLE_SECONDS) if alike else stereo
    if not np.isfinite(sound).all():
        raise StyleError(f"the sound of {path} has samples that are NaN or infinite", "choose another file")
    if float(np.abs(sound).max(initial=0)) < _SILENT:
        raise StyleError(f"the sound of {path} is silent", "choose another file")
    return sound


def read_excerpt(path: Path, rate: int, *, channels: int, seconds: float, start: float = 0.0) -> NDArray[np.float32]:
    """Return the sound of a part of a file, `(channels, samples)`: of its first track.

    Raises:
        StyleError: there is no such file, or it has no sound that ffmpeg reads.
    """
    if not os.path.isfile(path):  # False, too, for names that no system has
        raise StyleError(f"there is no sound at {path}", "check the path")
    args = ["-loglevel", "error", *(["-ss", f"{start:.6f}"] if start else []), *SOUND_OPTIONS]
    args += ["-i", ffmpeg.file_url(path), "-map", "0:a:0", "-t", str(seconds), "-af", _PLAIN_LAYOUTS]
    args += ["-ar", str(rate), "-ac", str(channels), "-c:a", "pcm_f32le", "-f", "f32le", "pipe:1"]
    frame_bytes = channels * _BYTES
    most = round(seconds * rate) * frame_bytes + (1 << 20)
    status, data, errors = ffmpeg.run_and_capture(args, max_bytes=most, seconds=_TIMEOUT_SECONDS)
    if status:
        raise StyleError(_why_no_sound(path, errors), "choose another file")
    values = np.frombuffer(data[: len(data) // frame_bytes * frame_bytes], "<f4")
    return np.ascontiguousarray(values.reshape(-1, channels).T, np.float32)


def loudness(sound: RawSound) -> float | None:
    """Return the integrated loudness of a sound in LUFS, by EBU R128; None for silence.

    What is shorter than 400 ms, or below the gate everywhere, gets its plain level instead.

    Raises:
        EncoderError: ffmpeg failed.
    """
    args = [*sound.input, "-af", "ebur128=framelog=quiet", "-f", "null", "-"]
    status, _, errors = ffmpeg.run_and_capture(args)
    found = _LOUDNESS.findall(errors)
    if status or not found:
        raise EncoderError(f"the loudness cannot be measured: {_last_line(errors)}")
    if float(found[-1]) > _GATE_LUFS:
        return float(found[-1])
    energy, count = 0.0, 0
    for piece in sound.pieces():
        energy += float((piece.astype(np.float64) ** 2).sum())
        count += piece.shape[1]
    mean = energy / max(1, count)
    return 10 * float(np.log10(mean)) + _LEVEL_OFFSET if mean > _SILENT**2 else None


def _why_no_sound(path: Path, errors: str) -> str:
    if "matches no streams" in errors:
        return f"{path} has no sound"
    if "Error opening input" in errors:
        return f"{path} has no sound that can be read"
    return f"the sound of {path} cannot be read: {_last_line(errors)}"


def _last_line(errors: str) -> str:
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    return (lines[-1] if lines else "without a message").rstrip(".")
