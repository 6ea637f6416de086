"""A proof sheet: chosen frames in several styles and settings, small and side by side, before hours are spent."""

import json
import math
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidnst.config import RenderConfig
from vidnst.config.loader import with_settings
from vidnst.errors import CancelledError, ConfigError
from vidnst.events import Cancelled, OnEvent, RunFinished, Stage, Warned, ignore
from vidnst.farm.jobs import StylizeJob
from vidnst.frames import Pixels, State
from vidnst.rendering.prepare import read_features
from vidnst.rendering.styles.style_spec import StylePicture, read_styles
from vidnst.tools.preview.proof_sheet import Cell, ProofCell, SheetPlan, Stills, combinations, described, draw
from vidnst.tools.preview.single_frame_effects import directed, filtered, finished, recoloured
from vidnst.tools.preview.single_frames import cold_job, open_footage, paint_cold

if TYPE_CHECKING:  # they bring torch and OpenCV
    from vidnst.farm.jobs import Stylized
    from vidnst.style.minimize import StepReport

SIZE_PX = 192
MOST_CELLS = 400
_MOST_PIXELS = 60_000_000
_TERMS = ("content", "style", "tv")
_UNSEEN = ("schedule", "motion", "farm", "output", "losses.temporal_weight")
"""Settings that do not show in a frame that starts from nothing."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A finished sheet."""

    output: Path
    report: Path
    """The JSON file beside it."""
    cells: tuple[ProofCell, ...]
    """Row by row."""


def proof(
    source: str | Path | Sequence[str | Path],
    *,
    style: str | Path | Sequence[str | Path],
    output: str | Path,
    config: RenderConfig | None = None,
    axes: Mapping[str, Sequence[Any]] | None = None,
    frames: Sequence[int | str] = (),
    count: int = 3,
    together: bool = False,
    size: int = SIZE_PX,
    report: str | Path | None = None,
    overwrite: bool = False,
    on_event: OnEvent = ignore,
    cancelled: Cancelled | None = None,
) -> Proof:
    """Paint chosen frames in every style with every combination of settings, and draw them on one labelled sheet.

    Each cell is what a render with these settings makes of its frame when it starts cold, at the sheet's size. Losses
    are relative, so weights come in the same order there as in a render of any size, and colours are much the same;
    strokes are larger on a smaller picture, since what the network sees at once is counted in pixels. Cells are painted
    in threads of this process, whatever `farm.executor` says.

    Args:
        source: a video, a folder, a glob, a printf pattern, or several pictures.
        style: style pictures; each is an alternative of its own.
        output: the sheet, a picture.
        config: all other settings; None takes the defaults. `input.size` is replaced by `size`.
        axes: at most two dotted keys with the values that are tried; the last one goes across.
        frames: frames to show: numbers, seconds (`1.5s`) or timecodes; none spreads `count` evenly over the shots.
        count: how many frames, where none are named.
        together: paint after all styles at once, as a render does: by their weights (`a.jpg:100`), and where and when
            they hold. Masks of one picture are taken as they are.
        size: longest side of a cell in pixels; never enlarges.
        report: JSON file with the losses of every cell; None puts it beside the sheet.
        overwrite: replace files that exist.
        on_event: hears of what happens.
        cancelled: asked at every evaluation whether to stop.

    Raises:
        ConfigError: an axis without values or with an unknown key, more than `MOST_CELLS` cells, or a wrong value.
        VidnstError: of the kind that fits, before anything is painted if it can be known then.
    """
    from vidnst.media.images import write_image
    from vidnst.media.output.preflight import check_file, check_picture_name
    from vidnst.runs.atomic_files import write_bytes_whole

    began = time.monotonic()
    texts = (style,) if isinstance(style, (str, Path)) else tuple(style)
    path, beside = Path(output), Path(report) if report is not None else Path(output).with_suffix(".json")
    config = with_settings(config or RenderConfig(), {"input.size": size})
    configs = _configs(config, axes or {})
    check_picture_name(path)
    styles = read_styles([str(text) for text in texts])
    looks = (styles,) if together else tuple((everywhere(one),) for one in styles)
    footage = open_footage(source, config, on_event=on_event)
    for file in (path, beside):
        check_file(file, overwrite=overwrite, inputs=(*footage.clip.paths, *(one.path for one in styles)))
    chosen = footage.named(frames) if frames else footage.spread(count)
    plan = SheetPlan(footage, tuple(chosen), looks, axes or {}, configs, together)
    _check_size(plan)
    cells = tuple(plan.cells())
    stills = _read(plan)
    weights = _Weights(on_event)
    ways = {_way(one): one for one in configs.values()}
    looked_at = {way: _filtered(stills, one) for way, one in ways.items()}
    sources = [looked_at[_way(cell.config)][cell.frame] for cell in cells]
    painted = _paint(plan, cells, looked_at, weights, on_event, cancelled or (lambda: False))
    losses = _judge(config, cells, stills, weights, [one.state for one in painted])
    pictures = list(map(finished, painted, sources, (cell.config for cell in cells)))
    sheet, places = draw(plan, cells, pictures, losses, stills)
    evaluations = [one.evaluations for one in painted]
    found = tuple(map(ProofCell, cells, pictures, losses, evaluations, places))
    write_image(path, sheet)
    write_bytes_whole(beside, json.dumps(described(plan, found), indent=2, default=str).encode() + b"\n")
    on_event(RunFinished(str(path), len(cells), time.monotonic() - began))
    return Proof(path, beside, found)


