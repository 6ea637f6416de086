"""Paints a proof sheet: chosen frames in several styles and settings, small and side by side, before a long render.

A cell is what a render makes of its frame when it starts cold: the same worker, job, seed and effects. With the
engine `instant` the pretrained network paints it.
"""

import json
import math
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidnst.config import RenderConfig
from vidnst.config.loader import Settings, resolve_config, with_settings
from vidnst.errors import CancelledError, ConfigError
from vidnst.events import Cancelled, OnEvent, RunFinished, Stage, Warned, ignore
from vidnst.farm.jobs import Stylized, StylizeJob
from vidnst.farm.workers import pick_device
from vidnst.files.atomic_write import write_bytes_atomically
from vidnst.frames import Pixels, State
from vidnst.media.images import write_image
from vidnst.media.input.frame_reader import fit_size
from vidnst.media.output.preflight import check_file, check_image_name
from vidnst.rendering.network_weights import read_features
from vidnst.rendering.styles.style_spec import StylePicture, read_styles
from vidnst.runs.request_inputs import named_inputs
from vidnst.style.minimize import StepReport
from vidnst.style.network.backbones import last_layer
from vidnst.style.stylizer import Stylizer
from vidnst.style.tensors import from_pixels
from vidnst.tools.preview import single_frames
from vidnst.tools.preview.proof_sheet import (
    CellSpec,
    ProofCell,
    SheetPlan,
    SourceFrames,
    axis_combinations,
    draw_sheet,
    sheet_to_dict,
)

DEFAULT_SIZE_PX = 192
MOST_CELLS = 400
_MOST_PIXELS = 60_000_000
_TERMS = ("content", "style", "tv")
_NO_EFFECT = ("schedule", "motion", "farm", "output", "losses.temporal_weight")
"""Settings that do not change a frame that starts cold."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A finished sheet."""

    output: Path
    report: Path
    """The JSON file with the losses."""
    cells: tuple[ProofCell, ...]
    """Row by row."""


def proof(
    source: str | Path | Sequence[str | Path],
    *,
    style: str | Path | Sequence[str | Path],
    output: str | Path,
    preset: str | None = None,
    config: Settings | None = None,
    axes: Mapping[str, Sequence[Any]] | None = None,
    frames: Sequence[int | str] = (),
    count: int = 3,
    together: bool = False,
    size: int = DEFAULT_SIZE_PX,
    report: str | Path | None = None,
    reads: Sequence[Path] = (),
    overwrite: bool = False,
    on_event: OnEvent = ignore,
    cancelled: Cancelled | None = None,
) -> Proof:
    """Paint chosen frames in every style with every combination of settings, and draw them on one labelled sheet.

    Each cell is what a render with these settings makes of its frame when it starts cold, at the sheet's size. Losses
    are relative, so weights rank the same as in a render of any size, and colours are much the same; strokes are larger
    on a smaller picture, since the network's receptive field is counted in pixels. Cells are painted in threads of this
    process, whatever `farm.executor` is.

    Args:
        source: a video, a folder, a glob, a printf pattern, or several pictures.
        style: style pictures; each is an alternative of its own.
        output: the sheet, a picture.
        preset: name of a preset that ships; None takes the defaults.
        config: all other settings; None takes the defaults. `input.size` is replaced by `size`.
        axes: at most two dotted keys with the values to try; the last one goes across.
        frames: frames to show: numbers, seconds (`1.5s`) or timecodes; empty spreads `count` evenly over the shots.
        count: number of frames, where none are named.
        together: paint after all styles at once, as a render does: by their weights (`a.jpg:100`), and where and when
            they hold. Masks of one picture are not tracked.
        size: longest side of a cell in pixels; never enlarges.
        report: JSON file with the losses of every cell; None writes it next to the sheet.
        reads: further files that are read, and not replaced, such as that of the settings.
        overwrite: replace files that exist.
        on_event: receives progress and warnings.
        cancelled: asked at every evaluation whether to stop.

    Raises:
        ConfigError: an axis without values or with an unknown key, more than `MOST_CELLS` cells, or a wrong value.
        VidnstError: of the kind that fits; before anything is painted if it can be known then.
    """
    began = time.monotonic()
    texts = (style,) if isinstance(style, (str, Path)) else tuple(style)
    path, report_path = Path(output), Path(report) if report is not None else Path(output).with_suffix(".json")
    config = with_settings(resolve_config(config, preset=preset), {"input.size": size})
    configs = _axis_configs(config, axes or {})
    check_image_name(path)
    styles = read_styles([str(text) for text in texts])
    style_sets = (styles,) if together else tuple((_without_placement(one),) for one in styles)
    preview_source = single_frames.open_source(source, config, on_event=on_event)
    inputs = (*reads, *preview_source.clip.paths, *named_inputs(source, map(str, texts), config))
    for file in (path, report_path):
        check_file(file, overwrite=overwrite, inputs=inputs)
    chosen = preview_source.resolve_frames(frames) if frames else preview_source.spread_frames(count)
    plan = SheetPlan(preview_source, tuple(chosen), style_sets, axes or {}, configs, together)
    _check_size(plan)
    cells = tuple(plan.cells())
    source_frames = _read_source_frames(plan)
    features = _FeatureCache(on_event)
    filtered = {_filter_key(one): _filter_frames(source_frames, one) for one in configs.values()}
    contents = [filtered[_filter_key(cell.config)][cell.frame] for cell in cells]
    stylized = _paint_cells(plan, cells, filtered, features, on_event, cancelled or (lambda: False))
    losses = _evaluate_losses(config, cells, source_frames, features, [one.state for one in stylized])
    pictures = list(map(single_frames.finish_frame, stylized, contents, (cell.config for cell in cells)))
    sheet, places = draw_sheet(plan, cells, pictures, losses, source_frames)
    evaluations = [one.evaluations for one in stylized]
    proof_cells = tuple(map(ProofCell, cells, pictures, losses, evaluations, places))
    write_image(path, sheet)
    report_json = json.dumps(sheet_to_dict(plan, proof_cells), indent=2, default=str)
    write_bytes_atomically(report_path, report_json.encode() + b"\n")
    on_event(RunFinished(str(path), len(cells), time.monotonic() - began))
    return Proof(path, report_path, proof_cells)


