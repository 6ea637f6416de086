"""The report of the bench as tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from vidnst.cli import terminal
from vidnst.cli.tables.basics import make_table, write_json

_FILE_WIDTH = 120
"""Width in characters of output that goes into a file or a pipe."""


def write_bench(report: dict[str, Any], *, as_json: bool) -> None:
    """Write the report of `vidnst.tools.bench.report.run_bench`."""
    if as_json:
        write_json(report)
        return
    width = None if terminal.out.is_terminal else _FILE_WIDTH
    terminal.out.show(_size_table(report), width=width)
    if renders := [*report.get("presets", ()), *report.get("workers", ())]:
        terminal.out.show(_render_table(renders), width=width)
    if report.get("loss"):
        terminal.out.show(_loss_table(report["loss"]), width=width)
    if compared := report.get("compared"):
        terminal.out.show(_comparison_table(compared), width=width)
        for note in compared["notes"]:
            terminal.out.line(note)
        for name, values in (("only then", compared["only_then"]), ("only now", compared["only_now"])):
            if values:
                terminal.out.line(f"{name}: {', '.join(values)}")


def _size_table(report: Mapping[str, Any]) -> Table:
    half = report["matrix_bf16_gflops"]
    rates = [
        f"{report['matrix_gflops']:.0f} GFLOP/s matmul",
        *([] if half is None else [f"{half:.0f} in bfloat16"]),
        f"{report['copy_gbytes_per_second']:.3g} GB/s copy",
    ]
    rows = [
        (
            row["size"],
            f"{1000 * row['seconds_per_iteration']:.1f}",
            f"{row['spread']:.0%}",
            f"{row['gflop_per_iteration']:.0f}",
            f"{row['share_of_matrix_rate']:.0%}",
            _number(row["memory_gib"]),
            f"{row['seconds_per_cold_frame']:.1f}",
            f"{row['seconds_per_warm_frame']:.1f}",
            f"{row['flow_seconds']:.3f}",
            f"{row['warp_seconds']:.3f}",
        )
        for row in report["rows"]
    ]
    title = f"{report['device']}, {report['threads']} threads, torch {report['torch']}: {', '.join(rates)}"
    names = ("size", "ms/iter", "spread", "GFLOP", "of rate", "GiB", "s/cold", "s/warm", "flow s", "warp s")
    return make_table(names, rows, title=title)


def _render_table(renders: Sequence[Mapping[str, Any]]) -> Table:
    stages = ("startup", "stylizing", "encoding", "measuring", "other")
    rows = [
        (
            *(row["preset"], row["rendered_size"], str(row["frames"]), str(row["workers"])),
            f"{row['frames_per_second']:.3g}",
            *(f"{row['seconds'][stage]:.1f}" for stage in stages),
            f"{row['share_not_stylizing']:.0%}",
            "-" if row["workers_busy"] is None else f"{row['workers_busy']:.0%}",
        )
        for row in renders
    ]
    names = ("preset", "size", "frames", "workers", "frames/s", "start-up s", *stages[1:], "not stylizing", "busy")
    return make_table(names, rows, title="whole renders")


def _loss_table(results: Sequence[Mapping[str, Any]]) -> Table:
    rows = []
    for row in results:
        shown = row["reached"] or {"evaluations": None, "seconds": None, "losses_over_reference": {}}
        losses = shown["losses_over_reference"] or row["default"]["losses_over_reference"]
        numbers = (shown["evaluations"], shown["seconds"], *(losses[name] for name in ("total", "style", "content")))
        reference = row["reference"]
        cells = (row["size"], str(reference["evaluations"]), f"{reference['seconds']:.3g}")
        rows.append((*cells, *map(_number, numbers)))
    names = ("size", "plain Adam", "s", "defaults reach it after", "s", "total over its", "style", "content")
    return make_table(names, rows, title="to the loss of 300 plain steps of Adam")


def _comparison_table(compared: Mapping[str, Any]) -> Table:
    numbers = ("old", "new", "ratio", "ratio_to_floor")
    rows = [
        (row["what"], *(_number(row[name]) for name in numbers), f"{row['noise']:.0%}", row["verdict"])
        for row in compared["rows"]
    ]
    names = ("", "then", "now", "now / then", "to the floor", "noise", "verdict")
    return make_table(names, rows, title=f"compared with {compared['file']}")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
