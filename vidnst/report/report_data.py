"""What a report tells in numbers and words: curves over frames, frames that stand out, settings, commands. Pure."""

import json
import shlex
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vidnst.config import RenderConfig
from vidnst.config.base import Section
from vidnst.config.style import Style
from vidnst.report.html.report_page import NumberRow, ReportChart
from vidnst.report.html.svg_chart import Series
from vidnst.runs import Manifest
from vidnst.runs.run_log import RunLog, finite

_STEADINESS = (
    ("warping error, neighbours", ("output", "source"), "Lai's form, squared, channels in 0 to 1; less is steadier."),
    ("flicker of still pixels, levels of 255", ("flicker_output", "flicker_source"), "Where the source stands still."),
    ("mean luma, levels of 255", ("luma_output", "luma_source"), "A slope that the source lacks is drift."),
    ("sharpness, variance of the Laplacian", ("sharpness_output", "sharpness_source"), "What a blurred frame lacks."),
)
_FAR_OFF, _FAR_SHARE, _FEWEST = 8.0, 1.4, 8
_MOST_STRANGE = 12
_TITLES = {"tv": "total variation", "total": "weighted total"}


def loss_charts(tally: RunLog) -> tuple[ReportChart, ...]:
    """A chart for each term that is not always 0: what the optimiser ended with, at each frame's last pass."""
    names = dict.fromkeys(name for index in sorted(tally.done_frames) for name in tally.frames[index].losses)
    charts = []
    for name in sorted(names, key=lambda name: (name == "total", name not in ("content", "style", "temporal"))):
        found = [(index, tally.frames[index].losses) for index in sorted(tally.done_frames)]
        values = [(index, losses[name]) for index, losses in found if name in losses]
        if any(value for _, value in values):
            title = f"{_TITLES.get(name, name)} loss"
            charts.append(ReportChart(title, (Series("result", values),), tuple(outliers(values))))
    return tuple(charts)


def cost_charts(tally: RunLog) -> tuple[ReportChart, ...]:
    """Seconds and evaluations that each frame took, over all its passes."""
    frames = sorted(tally.frames.items())
    seconds = [(index, frame.seconds) for index, frame in frames]
    spent = [(index, float(frame.evaluations)) for index, frame in frames]
    return (
        ReportChart(
            "seconds of computing", (Series("seconds", seconds),), note="All passes of a frame, on its workers."
        ),
        ReportChart("evaluations of the loss", (Series("evaluations", spent),)),
    )


def steadiness_charts(measure: Mapping[str, Any]) -> tuple[ReportChart, ...]:
    """The curves of a `measure.json`, the result's beside the source's; empty where it has no rows."""
    rows = [row for row in _listed(measure.get("rows")) if isinstance(row.get("frame"), int)]
    rows.sort(key=lambda row: int(row["frame"]))
    charts = []
    for title, keys, note in _STEADINESS:
        values = [_values(rows, key) for key in keys]
        if values[0]:
            high = outliers(values[0]) if "error" in title or "flicker" in title else []
            charts.append(
                ReportChart(title, (Series("result", values[0]), Series("source", values[1])), tuple(high), note)
            )
    return tuple(charts)


def _values(rows: Sequence[Mapping[str, Any]], key: str) -> list[tuple[int, float]]:
    found = []
    for row in rows:
        place: Mapping[str, Any] = row
        if key in ("output", "source"):  # the warping error stands in the row's pair of neighbours
            place = next((pair for pair in _listed(row.get("pairs")) if pair.get("gap") == 1), {})
        value = finite(place.get(key))
        if value is not None:
            found.append((int(row["frame"]), value))
    return found


def outliers(values: Sequence[tuple[int, float]]) -> list[int]:
    """Frames whose value is far above the others': eight median absolute deviations (as of a normal distribution)
    above the median, and two fifths above it. The worst twelve, in their order.
    """
    if len(values) < _FEWEST:
        return []
    middle = statistics.median(value for _, value in values)
    spread = 1.4826 * statistics.median(abs(value - middle) for _, value in values)
    limit = max(middle + _FAR_OFF * spread, _FAR_SHARE * middle)
    above = sorted(((value, frame) for frame, value in values if value > limit), reverse=True)
    return sorted(frame for _, frame in above[:_MOST_STRANGE])


def strange_frames(charts: Sequence[ReportChart]) -> dict[int, str]:
    """Frames that stand out in a chart, and in which."""
    found: dict[int, list[str]] = {}
    for chart in charts:
        for frame in chart.marks:
            found.setdefault(frame, []).append(chart.title.partition(",")[0])
    return {frame: " and ".join(titles) for frame, titles in sorted(found.items())}


def number_rows(measure: Mapping[str, Any]) -> tuple[NumberRow, ...]:
    """The main numbers of a `measure.json`."""
    rows = []
    for errors in _listed(measure.get("errors")):
        gap = errors.get("gap")
        apart = "neighbours" if gap == 1 else f"{gap} frames apart"
        rows.append(_row(f"warping error, {apart}", errors.get("lai")))
    rows.append(_row("flicker of still pixels, levels", measure.get("flicker")))
    rows.append(_row("drift of brightness per 100 frames, levels", measure.get("drift")))
    rows.append(_row("sharpness", measure.get("sharpness")))
    return tuple(row for row in rows if row.output is not None)


def _row(name: str, values: object) -> NumberRow:
    found = values if isinstance(values, Mapping) else {}
    return NumberRow(name, *(finite(found.get(key)) for key in ("output", "source", "ratio")))


def changed_settings(config: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Settings that are not at their defaults: key, value, default. Keys that this version does not know are left
    out.
    """
    return list(_changed(RenderConfig(), config, ""))


def _changed(usual: Section, values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any, Any]]:
    plain = usual.model_dump(mode="json")
    for key, default in plain.items():
        if key not in values:
            continue
        inner = getattr(usual, key)
        if isinstance(inner, Section) and isinstance(values[key], Mapping):
            yield from _changed(inner, values[key], f"{prefix}{key}.")
        elif values[key] != default:
            yield f"{prefix}{key}", values[key], default


def written(value: object) -> str:
    """A setting's value as YAML that fits in a line."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if isinstance(value, str) and _bare(text) else json.dumps(value, ensure_ascii=False)


def _bare(text: str) -> bool:
    """Whether YAML reads a text as itself without quotes."""
    import yaml

    try:
        return bool(yaml.safe_load(text) == text) and text.isprintable()
    except yaml.YAMLError:
        return False


def render_command(manifest: Manifest) -> str:
    """The command that renders the same again, from any folder."""
    marks = manifest.look.styles
    words = ["vidnst", "render", *manifest.sources]
    for mark in marks:
        words += ["-s", str(Style(mark.path, mark.weight, mark.at, mark.shots, mark.region))]
    words += ["-o", manifest.output]
    config = dict(manifest.config)
    config["model"] = {**config.get("model", {}), "weights": manifest.weights}
    config["motion"] = {**config.get("motion", {}), "raft_weights": manifest.raft_weights}
    for key, value, _ in changed_settings(config):
        words += ["--set", f"{key}={written(value)}"]
    return shlex.join(words)


def _listed(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
