"""Clips with sound, and the sound of files, for tests of soundtracks."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from support.media import numbered_pictures, run_ffmpeg, write_pictures
from support.sounds import RATE

FRAMES_PER_SECOND = 2
_SIZE = (64, 48)


def write_sound(path: Path, sound: NDArray[np.float32], *options: str) -> Path:
    """Write samples, `(channels, samples)`, to a file of sound."""
    layout = ["-ch_layout", "7.1"] if sound.shape[0] == 8 else ["-ac", str(sound.shape[0])]
    raw = ["-f", "f32le", "-ar", str(RATE), *layout, "-i", "pipe:0"]
    run_ffmpeg(*raw, *options, "-y", path, data=np.ascontiguousarray(sound.T, "<f4").tobytes())
    return path


def write_clip(path: Path, *tracks: NDArray[np.float32], codec: str = "pcm_s16le", inner: str = "pcm_s16le") -> Path:
    """Write a clip of a few numbered pictures that lasts as long as its soundtrack.

    Args:
        codec, inner: of the sound, in the clip and on the way to it.
    """
    folder = path.with_name(f"{path.stem}-parts")
    folder.mkdir()
    count = max(1, round(max(track.shape[1] for track in tracks) / RATE * FRAMES_PER_SECOND))
    write_pictures(folder, numbered_pictures(count, _SIZE))
    sounds = [write_sound(folder / f"{number}.wav", track, "-c:a", inner) for number, track in enumerate(tracks)]
    inputs = [word for sound in sounds for word in ("-i", str(sound))]
    maps = [word for number in range(len(sounds)) for word in ("-map", f"{number + 1}:a")]
    args = ["-framerate", str(FRAMES_PER_SECOND), "-i", str(folder / "%04d.png"), *inputs, "-map", "0:v", *maps]
    video = "ffv1" if path.suffix == ".mkv" else "mpeg4"
    run_ffmpeg(*args, "-c:v", video, "-c:a", codec, "-y", path)
    return path


def write_gap(path: Path, clip: Path, *, seconds: int) -> Path:
    """Write a clip again, with its second half of the sound so much later by its time stamps."""
    later = f"asetpts=PTS+gte(T\\,0.5)*{seconds}/TB"
    run_ffmpeg("-i", clip, "-c:v", "copy", "-af", later, "-c:a", "pcm_s16le", "-y", path)
    return path


def read_sound(path: Path, *, channels: int = 1, track: int = 0) -> NDArray[np.float32]:
    """Return the sound of a file, `(channels, samples)`."""
    options = ["-map", f"0:a:{track}", "-ac", str(channels), "-f", "f32le", "-c:a", "pcm_f32le", "pipe:1"]
    data = run_ffmpeg("-i", path, *options)
    return np.ascontiguousarray(np.frombuffer(data, "<f4").reshape(-1, channels).T)
