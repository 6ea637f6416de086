"""Draw README's pictures with vidnst itself: `python samples/make_readme_pictures.py --weights FILE`.

A frame of the sample clip after each of the three sample styles, in one sheet: the source,
then each result with its style in the corner. Default settings but for the size.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import vidnst
from vidnst.frames import Pixels
from vidnst.media.decode import FrameReader
from vidnst.media.pictures import read_picture, write_picture
from vidnst.media.probe import probe
from vidnst.style.pixels import from_pixels, to_state

SAMPLES = Path(__file__).resolve().parent
SIZE = (384, 216)
STYLES = ("swirls", "mosaic", "woodcut")


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


def sheet(weights: str, index: int) -> NDArray[np.uint8]:
    """Source and results, two by two."""
    config = vidnst.RenderConfig.model_validate({"model": {"weights": weights}})
    content = frame(index)
    cells = [content]
    for name in STYLES:
        style = read_picture(SAMPLES / "styles" / f"{name}.jpg")
        result = vidnst.stylize(from_pixels(content), from_pixels(style), config=config)
        cells.append(with_corner((to_state(result.reshape(1, *result.shape[-3:])) >> 8).astype(np.uint8), style))
    return np.vstack([np.hstack(cells[:2]), np.hstack(cells[2:])]).astype(np.uint8)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--weights", default="random", help="VGG19 weights: a file, or `random`")
    parser.add_argument("--frame", type=int, default=34)
    parser.add_argument("--output", type=Path, default=SAMPLES / "readme" / "styles.jpg")
    arguments = parser.parse_args()
    arguments.output.parent.mkdir(exist_ok=True)
    write_picture(arguments.output, sheet(arguments.weights, arguments.frame))
