"""Compare how renders of a time-lapse follow the day: `python tests/bench/day.py RUN.vidnst ... --style PICTURE`.

Give run folders of one source that kept their frames (`--keep-frames`). Some frames are also painted alone, with the
settings of the first run, a cold start and the light of the frame. Each run becomes a row: how much the mean luma
swings, as a share of the source's; how unevenly it does (the mean absolute second difference over the source's); the
content loss of the painted frames over that of the same frames painted alone, its value in the last frame and its
slope per 100 frames; the flicker where the source is still, and the warping error. `--sheet FILE` draws the frames.
With `--lit` the frames that are painted alone are painted under the light of the first run and lit as it lights its
own, so that the loss tells how stale the paint is, and nothing about the light.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidnst.frames import Pixels, luma, to_bits, to_float
from vidnst.media.draw.contact_sheet import resize_image
from vidnst.media.images import read_image, write_image
from vidnst.media.input.frame_reader import FrameReader
from vidnst.media.input.probe import probe
from vidnst.rendering.lighting import Lighting
from vidnst.rendering.measure_output import MeasureRequest, measure_output
from vidnst.rendering.network_weights import read_features
from vidnst.runs.record import find_record
from vidnst.style.stylizer import Stylizer
from vidnst.style.tensors import from_pixels, to_state

COLUMNS = ("run", "luma swing", "unevenness", "content / alone", "last frame", "slope", "still flicker", "error")
_THUMBNAIL_PX = 320


class Alone:
    """Frames of a source painted one by one, and the content losses of pictures of them."""

    def __init__(self, folder: Path, style: str, *, backbone: str, every: int, lit: bool) -> None:
        record = find_record(folder)
        assert record is not None
        config = record.request.config
        model = config.model.model_copy(update={"backbone": backbone, "weights": None})
        config = config.model_copy(update={"model": model})
        clip = probe(record.request.source)
        frames = record.frames(0, clip.frame_count)
        size = read_image(frames[0]).shape[1::-1]
        with FrameReader(clip, size=size) as reader:
            self.sources: dict[int, Pixels] = {frame.index: frame.pixels.copy() for frame in reader}
        paint = read_image(Path(style))
        self._stylizer = Stylizer(read_features(config), [(paint, 1.0)], config)
        self.chosen = [*range(0, len(self.sources) - 1, every), len(self.sources) - 1]
        self.painted: dict[int, Pixels] = {}
        plan = record.plan_of(0, clip.frame_count)
        daylight, share = plan.daylight if lit and plan else None, config.motion.light_share
        lighting = Lighting(daylight, share, [paint], capacity=1) if daylight and share is not None else None
        for index in self.chosen:
            source = self.sources[index]
            content = lighting.evened(0, index, source) if lighting else source
            state = to_state(self._stylizer.stylize(from_pixels(content)).image)
            self.painted[index] = to_bits(lighting.lit(0, index, state, source, None) if lighting else state, 8)
        self._losses = {index: self.content_loss(index, self.painted[index]) for index in self.chosen}

    def content_loss(self, index: int, picture: Pixels) -> float:
        """Return the content loss of a picture of a frame."""
        return self._stylizer.evaluate(from_pixels(self.sources[index]), from_pixels(picture))["content"]

    def ratio(self, index: int, picture: Pixels) -> float:
        """Return the content loss of a picture over that of the frame painted alone."""
        return self.content_loss(index, picture) / self._losses[index]


def lumas(pictures: list[Pixels]) -> NDArray[np.float64]:
    """Return the mean luma of each picture, in levels of 255."""
    return np.array([float(luma(to_float(picture)).mean()) * 255 for picture in pictures])


def unevenness(values: NDArray[np.float64]) -> float:
    """Return the mean absolute second difference."""
    return float(np.abs(np.diff(values, 2)).mean())


def row(folder: Path, alone: Alone) -> list[str]:
    """Measure a run folder and format its row."""
    record = find_record(folder)
    assert record is not None
    pictures = [read_image(path) for path in record.frames(0, len(alone.sources))]
    own, source = lumas(pictures), lumas(list(alone.sources.values()))
    ratios = [alone.ratio(index, pictures[index]) for index in alone.chosen]
    slope = float(np.polyfit(alone.chosen, ratios, 1)[0]) * 100
    found = measure_output(MeasureRequest(folder, with_losses=False))
    numbers = (np.ptp(own) / np.ptp(source), unevenness(own) / unevenness(source), np.mean(ratios), ratios[-1], slope)
    more = (found.flicker.output or 0.0, found.error().output or 0.0)
    return [folder.name.removesuffix(".vidnst"), *(f"{number:.3g}" for number in (*numbers, *more))]


def write_sheet(path: Path, folders: list[Path], alone: Alone) -> None:
    """Write a picture with a row for each chosen frame: the source, painted alone, and each run's."""
    rows = []
    for index in alone.chosen:
        pictures = [alone.sources[index], alone.painted[index]]
        for folder in folders:
            record = find_record(folder)
            assert record is not None
            pictures.append(read_image(record.frames(0, len(alone.sources))[index]))
        height, width = pictures[0].shape[:2]
        size = min(width, _THUMBNAIL_PX), round(height * min(1, _THUMBNAIL_PX / width))
        rows.append(np.concatenate([resize_image(to_bits(picture, 8), *size) for picture in pictures], axis=1))
    write_image(path, np.concatenate(rows))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--style", required=True, help="the style picture")
    parser.add_argument("--backbone", default="vgg19", choices=("vgg19", "slim"), help="the judge, and alone's network")
    parser.add_argument("--every", type=int, default=12, help="frames from one that is painted alone to the next")
    parser.add_argument("--lit", action="store_true", help="paint alone under the light of the first run's shot")
    parser.add_argument("--sheet", type=Path, help="a picture of the painted frames")
    options = parser.parse_args()
    alone = Alone(options.folders[0], options.style, backbone=options.backbone, every=options.every, lit=options.lit)
    for cells in (COLUMNS, ["---"] * len(COLUMNS)):
        sys.stdout.write(f"| {' | '.join(cells)} |\n")
    for folder in options.folders:
        sys.stdout.write(f"| {' | '.join(row(folder, alone))} |\n")
        sys.stdout.flush()
    if options.sheet:
        write_sheet(options.sheet, options.folders, alone)


if __name__ == "__main__":
    main()
