"""What a proof sheet is made of, how it is drawn, and what is written beside it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from vidnst.config import RenderConfig
from vidnst.frames import Pixels
from vidnst.rendering.styles.style_spec import StylePicture
from vidnst.tools.preview.single_frames import StillSource

if TYPE_CHECKING:  # it brings OpenCV
    from vidnst.media.draw.contact_sheet import TileBox

LossValues: TypeAlias = Mapping[str, float]
Stills: TypeAlias = Mapping[tuple[int, int | None], Pixels]
"""Source frames by index and longest side in pixels."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One picture of a sheet, before it is painted."""

    frame: int
    """Index of the whole source."""
    styles: tuple[StylePicture, ...]
    settings: Mapping[str, Any]
    """The values of the axes, by dotted key."""
    config: RenderConfig
    """With these values."""


@dataclass(frozen=True, slots=True)
class ProofCell:
    """One picture of a sheet."""

    cell: Cell
    pixels: Pixels
    """`(H, W, 3)` uint8 sRGB, RGB order."""
    losses: Mapping[str, float]
    """content, style and tv, relative, as the settings without any axis count them: one ruler for all cells."""
    evaluations: int
    place: "TileBox"
    """Where it lies on the sheet."""


@dataclass(frozen=True, slots=True)
class SheetPlan:
    """What is to be painted, and in which order it lies."""

    footage: StillSource
    frames: tuple[int, ...]
    looks: tuple[tuple[StylePicture, ...], ...]
    """Styles, one for each alternative."""
    axes: Mapping[str, Sequence[Any]]
    configs: Mapping[int, RenderConfig]
    """By the number of a combination of the axes' values, in the order of `itertools.product`."""
    together: bool = False
    """Whether the styles of a look hold where and when they do in a render."""

    def cells(self) -> Iterator[Cell]:
        """Everything that is painted: frame by frame, style by style, setting by setting."""
        for frame, look in product(self.frames, self.looks):
            for number, settings in enumerate(combinations(self.axes)):
                yield Cell(frame, look, settings, self.configs[number])

    @property
    def across(self) -> int:
        """Columns: the last axis, or the styles where there is none."""
        return len(list(self.axes.values())[-1]) if self.axes else len(self.looks)


def combinations(axes: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every choice of one value for each key; the last key's values change fastest."""
    return [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]


def draw(
    plan: SheetPlan, cells: Sequence[Cell], pictures: Sequence[Pixels], losses: Sequence[LossValues], stills: Stills
) -> "tuple[Pixels, list[TileBox]]":
    """The sheet, `(H, W, 3)` uint8 RGB, and where on it each cell lies.

    At the left of each group of rows are its source frame and its styles; the last axis goes across, the other down.
    Without an axis the styles go across.

    Args:
        cells: as `plan.cells` gives them.
        pictures, losses: of each of them.
        stills: frames by index and longest side.
    """
    from vidnst.media.draw.contact_sheet import SheetTile, draw_table, stack_images

    key = list(plan.axes)[-1] if plan.axes else ""
    tiles: list[list[SheetTile | None]] = []
    rows: list[str] = []
    heads = (
        [f"{key} =\u00a0{_value(value)}" for value in plan.axes[key]] if key else [_names(look) for look in plan.looks]
    )
    height, width = pictures[0].shape[:2]
    shown = [stack_images([style.pixels for style in look], width, height) for look in plan.looks]
    if not key:
        tiles.append([None, *(SheetTile(pixels) for pixels in shown)])
        rows.append("")
    for first in range(0, len(cells), plan.across):
        cell, part = cells[first], range(first, first + plan.across)
        begins = first % max(plan.across, len(plan.configs)) == 0
        side: list[SheetTile | None] = [SheetTile(stills[cell.frame, cell.config.input.size]) if begins else None]
        if key:
            look = first // len(plan.configs) % len(plan.looks)
            side.append(SheetTile(shown[look], _names(cell.styles)) if begins else None)
        tiles.append([*side, *(SheetTile(pictures[number], _caption(losses[number])) for number in part)])
        rows.append(_row_label(plan, cell))
    columns = ["source", "style", *heads] if key else ["source", *heads]
    drawn = draw_table(tiles, columns=columns, rows=rows, title=_title(plan))
    begin, skip = (0, 2) if key else (1, 1)
    return drawn.pixels, [place for row in drawn.places[begin:] for place in row[skip:] if place is not None]


def _row_label(plan: SheetPlan, cell: Cell) -> str:
    down = [f"{key.rpartition('.')[2]}\n=\u00a0{_value(cell.settings[key])}" for key in list(plan.axes)[:-1]]
    return "\n".join([f"frame {cell.frame}", *down])


def _title(plan: SheetPlan) -> str:
    """What is the same in all cells."""
    config = plan.footage.config
    name = Path(config.model.weights).name if config.model.weights else ""
    parts = {
        "model.backbone": config.model.backbone,
        "model.weights": name and f"weights {name}",
        "optimize.iterations": f"{config.optimize.iterations} evaluations",
    }
    same = [text for key, text in parts.items() if text and key not in plan.axes]
    return f"{Path(plan.footage.clip.source).name}: {', '.join(same)}"


def _names(styles: Sequence[StylePicture]) -> str:
    return " + ".join(style.path.name + (f":{style.weight:g}" if len(styles) > 1 else "") for style in styles)


def _caption(losses: Mapping[str, float]) -> str:
    return f"style\u00a0{losses['style']:.3g} content\u00a0{losses['content']:.3g}"


def _value(value: Any) -> str:
    return json.dumps(value, default=str) if isinstance(value, (dict, list)) else str(value)


def described(plan: SheetPlan, cells: Sequence[ProofCell]) -> dict[str, Any]:
    """The sheet as plain JSON."""
    return {
        "source": plan.footage.clip.source,
        "frames": list(plan.frames),
        "styles": [[f"{style.path}:{style.weight:g}" for style in look] for look in plan.looks],
        "axes": {key: list(values) for key, values in plan.axes.items()},
        "config": plan.footage.config.model_dump(mode="json"),
        "cells": [
            {
                "frame": one.cell.frame,
                "styles": [str(style.path) for style in one.cell.styles],
                "settings": dict(one.cell.settings),
                "losses": dict(one.losses),
                "evaluations": one.evaluations,
                "place": [one.place.x, one.place.y, one.place.width, one.place.height],
            }
            for one in cells
        ],
    }
