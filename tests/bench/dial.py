"""Measure and show the stability dial: `python tests/bench/dial.py CLIP@START-END ... --style STYLE --into FOLDER`.

Every clip is rendered at positions from 0 to 1, small and by the slim network, with one worker of one thread. Each
gives a row: evaluations of the loss, Lai's warping error of neighbours over the source's own, the flicker of static
places in levels of 255 next to the source's own, sharpness over the source's, and the style loss. `dial.png` shows, of
each clip and position, a part of a frame, and how the row of pixels across its middle changes from frame to frame,
downwards: straight lines are steady, torn ones boil.
"""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

import vidnst
from vidnst.config.loader import load_config
from vidnst.frames import Pixels
from vidnst.media.draw.contact_sheet import SheetTile, draw_table
from vidnst.media.images import read_image, write_image
from vidnst.report.measure.measurement import Measurement

COLUMNS = (
    "clip",
    "dial",
    "evaluations",
    "error / source",
    "flicker",
    "source's own",
    "sharpness / source",
    "style loss",
)
TILE = 120, 68


def render(clip: str, dial: float, options: argparse.Namespace) -> tuple[Measurement, list[Pixels]]:
    """Render a clip at a position of the dial and return its measurement and frames."""
    source, _, span = clip.rpartition("@")
    start, _, end = span.partition("-")
    config = load_config(
        stability=dial,
        options={
            "input.size": options.size,
            "input.start": start,
            "input.end": end,
            "model.backbone": "slim",
            "optimize.iterations": options.iterations,
            "farm.executor": "inline",
            "farm.workers": 1,
            "farm.threads": 1,
            "output.report": False,
        },
    )
    folder = options.into / f"{Path(source).stem}-{round(100 * dial):03}"
    done = vidnst.render(source, style=options.style, output=folder, config=config, overwrite=True, restart=True)
    assert done.measurement is not None
    return done.measurement, [read_image(path) for path in sorted(folder.glob("*.png"))]


def row(clip: str, dial: float, found: Measurement) -> str:
    """Format the row of a render."""
    style = found.losses.get("style")
    numbers = (found.error().ratio, found.flicker.output, found.flicker.source, found.sharpness.ratio, style)
    cells = ["-" if number is None else f"{number:.3g}" for number in numbers]
    return (
        f"| {' | '.join([Path(clip.partition('@')[0]).stem, f'{dial:.2g}', str(found.evaluations or '-'), *cells])} |\n"
    )


def tile(frames: list[Pixels]) -> Pixels:
    """A part of the middle frame, above the middle row of pixels over time."""
    width, height = TILE
    middle = frames[len(frames) // 2]
    top, left = (middle.shape[0] - height) // 2, (middle.shape[1] - width) // 2
    part = middle[top : top + height, left : left + width]
    slices = np.stack([frame[frame.shape[0] // 2, left : left + width] for frame in frames])
    return np.vstack([part, cv2.resize(slices, (width, 3 * len(frames)), interpolation=cv2.INTER_NEAREST)])


def main() -> None:
    """Print the table and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", metavar="CLIP@START-END")
    parser.add_argument("--style", required=True)
    parser.add_argument("--into", type=Path, required=True, help="a folder for outputs and the sheet")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--iterations", type=int, default=110)
    parser.add_argument("--dials", type=float, nargs="+", default=[step / 10 for step in range(11)])
    options = parser.parse_args()
    options.into.mkdir(parents=True, exist_ok=True)
    sys.stdout.write(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|\n")
    tiles: list[list[SheetTile | None]] = []
    for clip in options.clips:
        tiles.append([])
        for dial in options.dials:
            found, frames = render(clip, dial, options)
            tiles[-1].append(SheetTile(tile(frames)))
            sys.stdout.write(row(clip, dial, found))
            sys.stdout.flush()
    write_image(options.into / "dial.png", draw_table(tiles, columns=[f"{dial:g}" for dial in options.dials]).pixels)


if __name__ == "__main__":
    main()
