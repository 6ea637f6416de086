"""The cells of a proof sheet: planned, drawn as a table, and described as JSON."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

from vidnst.config import RenderConfig
from vidnst.frames import Pixels
from vidnst.media.draw.contact_sheet import SheetTile, TileBox, draw_table, stack_images
from vidnst.rendering.styles.style_spec import StylePicture
from vidnst.tools.preview.single_frames import PreviewSource

LossValues: TypeAlias = Mapping[str, float]
SourceFrames: TypeAlias = Mapping[tuple[int, int | None], Pixels]
"""Source frames by index and longest side in pixels."""


@dataclass(frozen=True, slots=True)
class CellSpec:
    """A cell that is to be painted."""

    frame: int
    """Index in the source."""
    styles: tuple[StylePicture, ...]
    settings: Mapping[str, Any]
    """The values of the axes, by dotted key."""
    config: RenderConfig
    """With these values."""


@dataclass(frozen=True, slots=True)
class ProofCell:
    """A painted cell."""

    cell: CellSpec
    pixels: Pixels
    """`(H, W, 3)` uint8 sRGB, RGB order."""
    losses: LossValues
    """content, style and tv, relative, evaluated with the settings that no axis has changed."""
    evaluations: int
    place: TileBox
    """Position on the sheet."""


@dataclass(frozen=True, slots=True)
class SheetPlan:
    """Everything that a sheet shows, in order."""

    source: PreviewSource
    frames: tuple[int, ...]
    style_sets: tuple[tuple[StylePicture, ...], ...]
    """Alternatives, each of one or several styles that hold together."""
    axes: Mapping[str, Sequence[Any]]
    configs: Mapping[int, RenderConfig]
    """By the position of their values in `axis_combinations`."""
    together: bool = False
    """True if styles hold only where and when they do in a render."""

    def cells(self) -> Iterator[CellSpec]:
        """Iterate over all cells: frame by frame, style set by style set, setting by setting."""
        for frame, styles in product(self.frames, self.style_sets):
            for number, settings in enumerate(axis_combinations(self.axes)):
                yield CellSpec(frame, styles, settings, self.configs[number])

    @property
    def columns(self) -> int:
        """Number of cells in a row: values of the last axis, or style sets where there is no axis."""
        return len(list(self.axes.values())[-1]) if self.axes else len(self.style_sets)


def axis_combinations(axes: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """List every choice of one value for each key; the last key's values change fastest."""
    return [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]


def draw_sheet(
    plan: SheetPlan,
    cells: Sequence[CellSpec],
    pictures: Sequence[Pixels],
    losses: Sequence[LossValues],
    source_frames: SourceFrames,
) -> tuple[Pixels, list[TileBox]]:
    """Draw the sheet, `(H, W, 3)` uint8 RGB, and return it with the place of each cell on it.

    At the left of each group of rows are its source frame and its styles; the last axis goes across, the other down.
    Without an axis the styles go across.

    Args:
        cells: as `plan.cells` gives them.
        pictures, losses: of each of them.
        source_frames: by index and longest side.
    """
    key = list(plan.axes)[-1] if plan.axes else ""
    tiles: list[list[SheetTile | None]] = []
    rows: list[str] = []
    heads = (
        [f"{key} =\u00a0{_format_value(value)}" for value in plan.axes[key]]
        if key
        else [_style_names(styles) for styles in plan.style_sets]
    )
    height, width = pictures[0].shape[:2]
    style_tiles = [stack_images([style.pixels for style in styles], width, height) for styles in plan.style_sets]
    if not key:
        tiles.append([None, *(SheetTile(pixels) for pixels in style_tiles)])
        rows.append("")
    for first in range(0, len(cells), plan.columns):
        cell, row = cells[first], range(first, first + plan.columns)
        begins_group = first % max(plan.columns, len(plan.configs)) == 0
        frame = source_frames[cell.frame, cell.config.input.size]
        side: list[SheetTile | None] = [SheetTile(frame) if begins_group else None]
        if key:
            style_set = first // len(plan.configs) % len(plan.style_sets)
            side.append(SheetTile(style_tiles[style_set], _style_names(cell.styles)) if begins_group else None)
        tiles.append([*side, *(SheetTile(pictures[number], _caption(losses[number])) for number in row)])
        rows.append(_row_label(plan, cell))
    columns = ["source", "style", *heads] if key else ["source", *heads]
    sheet = draw_table(tiles, columns=columns, rows=rows, title=_title(plan))
    first_row, first_column = (0, 2) if key else (1, 1)
    places = [place for row_places in sheet.boxes[first_row:] for place in row_places[first_column:]]
    return sheet.pixels, [place for place in places if place is not None]


def _row_label(plan: SheetPlan, cell: CellSpec) -> str:
    settings = [f"{key.rpartition('.')[2]}\n=\u00a0{_format_value(cell.settings[key])}" for key in list(plan.axes)[:-1]]
    return "\n".join([f"frame {cell.frame}", *settings])


def _title(plan: SheetPlan) -> str:
    """Name the source and the settings that all cells share."""
    config = plan.source.config
    name = Path(config.model.weights).name if config.model.weights else ""
    parts = {
        "model.backbone": config.model.backbone,
        "model.weights": name and f"weights {name}",
        "optimize.iterations": f"{config.optimize.iterations} evaluations",
    }
    shared = [text for key, text in parts.items() if text and key not in plan.axes]
    return f"{Path(plan.source.clip.source).name}: {', '.join(shared)}"


def _style_names(styles: Sequence[StylePicture]) -> str:
    return " + ".join(style.path.name + (f":{style.weight:g}" if len(styles) > 1 else "") for style in styles)


def _caption(losses: LossValues) -> str:
    return f"style\u00a0{losses['style']:.3g} content\u00a0{losses['content']:.3g}"


def _format_value(value: Any) -> str:
    return json.dumps(value, default=str) if isinstance(value, (dict, list)) else str(value)


def sheet_to_dict(plan: SheetPlan, cells: Sequence[ProofCell]) -> dict[str, Any]:
    """Describe the sheet in plain JSON values."""
    return {
        "source": plan.source.clip.source,
        "frames": list(plan.frames),
        "styles": [[f"{style.path}:{style.weight:g}" for style in styles] for styles in plan.style_sets],
        "axes": {key: list(values) for key, values in plan.axes.items()},
        "config": plan.source.config.model_dump(mode="json"),
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
