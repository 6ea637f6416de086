"""Draw README's pictures with vidnst itself.

    python samples/make_readme_pictures.py                      the samples in each of their styles
    python samples/make_readme_pictures.py --day OUTPUT.mp4     frames of the time-lapse, rendered with that preset
    python samples/make_readme_pictures.py --moving FOLDER      README's moving picture

The first sheet has contents in its rows and styles in its columns: default settings but for the size. The second
shows every twelfth frame of the time-lapse, painted alone, and in the render: `vidnst render samples/timelapse.mp4
--style samples/styles/swirls.jpg --preset timelapse --backbone slim --size 256 -o OUTPUT.mp4`. The moving picture
shows every second frame of the clip next to that of README's first command, which is rendered at 400 pixels for it:
`vidnst render samples/timelapse.mp4 --style samples/styles/swirls.jpg --preset draft --size 400 -o FOLDER/frames`.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

import vidnst
from vidnst.frames import Pixels, to_bits
from vidnst.media.draw.contact_sheet import SheetTile, draw_table
from vidnst.media.images import read_image, write_image
from vidnst.media.input.frame_reader import FrameReader
from vidnst.media.input.probe import probe
from vidnst.style.tensors import from_pixels, to_state

SAMPLES = Path(__file__).resolve().parent
SIZE = (320, 180)
STYLES = ("swirls", "mosaic", "woodcut")
BAY_FRAMES = (34, 72)
MOVING_SIZE = 400
MOVING_QUALITY = 75


def contents() -> list[Pixels]:
    """Pictures of the samples, in the size of a cell: the bay in the evening and at night, and the boat."""
    with FrameReader(probe(SAMPLES / "timelapse.mp4"), size=SIZE) as reader:
        bay = [reader.read(index).pixels for index in BAY_FRAMES]
    boat = read_image(SAMPLES / "burst" / "IMG_0001.jpg")
    height = boat.shape[1] * SIZE[1] // SIZE[0]
    top = (boat.shape[0] - height) // 2
    return [*bay, np.asarray(cv2.resize(boat[top : top + height], SIZE, interpolation=cv2.INTER_AREA), np.uint8)]


def sheet(weights: str | None) -> Pixels:
    """Contents in the first column, styles in the first row, results in the rest."""
    config = vidnst.RenderConfig.model_validate({"model": {"weights": weights}})
    styles = [read_image(SAMPLES / "styles" / f"{name}.jpg") for name in STYLES]
    rows: list[list[SheetTile | None]] = [[None, *(SheetTile(as_high_as_cells(style)) for style in styles)]]
    for content in contents():
        results = [vidnst.stylize(from_pixels(content), from_pixels(style), config=config) for style in styles]
        rows.append([SheetTile(content), *(SheetTile(to_bits(to_state(result), 8)) for result in results)])
    return draw_table(rows).pixels


def as_high_as_cells(style: Pixels) -> Pixels:
    """A style as high as a cell."""
    width = style.shape[1] * SIZE[1] // style.shape[0]
    return np.asarray(cv2.resize(style, (width, SIZE[1]), interpolation=cv2.INTER_AREA), np.uint8)


def day_sheet(output: Path) -> NDArray[np.uint8]:
    """Rows of the time-lapse's frames, of the same frames painted alone, and of those of a render of it."""
    made, indices = probe(output), range(0, 84, 12)
    size = made.width, made.height
    style = from_pixels(read_image(SAMPLES / "styles" / "swirls.jpg"))
    columns = []
    with FrameReader(probe(SAMPLES / "timelapse.mp4"), size=size) as source, FrameReader(made) as rendered:
        for index in indices:
            content = source.read(index).pixels
            config = {"model": {"backbone": "slim"}}
            alone = vidnst.stylize(from_pixels(content), style, preset="timelapse", config=config)
            columns.append(np.vstack([content, to_bits(to_state(alone), 8), rendered.read(index).pixels]))
    return np.hstack(columns).astype(np.uint8)


def moving_frames(folder: Path) -> list[Pixels]:
    """Every second frame of the sample clip, next to the same frame of README's first command, rendered smaller."""
    frames = folder / "frames"
    style = SAMPLES / "styles" / "swirls.jpg"
    config = {"input.size": MOVING_SIZE}
    vidnst.render(SAMPLES / "timelapse.mp4", style=style, output=frames, preset="draft", config=config, overwrite=True)
    painted = [read_image(path) for path in sorted(frames.glob("*.png"))]
    height, width = painted[0].shape[:2]
    with FrameReader(probe(SAMPLES / "timelapse.mp4"), size=(width, height)) as source:
        return [np.hstack([source.read(index).pixels, painted[index]]) for index in range(0, len(painted), 2)]


def write_moving(output: Path, frames: list[Pixels]) -> None:
    """Write an animation that repeats, half as many frames a second as the clip has."""
    first, *others = (Image.fromarray(frame) for frame in frames)
    first.save(
        output, save_all=True, append_images=others, duration=2000 / 24, loop=0, quality=MOVING_QUALITY, method=6
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--weights", help="VGG19 weights: a file; default: those installed with vidnst")
    parser.add_argument("--day", type=Path, help="draw frames of this render of the time-lapse instead")
    parser.add_argument("--moving", type=Path, metavar="FOLDER", help="draw the moving picture; frames go here")
    parser.add_argument("--output", type=Path, help="default: where README shows it")
    arguments = parser.parse_args()
    name = "evening.webp" if arguments.moving else "day.jpg" if arguments.day else "styles.jpg"
    output = arguments.output or SAMPLES / "readme" / name
    output.parent.mkdir(exist_ok=True)
    if arguments.moving:
        write_moving(output, moving_frames(arguments.moving))
    elif arguments.day:
        write_image(output, day_sheet(arguments.day))
    else:
        write_image(output, sheet(arguments.weights))
