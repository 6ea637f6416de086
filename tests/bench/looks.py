"""Draw contents x styles at the default settings: `python tests/bench/looks.py --content A --style B -o FOLDER`.

Each cell is written to FOLDER as soon as it is done, and kept by the next call, so a long sheet can be drawn in parts;
sheet.png and losses.md show all. `--set KEY=VALUE` changes settings: give each variant a folder of its own.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import torch

from vidnst.config import RenderConfig
from vidnst.config.loader import load_config
from vidnst.frames import Pixels
from vidnst.media.draw.contact_sheet import SheetTile, draw_table
from vidnst.media.draw.text import ImageBuffer
from vidnst.media.images import read_image, write_image
from vidnst.media.input.frame_reader import fit_size
from vidnst.style.network.backbones import last_layer
from vidnst.style.network.weights import load_features, resolve_weights
from vidnst.style.stylizer import Stylizer
from vidnst.style.tensors import from_pixels

SHAPE = (3, 2)
"""Width and height of a cell, as a ratio: contents are cropped to it around their middle."""


def cropped(pixels: Pixels, width: int) -> Pixels:
    """A picture scaled and cropped to a cell, `(H, W, 3)`."""
    height = width * SHAPE[1] // SHAPE[0] // 2 * 2
    scale = max(width / pixels.shape[1], height / pixels.shape[0])
    size = max(width, round(pixels.shape[1] * scale)), max(height, round(pixels.shape[0] * scale))
    scaled = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    top, left = (size[1] - height) // 2, (size[0] - width) // 2
    return np.asarray(scaled[top : top + height, left : left + width], np.uint8)


def draw_cell(content: Pixels, style: Pixels, config: RenderConfig, path: Path) -> None:
    """Stylize one content as a cold frame, and write the picture and, next to it, its losses."""
    backbone = config.model.backbone
    features = load_features(
        resolve_weights(config.model.weights, backbone=backbone), last_layer(config), backbone=backbone
    )
    result = Stylizer(features, [(style, 1.0)], config).stylize(from_pixels(content))
    write_image(path, (result.image[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8))
    losses = {name: round(float(value), 5) for name, value in result.losses.items()}
    path.with_suffix(".json").write_text(json.dumps(losses))


def draw_sheet(contents: dict[str, Pixels], styles: dict[str, Pixels], folder: Path) -> ImageBuffer:
    """Contents in the first column, styles in the first row, and the cells that exist."""
    width = max(content.shape[1] for content in contents.values())
    rows = [[None, *(SheetTile(fitted(style, width)) for style in styles.values())]]
    for name, content in contents.items():
        cells = [folder / f"{name}-{style}.png" for style in styles]
        rows.append([SheetTile(content), *(SheetTile(read_image(cell)) if cell.exists() else None for cell in cells)])
    return draw_table(rows).pixels


def fitted(pixels: Pixels, width: int) -> Pixels:
    """A picture at the width of a cell, and at most as high as wide."""
    size = fit_size(pixels.shape[1], pixels.shape[0], width)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def main() -> None:
    """Draw the cells that are missing, then the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--content", type=Path, action="append", required=True)
    parser.add_argument("--style", type=Path, action="append", required=True)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--preset")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    config = load_config(preset=options.preset, assignments=options.settings)
    contents = {path.stem: cropped(read_image(path), options.width) for path in options.content}
    styles = {path.stem: read_image(path) for path in options.style}
    options.output.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        for style_name, style in styles.items():
            path = options.output / f"{name}-{style_name}.png"
            if not path.with_suffix(".json").exists():
                draw_cell(content, style, config, path)
                write_image(options.output / "sheet.png", draw_sheet(contents, styles, options.output))
    lines = [f"| | {' | '.join(styles)} |", f"|---|{'---|' * len(styles)}"]
    for name in contents:
        cells = [json.loads((options.output / f"{name}-{style}.json").read_text()) for style in styles]
        texts = [f"{cell['style']:.4f}, {cell['content']:.3f}" for cell in cells]
        lines.append(f"| {name} | {' | '.join(texts)} |")
    (options.output / "losses.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
