"""The charts and numbers of a report, and the frames that stand out in them."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from vidnst.config import LossConfig
from vidnst.report.html.report_page import NumberRow, ReportChart
from vidnst.report.html.svg_chart import Series
from vidnst.runs.run_log import RunLog, finite

_STEADINESS = (
    ("warping error, neighbours", ("output", "source"), "Lai's form, squared, channels in 0 to 1; less is steadier."),
    ("flicker of still pixels, levels of 255", ("flicker_output", "flicker_source"), "Where the source stands still."),
    ("mean luma, levels of 255", ("luma_output", "luma_source"), "A slope that the source lacks is drift."),
    ("sharpness, variance of the Laplacian", ("sharpness_output", "sharpness_source"), "What a blurred frame lacks."),
)
FRAME_ERROR, FRAME_FLICKER = "warping error, neighbours", "flicker of still pixels, levels"
FILE_ERROR, FILE_FLICKER = "warping error in the encoded file", "flicker of still pixels in the encoded file, levels"
_STALE = (
    "How many times farther a frame is from its source than a fresh painting of it: 1 is fresh, a rise is staleness."
)
_OUTLIER_DEVIATIONS, _OUTLIER_SHARE = 8.0, 1.4
_MIN_VALUES, _MAX_OUTLIERS = 8, 12
_TITLES = {"tv": "total variation", "total": "weighted total"}


def loss_charts(log: RunLog, weights: LossConfig) -> tuple[ReportChart, ...]:
    """A chart for each term of the loss that has a weight: its final value in the last pass of each frame."""
    found = dict.fromkeys(name for index in sorted(log.done_frames) for name in log.frames[index].losses)
    names = [name for name in found if getattr(weights, f"{name}_weight", 1.0)]  # those without are logged, too
    charts = []
    for name in sorted(names, key=lambda name: (name == "total", name not in ("content", "style", "temporal"))):
        losses = ((index, log.frames[index].losses) for index in sorted(log.done_frames))
        values = [(index, terms[name]) for index, terms in losses if name in terms]
        if any(value for _, value in values):
            title = f"{_TITLES.get(name, name)} loss"
            charts.append(ReportChart(title, (Series("result", values),), tuple(outliers(values))))
    return tuple(charts)


def cost_charts(log: RunLog) -> tuple[ReportChart, ...]:
    """Charts of the seconds and evaluations that each frame took, over all its passes."""
    frames = sorted(log.frames.items())
    seconds = [(index, frame.seconds) for index, frame in frames]
    spent = [(index, float(frame.evaluations)) for index, frame in frames]
    return (
        ReportChart(
            "seconds of computing", (Series("seconds", seconds),), note="All passes of a frame, on its workers."
        ),
        ReportChart("evaluations of the loss", (Series("evaluations", spent),)),
    )


def steadiness_charts(measure: Mapping[str, Any]) -> tuple[ReportChart, ...]:
    """The curves of a `measure.json`, of the result and of the source; none if it has no rows."""
    rows = [row for row in _mappings(measure.get("rows")) if isinstance(row.get("frame"), int)]
    rows.sort(key=lambda row: int(row["frame"]))
    charts = []
    if stale := _values(rows, "staleness"):
        charts.append(
            ReportChart("staleness of key frames", (Series("result", stale),), tuple(outliers(stale)), _STALE)
        )
    for title, keys, note in _STEADINESS:
        values = [_values(rows, key) for key in keys]
        if values[0]:
            high = outliers(values[0]) if "error" in title or "flicker" in title else []
            charts.append(
                ReportChart(title, (Series("result", values[0]), Series("source", values[1])), tuple(high), note)
            )
    return tuple(charts)


def _values(rows: Sequence[Mapping[str, Any]], key: str) -> list[tuple[int, float]]:
    points = []
    for row in rows:
        values: Mapping[str, Any] = row
        if key in ("output", "source"):  # the warping error is in the row's pair of neighbours
            values = next((pair for pair in _mappings(row.get("pairs")) if pair.get("gap") == 1), {})
        value = finite(values.get(key))
        if value is not None:
            points.append((int(row["frame"]), value))
    return points


def outliers(values: Sequence[tuple[int, float]]) -> list[int]:
    """Frames whose value is far above the others': by eight median absolute deviations (scaled as for a normal
    distribution) above the median, and by two fifths of it. The worst twelve, ascending. Where the median is 0, as it
    is of pixels that stand still in most frames, none does: every other value would be far above it.
    """
    if len(values) < _MIN_VALUES:
        return []
    median = statistics.median(value for _, value in values)
    if median == 0:
        return []
    spread = 1.4826 * statistics.median(abs(value - median) for _, value in values)
    limit = max(median + _OUTLIER_DEVIATIONS * spread, _OUTLIER_SHARE * median)
    above = sorted(((value, frame) for frame, value in values if value > limit), reverse=True)
    return sorted(frame for _, frame in above[:_MAX_OUTLIERS])


def outlier_frames(charts: Sequence[ReportChart]) -> dict[int, str]:
    """Frames that stand out, and in which charts."""
    titles: dict[int, list[str]] = {}
    for chart in charts:
        for frame in chart.marks:
            titles.setdefault(frame, []).append(chart.title.partition(",")[0])
    return {frame: " and ".join(names) for frame, names in sorted(titles.items())}


def number_rows(measure: Mapping[str, Any]) -> tuple[NumberRow, ...]:
    """The main numbers of a `measure.json`."""
    rows = []
    for errors in _mappings(measure.get("errors")):
        gap = errors.get("gap")
        apart = "neighbours" if gap == 1 else f"{gap} frames apart"
        rows.append(_row(f"warping error, {apart}", errors.get("lai")))
    rows.append(_row("flicker of still pixels, levels", measure.get("flicker")))
    file = measure.get("file")
    for key, name in (("error", FILE_ERROR), ("flicker", FILE_FLICKER)):
        rows.append(_row(name, file.get(key) if isinstance(file, Mapping) else None))
    rows.append(_row("strokes that follow the source's movement, correlation", measure.get("follow")))
    rows.append(_row("strokes that stick to the screen, correlation", measure.get("screen")))
    rows.append(_row("drift of brightness per 100 frames, levels", measure.get("drift")))
    rows.append(_row("sharpness", measure.get("sharpness")))
    stale = measure.get("staleness")
    for key, name in (("mean", "staleness of key frames"), ("slope", "trend of staleness per 100 frames")):
        rows.append(_row(name, {"output": stale.get(key)} if isinstance(stale, Mapping) else None))
    return tuple(row for row in rows if row.output is not None)


def _row(name: str, values: object) -> NumberRow:
    numbers = values if isinstance(values, Mapping) else {}
    return NumberRow(name, *(finite(numbers.get(key)) for key in ("output", "source", "ratio")))


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
