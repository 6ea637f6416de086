"""Draw the samples: three time-lapse clips, a burst of pictures and three styles.

    python samples/make_samples.py                  everything, into the folder of this script
    python samples/make_samples.py mosaic burst     some of it
    python samples/make_samples.py --into out       somewhere else

Nothing is read and nothing is downloaded. The same seed draws the same pictures; another one draws others of the kind.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from studio import burst, garden, mosaic, street, swirls, timelapse, woodcut
from studio.movie import shore_sound, write_mp4
from studio.texture import Picture, write_jpeg

HERE = Path(__file__).resolve().parent


def make_timelapse(into: Path, seed: int) -> list[Path]:
    """An evening over a bay: 84 frames of 640x360, with wind and water to hear."""
    path = into / "timelapse.mp4"
    sound = shore_sound(np.random.default_rng(seed), seconds=timelapse.FRAMES / timelapse.RATE)
    write_mp4(path, timelapse.frames(seed), sound, rate=timelapse.RATE, crf=22)
    return [path]


def make_street(into: Path, seed: int) -> list[Path]:
    """A street from afternoon to night: 84 frames of 640x360, silent."""
    path = into / "street.mp4"
    write_mp4(path, street.frames(seed), None, rate=street.RATE, crf=22)
    return [path]


def make_garden(into: Path, seed: int) -> list[Path]:
    """Flowers that open before a wall, from morning to evening: 84 frames of 640x360, silent."""
    path = into / "garden.mp4"
    write_mp4(path, garden.frames(seed), None, rate=garden.RATE, crf=31)
    return [path]


def make_burst(into: Path, seed: int) -> list[Path]:
    """Eight pictures of a boat at its pier, taken from the hand."""
    paths = []
    for number, picture in enumerate(burst.pictures(seed), start=1):
        paths.append(into / "burst" / f"IMG_{number:04}.jpg")
        write_jpeg(paths[-1], picture, quality=85)
    return paths


def _make_style(name: str, paint: Callable[[int], Picture]) -> Callable[[Path, int], list[Path]]:
    def make(into: Path, seed: int) -> list[Path]:
        path = into / "styles" / f"{name}.jpg"
        write_jpeg(path, paint(seed), quality=86)
        return [path]

    return make


SAMPLES: dict[str, tuple[Callable[[Path, int], list[Path]], int]] = {
    "timelapse": (make_timelapse, 7),
    "street": (make_street, 2),
    "garden": (make_garden, 5),
    "burst": (make_burst, 11),
    "swirls": (_make_style("swirls", swirls.paint), 3),
    "mosaic": (_make_style("mosaic", mosaic.paint), 3),
    "woodcut": (_make_style("woodcut", woodcut.paint), 3),
}
"""What can be made: name, how, and the seed it was tuned with."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Make what the command line asks for and say what was written."""
    parser = argparse.ArgumentParser(description="Draw vidnst's samples.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to make (all): {', '.join(SAMPLES)}")
    parser.add_argument("--into", type=Path, default=HERE, help="folder to write to (the one of this script)")
    parser.add_argument("--seed", type=int, help="draw others of the kind")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in SAMPLES]
    if unknown:
        parser.error(f"no sample is called {unknown[0]!r}; choose from {', '.join(SAMPLES)}")
    cv2.setNumThreads(1)  # rounding must not depend on how a picture is shared out among threads
    for name in options.names or SAMPLES:
        make, tuned = SAMPLES[name]
        begin = time.perf_counter()
        paths = make(options.into, tuned if options.seed is None else options.seed)
        size = sum(path.stat().st_size for path in paths) / 1000
        where = paths[0] if len(paths) == 1 else f"{len(paths)} pictures in {paths[0].parent}"
        print(f"{where}: {size:.0f} kB, {time.perf_counter() - begin:.1f} s", flush=True)


if __name__ == "__main__":
    main()
