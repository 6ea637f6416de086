"""What a person sees of a forecast: a table, what does not fit, and what would."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vidnst.cli.tables import show_json

if TYPE_CHECKING:  # it brings numpy
    from vidnst.tools.forecast.forecast import DiskNeed, Forecast


def show_forecasts(forecasts: "Sequence[Forecast]", *, failed: Sequence[tuple[str, str]] = (), as_json: bool) -> None:
    """What renders would take, each and in total, and with which size what does not fit would.

    Args:
        failed: names of jobs that could not be rendered, with the reason.
    """
    from vidnst.tools.forecast.forecast import sum_disk_needs, total_seconds

    seconds, disks = total_seconds(forecasts), sum_disk_needs(forecasts)
    if as_json:
        fit = all(found.fits for found in forecasts) and all(disk.fits_in_turn for disk in disks) and not failed
        totals = {
            "frames": sum(found.frames for found in forecasts),
            "evaluations": sum(found.evaluations for found in forecasts),
            "seconds": seconds,
            "disks": [disk.to_dict() for disk in disks],
            "fits": fit,
        }
        errors = [{"name": name, "error": error} for name, error in failed]
        show_json({"clips": [found.to_dict() for found in forecasts], "errors": errors, "total": totals})
        return
    Console().print(_table(forecasts, seconds))
    for found in forecasts:
        _show_needs(found)
    for disk in disks if len(forecasts) > 1 else ():
        _show_disk(disk)
    if any(found.remote for found in forecasts):
        sys.stdout.write("reckoned for workers elsewhere, as they were described; nothing was asked of them\n")
    sys.stdout.write("".join(f"{name}: {error}\n" for name, error in failed))


def _table(forecasts: "Sequence[Forecast]", seconds: float | None) -> Table:
    table = Table(show_edge=False, pad_edge=False)
    for name in ("clip", "frames", "size", "shots", "nodes", "evaluations", "workers", "time"):
        table.add_column(name, justify="left" if name == "clip" else "right", no_wrap=name != "clip")
    for found in forecasts:
        nodes, size = sum(found.nodes.values()), f"{found.width}x{found.height}"
        counts = (found.shots, nodes, found.evaluations, found.workers)
        table.add_row(escape(found.source), str(found.frames), size, *map(str, counts), _spell(found.seconds))
    if len(forecasts) > 1:
        sums = (sum(found.frames for found in forecasts), sum(found.evaluations for found in forecasts))
        table.add_row("total", str(sums[0]), "", "", "", str(sums[1]), "", _spell(seconds))
    return table


def _show_needs(found: "Forecast") -> None:
    nothing = "not known" if found.remote else "there is none here"
    for need in found.needs:
        there = nothing if need.available is None else f"{need.available / 1e9:.1f} GB there"
        saved = "" if need.reduced is None else f"; with {need.saving} {need.reduced / 1e9:.2f} GB"
        sys.stdout.write(f"{found.source}: {need.what} {need.needed / 1e9:.2f} GB, {there}{saved}\n")
        if not need.fits:
            remedy = f"it would fit with --size {need.fitting_size}" if need.fitting_size else "no size would fit"
            sys.stdout.write(f"  does not fit: {remedy}\n")


def _show_disk(disk: "DiskNeed") -> None:
    sums = f"{disk.needed / 1e9:.2f} GB, {disk.free / 1e9:.1f} GB there"
    sys.stdout.write(f"all {disk.clips} run folders on the disk of {disk.folder}: {sums}\n")
    if not disk.fits:
        turn = f"{disk.least / 1e9:.2f} GB if each is finished before the next begins"
        word = "fits only in turn" if disk.fits_in_turn else "does not fit"
        sys.stdout.write(f"  {word}: {turn}\n")


def _spell(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