def _configs(config: RenderConfig, axes: Mapping[str, Sequence[Any]]) -> dict[int, RenderConfig]:
    """The configuration of each combination, all of them valid."""
    if len(axes) > 2:
        raise ConfigError(f"a sheet has two axes, not {len(axes)}", "leave one out")
    for key, values in axes.items():
        if not values:
            raise ConfigError(f"{key} has no values to try", "write for example losses.style_weight=5,15,45")
        with_settings(config, {key: values[0]})  # an unknown key is named as such, with the nearest one
        hidden = any(key == part or key.startswith(f"{part}.") for part in _UNSEEN)
        if hidden or (key.startswith("input.") and key != "input.size"):
            raise ConfigError(f"{key} does not change a single frame, so it cannot be proofed", "take another key")
    settings = math.prod(map(len, axes.values()))
    if settings > MOST_CELLS:  # said before each of them is validated
        raise ConfigError(f"{settings} settings are more than {MOST_CELLS} cells", "try fewer of them at a time")
    return {number: with_settings(config, chosen) for number, chosen in enumerate(combinations(axes))}


def _check_size(plan: SheetPlan) -> None:
    from vidnst.media.input.frame_reader import fit_size

    cells = len(plan.frames) * len(plan.looks) * len(plan.configs)
    if cells > MOST_CELLS:
        parts = f"{len(plan.frames)} frames x {len(plan.looks)} styles x {len(plan.configs)} settings"
        raise ConfigError(f"{parts} are {cells} cells, more than {MOST_CELLS}", "try fewer of them at a time")
    clip = plan.footage.clip
    pixels = 0
    for config in plan.configs.values():
        width, height = fit_size(clip.width, clip.height, config.input.size)
        pixels += width * height * len(plan.frames) * len(plan.looks)
    if pixels > _MOST_PIXELS:
        raise ConfigError(f"the sheet would have {pixels / 1e6:.0f} million pixels", "give a smaller --size")


def _read(plan: SheetPlan) -> Stills:
    """Frames by index and longest side."""
    sizes = dict.fromkeys(config.input.size for config in plan.configs.values())
    found = {size: plan.footage.read(plan.frames, size=size) for size in sizes}
    return {(index, size): pixels for size, read in found.items() for index, pixels in read.items()}