def _axis_configs(config: RenderConfig, axes: Mapping[str, Sequence[Any]]) -> dict[int, RenderConfig]:
    """Build and validate the configuration of each combination of the axes' values."""
    if len(axes) > 2:
        raise ConfigError(f"a sheet has two axes, not {len(axes)}", "leave one out")
    for key, values in axes.items():
        if not values:
            raise ConfigError(f"{key} has no values to try", "write for example losses.style_weight=5,15,45")
        with_settings(config, {key: values[0]})  # refuses an unknown key, naming the nearest one
        hidden = any(key == part or key.startswith(f"{part}.") for part in _NO_EFFECT)
        if hidden or (key.startswith("input.") and key != "input.size"):
            raise ConfigError(f"{key} does not change a single frame, so it cannot be proofed", "take another key")
    settings = math.prod(map(len, axes.values()))
    if settings > MOST_CELLS:  # checked first, since validating so many configurations takes long
        raise ConfigError(f"{settings} settings are more than {MOST_CELLS} cells", "try fewer of them at a time")
    return {number: with_settings(config, chosen) for number, chosen in enumerate(axis_combinations(axes))}


def _check_size(plan: SheetPlan) -> None:
    per_config = len(plan.frames) * len(plan.style_sets)
    cells = per_config * len(plan.configs)
    if cells > MOST_CELLS:
        parts = f"{len(plan.frames)} frames x {len(plan.style_sets)} styles x {len(plan.configs)} settings"
        raise ConfigError(f"{parts} are {cells} cells, more than {MOST_CELLS}", "try fewer of them at a time")
    clip = plan.source.clip
    sizes = [fit_size(clip.width, clip.height, config.input.size) for config in plan.configs.values()]
    pixels = sum(width * height * per_config for width, height in sizes)
    if pixels > _MOST_PIXELS:
        raise ConfigError(f"the sheet would have {pixels / 1e6:.0f} million pixels", "give a smaller --size")


def _read_source_frames(plan: SheetPlan) -> SourceFrames:
    sizes = dict.fromkeys(config.input.size for config in plan.configs.values())
    by_size = {size: plan.source.read_frames(plan.frames, size=size) for size in sizes}
    return {(index, size): pixels for size, frames in by_size.items() for index, pixels in frames.items()}


def _filter_frames(frames: SourceFrames, config: RenderConfig) -> dict[int, Pixels]:
    """Filter the frames of a configuration's size; the result is keyed by frame index."""
    return {
        index: single_frames.filter_frame(pixels, config)
        for (index, size), pixels in frames.items()
        if size == config.input.size
    }


