"""The measurement of a clip's stability as a table."""

from typing import TYPE_CHECKING

from rich.table import Table

from vidnst.cli import terminal
from vidnst.cli.tables.basics import write_json
from vidnst.formatting import format_number

if TYPE_CHECKING:  # it brings numpy
    from vidnst.report.measure.measurement import Comparison, Measurement


def write_measurement(measurement: "Measurement", *, as_json: bool, per_frame: bool = False) -> None:
    """Write a measurement, with a line for each frame if `per_frame`."""
    if as_json:
        write_json(measurement.to_dict(per_frame=per_frame))
        return
    terminal.out.show(_summary(measurement))
    for name, value in measurement.losses.items():
        terminal.out.line(f"mean {name} loss {value:.4g}")
    if not measurement.losses:
        terminal.out.line("style and content loss are unknown: add --style, because a frozen clip is stable, too")
    if stale := measurement.staleness:
        trend = "" if stale.slope is None else f", {stale.slope:+.3g} per 100 frames"
        terminal.out.line(f"staleness of key frames {stale.mean:.3g}{trend}; 1 is a fresh painting")
    if measurement.evaluations is not None:
        terminal.out.line(f"{measurement.evaluations} loss evaluations")
    if per_frame:
        _write_frames(measurement)


def _summary(measurement: "Measurement") -> Table:
    shots = f", {len(measurement.shots)} shots" if len(measurement.shots) > 1 else ""
    title = f"{measurement.frames} frames of {measurement.width}x{measurement.height}{shots}"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name in ("output", "source", "ratio"):
        table.add_column(name, justify="right")

    def add(name: str, numbers: "Comparison", *, ratio: bool = True) -> None:
        values = (numbers.output, numbers.source, numbers.ratio if ratio else None)
        table.add_row(name, *map(format_number, values))

    for errors in (errors for errors in measurement.errors if errors.pairs):
        frames = "frame" if errors.gap == 1 else "frames"
        for name, numbers in (("Ruder", errors.ruder), ("Huang", errors.huang), ("Lai", errors.lai)):
            add(f"error, {errors.gap} {frames} apart, {name}", numbers)
    share = "" if measurement.static_share is None else f" ({measurement.static_share:.0%} of all)"
    add(f"flicker of static pixels{share}, levels", measurement.flicker)
    add("strokes that follow the source's movement, correlation", measurement.follow, ratio=False)
    add("strokes that stick to the screen, correlation", measurement.screen, ratio=False)
    add("drift of brightness per 100 frames, levels", measurement.drift, ratio=False)
    add("sharpness", measurement.sharpness)
    if keys := measurement.keys:
        add("error at key frames, Lai", keys.at_keys)
        add("error elsewhere, Lai", keys.elsewhere)
        table.add_row("at key frames over elsewhere", *map(format_number, (keys.ratio, keys.source_ratio)), "")
        for shot in measurement.shots if len(measurement.shots) > 1 else ():
            if shot.keys:
                ratios = (shot.keys.ratio, shot.keys.source_ratio)
                table.add_row(f"  frames {shot.start} to {shot.end - 1}", *map(format_number, ratios), "")
    return table


def _write_frames(measurement: "Measurement") -> None:
    """Write a line for each frame, never wrapped."""
    gaps = [errors.gap for errors in measurement.errors]
    names = ["frame", *(f"error {gap}" for gap in gaps), "still", "flicker", "luma", "sharpness", *measurement.losses]
    terminal.out.line("  ".join(f"{name:>9}" for name in names))
    for row in measurement.rows:
        errors = {pair.gap: pair.output for pair in row.pairs}
        numbers = [errors.get(gap) for gap in gaps]
        numbers += [row.static_share, row.flicker_output, row.luma_output, row.sharpness_output]
        numbers += [row.losses.get(name) for name in measurement.losses]
        cells = [f"{row.frame}{' key' if row.key else ''}", *map(format_number, numbers)]
        terminal.out.line("  ".join(f"{cell:>9}" for cell in cells))
