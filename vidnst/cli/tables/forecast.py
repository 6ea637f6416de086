"""Forecasts as a table, with what does not fit and what would."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from vidnst.cli import terminal
from vidnst.cli.tables.basics import make_table, write_json
from vidnst.formatting import format_clock, format_gigabytes

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
    terminal.out.show(_table(forecasts, seconds))
    if seconds is not None:
        terminal.out.line("time: without the start of the workers")
    for forecast in forecasts:
        _write_idle_workers(forecast)
    for what in dict.fromkeys(need.what for forecast in forecasts for need in forecast.needs):
        _write_need(what, forecasts)
    for disk in disks if len(forecasts) > 1 else ():
        _write_disk(disk)
    if any(forecast.remote for forecast in forecasts):
        terminal.out.line("predicted for the described workers on other machines, without contacting them")
    for name, error in failed:
        terminal.out.line(f"{name}: {error}")


def _table(forecasts: "Sequence[Forecast]", seconds: float | None) -> Table:
    rows = []
    for forecast in forecasts:
        counts = (str(forecast.frames), f"{forecast.width}x{forecast.height}", str(forecast.evaluations))
        cells = (*counts, str(forecast.workers), format_clock(forecast.seconds))
        rows.append((_clip_name(forecast), ", ".join(forecast.styles), *cells))
    if len(forecasts) > 1:
        sums = (sum(forecast.frames for forecast in forecasts), sum(forecast.evaluations for forecast in forecasts))
        rows.append(("total", "", str(sums[0]), "", str(sums[1]), "", format_clock(seconds)))
    names = ("clip", "style", "frames", "size", "evaluations", "workers", "time")
    return make_table(names, rows, left=names[:2])


def _clip_name(forecast: "Forecast") -> str:
    return Path(forecast.source).name or forecast.source


def _write_idle_workers(forecast: "Forecast") -> None:
    if forecast.workers_kept_busy >= forecast.workers:
        return
    terminal.out.line(
        f"{_clip_name(forecast)}: frames wait for each other, so {forecast.workers_kept_busy:.1f} of "
        f"{forecast.workers} workers are busy at once; a larger schedule.spacing, several clips in a batch or "
        "--engine network keep more of them busy"
    )


def _write_need(what: str, forecasts: "Sequence[Forecast]") -> None:
    """Write how much of something the clip takes that takes most of it, and each clip for which it does not suffice."""
    found = [(forecast, need) for forecast in forecasts for need in forecast.needs if need.what == what]
    largest = max(found, key=lambda pair: pair[1].needed)
    for forecast, need in [pair for pair in found if pair is largest or not pair[1].fits]:
        unknown = "unknown amount available" if forecast.remote else "none in this machine"
        available = unknown if need.available is None else f"{format_gigabytes(need.available)} available"
        saved = "" if need.reduced is None else f"; with {need.saving} {format_gigabytes(need.reduced, decimals=2)}"
        needed = format_gigabytes(need.needed, decimals=2)
        whose = f" for {_clip_name(forecast)}" if len(found) > 1 else ""
        terminal.out.line(f"{what}: {needed}{whose}, {available}{saved}")
        if not need.fits:
            remedy = f"it would fit with --size {need.fitting_size}" if need.fitting_size else "no size would fit"
            terminal.out.line(f"  does not fit: {remedy}")


def _write_disk(disk: "DiskNeed") -> None:
    sums = f"{format_gigabytes(disk.needed, decimals=2)}, {format_gigabytes(disk.free)} available"
    terminal.out.line(f"all {disk.clips} run folders on the disk of {disk.folder}: {sums}")
    if not disk.fits:
        verdict = "fits only one after the other" if disk.fits_in_turn else "does not fit"
        least = f"{format_gigabytes(disk.least, decimals=2)} if each clip is finished before the next one begins"
        terminal.out.line(f"  {verdict}: {least}")
