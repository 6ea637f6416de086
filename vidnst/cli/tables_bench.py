"""What a person sees of the bench: short tables on stdout."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vidnst.cli.tables import show_json

_WIDTH = 120
"""Of lines that go into a file or a pipe."""


def show_bench(report: dict[str, Any], *, as_json: bool) -> None:
    """The report of `vidnst.tools.bench.report.measure`."""
    if as_json:
        show_json(report)
        return
    console = Console() if sys.stdout.isatty() else Console(width=_WIDTH)
    console.print(_sizes(report))
    if report.get("presets") or report.get("workers"):
        console.print(_renders([*report.get("presets", ()), *report.get("workers", ())]))
    if report.get("loss"):
        console.print(_losses(report["loss"]))
    if compared := report.get("compared"):
        console.print(_compared(compared))
        names = (("only then", compared["only_then"]), ("only now", compared["only_now"]))
        for note in [*compared["notes"], *(f"{name}: {', '.join(found)}" for name, found in names if found)]:
            console.print(note, markup=False, highlight=False, soft_wrap=True)


def _sizes(report: Mapping[str, Any]) -> Table:
    half = report["matrix_bf16_gflops"]
    rates = [f"{report['matrix_gflops']:.0f} GFLOP/s matmul", f"{report['copy_gbytes_per_second']:.3g} GB/s copy"]
    if half is not None:
        rates.insert(1, f"{half:.0f} in bfloat16")
    title = f"{report['device']}, {report['threads']} threads, torch {report['torch']}: {', '.join(rates)}"
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
    names = ("size", "ms/iter", "spread", "GFLOP", "of rate", "GiB", "s/cold", "s/warm", "flow s", "warp s")
    return _table(title, names, rows)


def _renders(found: Sequence[Mapping[str, Any]]) -> Table:
    rows = []
    for row in found:
        seconds = row["seconds"]
        parts = (seconds[name] for name in ("startup", "stylizing", "encoding", "measuring", "other"))
        rows.append(
            (
                row["preset"],
                row["rendered_size"],
                str(row["frames"]),
                str(row["workers"]),
                f"{row['frames_per_second']:.3g}",
                *(f"{part:.1f}" for part in parts),
                f"{row['share_not_stylizing']:.0%}",
                "-" if row["workers_busy"] is None else f"{row['workers_busy']:.0%}",
            )
        )
    names = ("preset", "size", "frames", "workers", "frames/s")
    stages = ("start-up s", "stylizing", "encoding", "measuring", "other", "not stylizing", "busy")
    return _table("whole renders", (*names, *stages), rows)


def _losses(found: Sequence[Mapping[str, Any]]) -> Table:
    rows = []
    for row in found:
        reached = row["reached"]
        shown = reached or {"evaluations": None, "seconds": None, "losses_over_reference": {}}
        losses = shown["losses_over_reference"] or row["default"]["losses_over_reference"]
        numbers = (shown["evaluations"], shown["seconds"], *(losses[name] for name in ("total", "style", "content")))
        plain = row["reference"]
        rows.append((row["size"], str(plain["evaluations"]), f"{plain['seconds']:.3g}", *map(_number, numbers)))
    names = ("size", "plain Adam", "s", "defaults reach it after", "s", "total over its", "style", "content")
    return _table("to the loss of 300 plain steps of Adam", names, rows)


def _compared(compared: Mapping[str, Any]) -> Table:
    rows = [
        (
            row["what"],
            _number(row["old"]),
            _number(row["new"]),
            _number(row["ratio"]),
            _number(row["ratio_to_floor"]),
            f"{row['noise']:.0%}",
            row["verdict"],
        )
        for row in compared["rows"]
    ]
    names = ("", "then", "now", "now / then", "to the floor", "noise", "verdict")
    return _table(f"beside {compared['file']}", names, rows)


def _table(title: str, names: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(title=escape(title), title_justify="left", box=None, pad_edge=False)
    for name in names:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