def _filter_key(config: RenderConfig) -> str:
    """The settings that decide how a source frame looks before it is painted."""
    return f"{config.input.size} {config.filters.before} {config.optimize.seed}"


def _without_placement(style: StylePicture) -> StylePicture:
    """Let a style hold in the whole picture at all times."""
    return replace(style, at=None, shots=(), region=None, clip=None)


def _paint_cells(
    plan: SheetPlan,
    cells: Sequence[CellSpec],
    filtered: Mapping[str, Mapping[int, Pixels]],
    features: "_FeatureCache",
    on_event: OnEvent,
    cancelled: Cancelled,
) -> list[Stylized]:
    """Stylize all cells in threads; the first error stops the others."""
    counts = single_frames.count_workers(cells[0].config.farm, frames=len(cells))
    frames = [filtered[_filter_key(cell.config)] for cell in cells]
    jobs = [_cell_job(plan, cell, by_index[cell.frame]) for cell, by_index in zip(cells, frames, strict=True)]
    styles = [
        single_frames.recolour_styles(cell.styles, list(by_index.values()), cell.config)
        for cell, by_index in zip(cells, frames, strict=True)
    ]
    weights = [features.load(cell.config) for cell in cells]
    stop = threading.Event()

    def check_cancelled(report: StepReport) -> None:
        if stop.is_set() or cancelled():
            raise CancelledError("stopped while the sheet was painted", "give the same command again")

    def paint(number: int) -> Stylized:
        config = cells[number].config
        if config.schedule.is_instant:
            return single_frames.paint_instantly(jobs[number], config, weights[number], styles[number], counts.threads)
        return single_frames.stylize_cold(
            jobs[number], config, weights[number], styles[number], counts.threads, check_cancelled
        )

    on_event(Stage("cells", 0, len(cells)))
    with ThreadPoolExecutor(counts.style) as pool:
        futures = [pool.submit(paint, number) for number in range(len(cells))]
        try:
            results = _wait_for_all(futures, on_event)
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    for cell, result in zip(cells, results, strict=True):
        if result.shortage:
            saved = f"painted with {result.memory_mode.describe()}, as a render would paint all of its shot"
            on_event(Warned(f"memory runs short at frame {cell.frame} ({result.shortage}): it is {saved}"))
    return results


def _cell_job(plan: SheetPlan, cell: CellSpec, content: Pixels) -> StylizeJob:
    source, size = replace(plan.source, config=cell.config), (content.shape[1], content.shape[0])
    guidance = single_frames.guide_frame(cell.styles, source, cell.frame, size) if plan.together else None
    return single_frames.cold_start_job(cell.frame, content, cell.config, guidance=guidance)


def _wait_for_all(futures: Sequence[Future[Stylized]], on_event: OnEvent) -> list[Stylized]:
    for done, future in enumerate(as_completed(futures), start=1):
        future.result()
        on_event(Stage("cells", done, len(futures)))
    return [future.result() for future in futures]


class _FeatureCache:
    """Reads the filters of each network that the cells need once."""

    def __init__(self, on_event: OnEvent) -> None:
        self._on_event = on_event
        self._features: dict[str, dict[str, NDArray[np.float32]]] = {}

    def load(self, config: RenderConfig) -> dict[str, NDArray[np.float32]]:
        key = f"{config.model.backbone} {config.model.weights} {last_layer(config)}"
        if key not in self._features:
            self._features[key] = read_features(config, on_event=self._on_event)
        return self._features[key]


def _evaluate_losses(
    config: RenderConfig,
    cells: Sequence[CellSpec],
    source_frames: SourceFrames,
    features: _FeatureCache,
    states: Sequence[State],
) -> list[dict[str, float]]:
    """Evaluate the losses of each cell, all with the settings that no axis has changed, so that they compare."""
    reference = with_settings(config, {"losses.scale": "relative"})
    weights, device = features.load(reference), pick_device(config.farm.device)
    stylizers: dict[tuple[str, ...], Stylizer] = {}
    losses = []
    for cell, state in zip(cells, states, strict=True):
        key = tuple(style.fingerprint for style in cell.styles)
        if key not in stylizers:
            styles = [(style.pixels, style.weight) for style in cell.styles]
            stylizers[key] = Stylizer(weights, styles, reference, device=device)
        content = from_pixels(source_frames[cell.frame, cell.config.input.size])
        terms = stylizers[key].evaluate(content, from_pixels(state))
        losses.append({name: terms[name] for name in _TERMS})
    return losses
