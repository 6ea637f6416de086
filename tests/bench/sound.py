"""Measure restyled soundtracks: `python tests/bench/sound.py SOURCE... [--style FILE] [--minutes 5]`.

For each source and each strength a row: how many times nearer the texture is to the style's than the source's was (by
the filters that were optimised, and by 512 others), how alike the levels are over time, the difference in loudness, the
samples that are missing, and the CPU seconds of one core for a second of sound. The style is rain that is made here,
unless a file is given. With `--minutes` a render of so many minutes of stereo is made, and its peak memory told.
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from vidnst.config.loader import build_config
from vidnst.media import ffmpeg
from vidnst.media.images import write_png
from vidnst.media.input.sound import RawSound, loudness, read_excerpt
from vidnst.rendering.pipeline import run
from vidnst.runs.request import Request
from vidnst.style.sound.chunks import Samples
from vidnst.style.sound.restyle import SoundStylizer
from vidnst.style.sound.spectrum import window_length
from vidnst.style.sound.texture import random_filters, texture_of

_RATE = 48_000
_LEVEL = 0.07
_COLUMNS = (
    "source",
    "strength",
    "style, own filters",
    "style, others",
    "envelopes",
    "LU before levelling",
    "samples lost",
    "CPU s",
)


def rain(seconds: float, rate: int) -> Samples:
    """Noise without its highest pitches, and drops at random."""
    generator = np.random.default_rng(5)
    count = round(seconds * rate)
    spectrum = np.fft.rfft(generator.standard_normal(count))
    noise = np.fft.irfft(spectrum / np.sqrt(1 + (np.fft.rfftfreq(count, 1 / rate) / 1500) ** 2), count)
    sound = 0.03 * noise / noise.std()
    length = rate // 20
    times = np.arange(length) / rate
    for place in generator.integers(0, count - length, round(30 * seconds)):
        ring = np.sin(2 * np.pi * generator.uniform(800, 5000) * times) * np.exp(-150 * times)
        sound[place : place + length] += generator.uniform(0.02, 0.2) * ring
    return sound[None].astype(np.float32)


def measure(name: str, source: Samples, style: Samples, options: argparse.Namespace) -> None:
    """Write a row for each strength."""
    device, window = torch.device("cpu"), window_length(_RATE)
    source, style = (part * np.float32(_LEVEL / part.std()) for part in (source, style))
    stylizer = SoundStylizer(style, _RATE, filters=options.filters, seed=0, device=device)
    for strength in options.strength:
        began = time.process_time()
        result = stylizer.restyle(source, strength=strength, iterations=options.iterations).samples
        seconds = (time.process_time() - began) / (source.shape[1] / _RATE)
        ratios = [
            distance(source, style, filters) / distance(result, style, filters)
            for filters in (random_filters(options.filters, window, 0), random_filters(512, window, 99))
        ]
        alike = np.corrcoef(level_curve(source), level_curve(result))[0, 1]
        # The pipeline evens this out; here it is what the optimisation alone leaves.
        off = lufs(result) - lufs(source)
        missing = source.shape[1] - result.shape[1]
        write_row(
            name,
            f"{strength:g}",
            *(f"{ratio:.1f}" for ratio in ratios),
            f"{alike:.3f}",
            f"{off:+.1f}",
            missing,
            f"{seconds:.1f}",
        )


def distance(sound: Samples, style: Samples, filters: torch.Tensor) -> float:
    """The relative distance of the filters' Gram matrices."""
    window = window_length(_RATE)
    mine, goal = (texture_of(torch.from_numpy(part), window, filters).filters for part in (sound, style))
    return float((mine - goal).norm() / goal.norm())


def level_curve(sound: Samples) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """The level in pieces of 20 ms."""
    length = _RATE // 50
    whole = sound[:, : sound.shape[1] // length * length].astype(np.float64)
    return np.sqrt((whole.reshape(len(sound), -1, length) ** 2).mean((0, 2)))


def lufs(sound: Samples) -> float:
    """The loudness by EBU R128."""
    with tempfile.TemporaryDirectory() as folder:
        raw = RawSound(Path(folder, "sound.raw"), _RATE, len(sound))
        raw.write(iter([sound]))
        return loudness(raw) or -70.0


def measure_memory(minutes: float, style: Samples, options: argparse.Namespace) -> None:
    """Render minutes of stereo, without painting, in this process, and write its peak memory."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sounds = {
            "clip": np.concatenate([rain(minutes * 60, _RATE)[:, ::-1], rain(minutes * 60, _RATE)]),
            "style": style,
        }
        for kind, sound in sounds.items():
            raw = RawSound(folder / f"{kind}.raw", _RATE, len(sound))
            raw.write(iter([sound]))
            ffmpeg.run([*raw.input, "-c:a", "flac", "-y", ffmpeg.file_url(folder / f"{kind}.mkv")])
            raw.path.unlink()
        sounds.clear()
        write_png(folder / "frame.png", np.full((48, 64, 3), 128, np.uint8), bits=8)
        clip = folder / "film.mkv"
        picture = ["-loop", "1", "-framerate", "1", "-t", f"{minutes * 60}", "-i", str(folder / "frame.png")]
        copied = ["-i", str(folder / "clip.mkv"), "-c:v", "ffv1", "-c:a", "copy", "-y", ffmpeg.file_url(clip)]
        ffmpeg.run([*picture, *copied])
        config = build_config(
            {
                "optimize": {"iterations": 0},
                "farm": {"executor": "inline", "workers": 1, "threads": 1},
                "audio": {
                    "style": str(folder / "style.mkv"),
                    "filters": options.filters,
                    "iterations": options.iterations,
                },
                "output": {"measure": False, "report": False},
            }
        )
        before, began = peak_gib(), time.process_time()
        run(Request(str(clip), (), folder / "out.mkv", config))
        seconds = (time.process_time() - began) / (minutes * 60)
        write_row(
            f"{minutes:g} min of stereo",
            f"{before:.2f} GiB before",
            f"{peak_gib():.2f} GiB at most",
            f"{seconds:.2f} CPU s for a second",
        )


def peak_gib() -> float:
    """The most memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)


def write_row(*cells: object) -> None:
    """Write a row of a Markdown table."""
    sys.stdout.write(f"| {' | '.join(map(str, cells))} |\n")
    sys.stdout.flush()


def main() -> None:
    """Print the table, or the memory."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("source", nargs="*", type=Path)
    parser.add_argument("--style", type=Path)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each source")
    parser.add_argument("--strength", type=float, nargs="+", default=[0.25, 0.5, 1.0])
    parser.add_argument("--filters", type=int, default=512)
    parser.add_argument("--iterations", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=0.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    style = rain(8, _RATE)
    if options.style:
        style = read_excerpt(options.style, _RATE, channels=1, seconds=60)
    if options.minutes:
        measure_memory(options.minutes, style, options)
        return
    write_row(*_COLUMNS)
    write_row(*["---"] * len(_COLUMNS))
    for path in options.source:
        sound = read_excerpt(path, _RATE, channels=2, seconds=options.seconds, start=1.0)
        alike = np.array_equal(sound[0], sound[1])
        measure(path.stem, sound[:1] if alike else sound, style, options)


if __name__ == "__main__":
    main()
