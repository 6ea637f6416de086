"""Draw README's pictures with vidnst itself.

    python samples/make_readme_pictures.py                      a frame of the sample clip after each style
    python samples/make_readme_pictures.py --draft OUTPUT.mp4   frames of what README's first command gives

The first sheet shows the source, then each result with its style in the corner: default settings but for the size. The
second shows frames of the clip above the same frames of the command's output.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import vidnst
from vidnst.frames import Pixels
from vidnst.media.images import read_image, write_image
from vidnst.media.input.frame_reader import FrameReader
from vidnst.media.input.probe import probe
from vidnst.style.tensors import from_pixels, to_state

SAMPLES = Path(__file__).resolve().parent
SIZE = (384, 216)
STYLES = ("swirls", "mosaic", "woodcut")
DRAFT_FRAMES = (10, 40, 70)


def frame(index: int) -> Pixels:
    """A frame of the sample clip, in the sheet's size."""
    with FrameReader(probe(SAMPLES / "timelapse.mp4"), size=SIZE) as reader:
        return reader.read(index).pixels


def with_corner(picture: Pixels, style: Pixels) -> Pixels:
    """A picture with its style in the lower right corner."""
    width, height = SIZE[0] // 4, SIZE[1] // 3
    small = cv2.resize(style, (width, height), interpolation=cv2.INTER_AREA)
    framed = cv2.copyMakeBorder(small, 2, 0, 2, 0, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    result = picture.copy()
    result[-framed.shape[0] :, -framed.shape[1] :] = framed
    return result


def sheet(weights: str | None, index: int) -> NDArray[np.uint8]:
    """Source and results, two by two."""
    config = vidnst.RenderConfig.model_validate({"model": {"weights": weights}})
    content = frame(index)
    cells = [content]
    for name in STYLES:
        style = read_image(SAMPLES / "styles" / f"{name}.jpg")
        result = vidnst.stylize(from_pixels(content), from_pixels(style), config=config)
        cells.append(with_corner((to_state(result.reshape(1, *result.shape[-3:])) >> 8).astype(np.uint8), style))
    return np.vstack([np.hstack(cells[:2]), np.hstack(cells[2:])]).astype(np.uint8)


def draft_sheet(output: Path) -> NDArray[np.uint8]:
    """Frames of the sample clip, and below them the same frames of a draft of it."""
    made = probe(output)
    size = made.width, made.height
    rows = []
    for clip in (probe(SAMPLES / "timelapse.mp4"), made):
        with FrameReader(clip, size=size) as reader:
            rows.append(np.hstack([reader.read(index).pixels for index in DRAFT_FRAMES]))
    return np.vstack(rows).astype(np.uint8)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--weights", help="VGG19 weights: a file; default: those installed with vidnst")
    parser.add_argument("--frame", type=int, default=34)
    parser.add_argument("--draft", type=Path, help="draw frames of this output of README's first command instead")
    parser.add_argument("--output", type=Path, help="default: where README shows it")
    arguments = parser.parse_args()
    output = arguments.output or SAMPLES / "readme" / ("styles.jpg" if arguments.draft is None else "draft.jpg")
    output.parent.mkdir(exist_ok=True)
    drawn = sheet(arguments.weights, arguments.frame) if arguments.draft is None else draft_sheet(arguments.draft)
    write_image(output, drawn)
