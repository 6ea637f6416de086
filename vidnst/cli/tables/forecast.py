"""Forecasts as a table, with what does not fit and what would."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from vidnst.cli.tables.basics import safe_text, write_json
from vidnst.formatting import format_clock, format_gigabytes, printable

if TYPE_CHECKING:  # it brings numpy
    from vidnst.tools.forecast.forecast import DiskNeed, Forecast


def write_forecasts(forecasts: "Sequence[Forecast]", *, failed: Sequence[tuple[str, str]] = (), as_json: bool) -> None:
    """Write what renders would take, each and in total, and the size at which those that do not fit would.

    Args:
        failed: names of jobs that could not be rendered, with the reason.
    """
    from vidnst.tools.forecast.forecast import sum_disk_needs, total_seconds

    seconds, disks = total_seconds(forecasts), sum_disk_needs(forecasts)
    if as_json:
        fits = all(forecast.fits for forecast in forecasts) and all(disk.fits_in_turn for disk in disks) and not failed
        total = {
            "frames": sum(forecast.frames for forecast in forecasts),
            "evaluations": sum(forecast.evaluations for forecast in forecasts),
            "seconds": seconds,
            "disks": [disk.to_dict() for disk in disks],
            "fits": fits,
        }
        errors = [{"name": name, "error": error} for name, error in failed]
        write_json({"clips": [forecast.to_dict() for forecast in forecasts], "errors": errors, "total": total})
        return
    Console().print(_table(forecasts, seconds))
    for forecast in forecasts:
        _write_idle_workers(forecast)
        _write_needs(forecast)
    for disk in disks if len(forecasts) > 1 else ():
        _write_disk(disk)
    if any(forecast.remote for forecast in forecasts):
        sys.stdout.write("predicted for the described workers on other machines, without contacting them\n")
    sys.stdout.write("".join(f"{printable(name)}: {printable(error)}\n" for name, error in failed))


def _table(forecasts: "Sequence[Forecast]", seconds: float | None) -> Table:
    table = Table(show_edge=False, pad_edge=False)
    for name in ("clip", "frames", "size", "shots", "nodes", "evaluations", "workers", "time"):
        table.add_column(name, justify="left" if name == "clip" else "right", no_wrap=name != "clip")
    for forecast in forecasts:
        size = f"{forecast.width}x{forecast.height}"
        counts = (forecast.shots, sum(forecast.nodes.values()), forecast.evaluations, forecast.workers)
        cells = (str(forecast.frames), size, *map(str, counts), format_clock(forecast.seconds))
        table.add_row(safe_text(forecast.source), *cells)
    if len(forecasts) > 1:
        sums = (sum(forecast.frames for forecast in forecasts), sum(forecast.evaluations for forecast in forecasts))
        table.add_row("total", str(sums[0]), "", "", "", str(sums[1]), "", format_clock(seconds))
    return table


def _write_idle_workers(forecast: "Forecast") -> None:
    if forecast.workers_kept_busy >= forecast.workers:
        return
    sys.stdout.write(
        f"{printable(forecast.source)}: frames wait for each other, so {forecast.workers_kept_busy:.1f} of "
        f"{forecast.workers} workers are busy at once; a larger schedule.spacing, several clips in a batch or "
        "--engine network keep more of them busy\n"
    )


def _write_needs(forecast: "Forecast") -> None:
    unknown = "unknown amount available" if forecast.remote else "none in this machine"
    for need in forecast.needs:
        available = unknown if need.available is None else f"{format_gigabytes(need.available)} available"
        saved = "" if need.reduced is None else f"; with {need.saving} {format_gigabytes(need.reduced, decimals=2)}"
        needed = format_gigabytes(need.needed, decimals=2)
        sys.stdout.write(f"{printable(forecast.source)}: {need.what} {needed}, {available}{saved}\n")
        if not need.fits:
            remedy = f"it would fit with --size {need.fitting_size}" if need.fitting_size else "no size would fit"
            sys.stdout.write(f"  does not fit: {remedy}\n")


def _write_disk(disk: "DiskNeed") -> None:
    sums = f"{format_gigabytes(disk.needed, decimals=2)}, {format_gigabytes(disk.free)} available"
    sys.stdout.write(f"all {disk.clips} run folders on the disk of {printable(str(disk.folder))}: {sums}\n")
    if not disk.fits:
        verdict = "fits only one after the other" if disk.fits_in_turn else "does not fit"
        least = f"{format_gigabytes(disk.least, decimals=2)} if each clip is finished before the next one begins"
        sys.stdout.write(f"  {verdict}: {least}\n")