def _paint(
    plan: SheetPlan,
    cells: Sequence[Cell],
    sources: Mapping[str, Mapping[int, Pixels]],
    weights: "_Weights",
    on_event: OnEvent,
    cancelled: Cancelled,
) -> "list[Stylized]":
    """What each cell becomes; the first error stops all others."""
    from vidnst.farm.provisioning import choose_worker_counts
    from vidnst.farm.workers import pick_device
    from vidnst.parallel import local_cores

    farm = cells[0].config.farm
    gpu = pick_device(farm.device).type == "cuda"
    staff = choose_worker_counts(farm, width=len(cells), cores=local_cores(), gpus=float(gpu))
    frames = [sources[_way(cell.config)] for cell in cells]
    jobs = [_job(plan, cell, seen[cell.frame]) for cell, seen in zip(cells, frames, strict=True)]
    styles = [
        recoloured(cell.styles, list(seen.values()), cell.config) for cell, seen in zip(cells, frames, strict=True)
    ]
    features = [weights.of(cell.config) for cell in cells]
    stop = threading.Event()

    def watch(report: "StepReport") -> None:
        if stop.is_set() or cancelled():
            raise CancelledError("stopped while the sheet was painted", "give the same command again")

    def paint(number: int) -> "Stylized":
        cell = cells[number]
        return paint_cold(jobs[number], cell.config, features[number], styles[number], staff.threads, watch)

    on_event(Stage("cells", 0, len(cells)))
    with ThreadPoolExecutor(staff.style) as pool:
        futures = [pool.submit(paint, number) for number in range(len(cells))]
        try:
            _gather(futures, on_event)
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    made = [future.result() for future in futures]
    for cell, result in zip(cells, made, strict=True):
        if result.shortage:
            saved = f"painted with {result.memory_mode.describe()}, as a render would paint all of its shot"
            on_event(Warned(f"memory runs short at frame {cell.frame} ({result.shortage}): it is {saved}"))
    return made


def _job(plan: SheetPlan, cell: Cell, source: Pixels) -> StylizeJob:
    """The job of a cell, with where its styles are to be."""
    footage, size = replace(plan.footage, config=cell.config), (source.shape[1], source.shape[0])
    guidance = directed(cell.styles, footage, cell.frame, size) if plan.together else None
    return cold_job(cell.frame, source, cell.config, guidance=guidance)


def _way(config: RenderConfig) -> str:
    """What decides how a source frame looks before it is painted, as a key."""
    return f"{config.input.size} {config.filters.before} {config.optimize.seed}"


def _filtered(stills: Stills, config: RenderConfig) -> dict[int, Pixels]:
    """The frames that are painted, by index."""
    return {index: filtered(pixels, config) for (index, size), pixels in stills.items() if size == config.input.size}


def everywhere(style: StylePicture) -> StylePicture:
    """A style by itself: in the whole picture, at all times, as it is in the beginning."""
    return replace(style, at=None, shots=(), region=None, clip=None)


def _gather(futures: "Sequence[Future[Stylized]]", on_event: OnEvent) -> None:
    rest, done = set(futures), 0
    while rest:
        ready, rest = wait(rest, return_when=FIRST_COMPLETED)
        for future in ready:
            future.result()
            done += 1
            on_event(Stage("cells", done, len(futures)))


class _Weights:
    """Filters of the networks that the cells need, each read once."""

    def __init__(self, on_event: OnEvent) -> None:
        self._on_event = on_event
        self._found: dict[str, Any] = {}

    def of(self, config: RenderConfig) -> Any:
        """The filters of a configuration's network."""
        from vidnst.style.network.backbones import last_layer

        key = f"{config.model.backbone} {config.model.weights} {last_layer(config)}"
        if key not in self._found:
            self._found[key] = read_features(config, on_event=self._on_event)
        return self._found[key]


def _judge(
    config: RenderConfig,
    cells: Sequence[Cell],
    stills: Stills,
    weights: _Weights,
    states: Sequence[State],
) -> list[dict[str, float]]:
    """The losses of each cell, all by the settings that no axis has touched."""
    from vidnst.farm.workers import pick_device
    from vidnst.style.stylizer import Stylizer
    from vidnst.style.tensors import from_pixels

    ruler = with_settings(config, {"losses.scale": "relative"})
    features, device = weights.of(ruler), pick_device(config.farm.device)
    judges: dict[tuple[str, ...], Stylizer] = {}
    found = []
    for cell, state in zip(cells, states, strict=True):
        key = tuple(style.fingerprint for style in cell.styles)
        if key not in judges:
            styles = [(style.pixels, style.weight) for style in cell.styles]
            judges[key] = Stylizer(features, styles, ruler, device=device)
        content = from_pixels(stills[cell.frame, cell.config.input.size])
        terms = judges[key].evaluate(content, from_pixels(state))
        found.append({name: terms[name] for name in _TERMS})
    return found
