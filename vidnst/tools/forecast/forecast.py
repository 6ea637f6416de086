"""Forecasts renders before they start: work, memory, disk, and the time estimated from one frame."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vidnst.events import OnEvent, Stage, Warned, ignore
from vidnst.farm.local_gpus import check_gpus
from vidnst.processes.parallel import local_cores
from vidnst.runs.disk_space import SLACK_BYTES, file_system, free_bytes
from vidnst.runs.request import Request
from vidnst.tools.forecast.memory_and_disk import RUN_FOLDER_DISK, ResourceNeed, estimate_needs
from vidnst.tools.forecast.render_plan import plan_render
from vidnst.tools.forecast.target_machines import TargetMachines, count_workers, like_local_workers
from vidnst.tools.forecast.timing import WorkTimings, estimate_seconds, time_work


@dataclass(frozen=True, slots=True)
class Forecast:
    """The work, memory, disk and time of a render of one clip."""

    source: str
    frames: int
    width: int
    height: int
    shots: int
    nodes: dict[str, int]
    """Number of nodes of each role."""
    evaluations: int
    """Most evaluations; frames that settle take fewer."""
    workers: int
    workers_kept_busy: float
    """The most workers that have work at once on average, since frames wait for each other."""
    threads: int | None
    needs: tuple[ResourceNeed, ...]
    seconds: float | None
    """Rendering time if every worker is as fast as one here; None if it was not to be estimated, if frames are only
    transcoded, and if the workers are of another kind than those here."""
    timings: WorkTimings | None
    folder: str
    """The run folder."""
    keeps_frames: bool
    """True if the run folder keeps its frames after the render."""
    remote: bool
    """True if it is for machines other than this one."""
    styles: tuple[str, ...] = ()
    """Names of the style pictures' files."""

    @property
    def fits(self) -> bool:
        """True if there is enough memory and disk."""
        return all(need.fits for need in self.needs)

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain JSON values."""
        values = asdict(self)
        return values | {
            "needs": [need.to_dict() for need in self.needs],
            "fits": self.fits,
            "pace": values.pop("timings"),
            "keeps": values.pop("keeps_frames"),
            "elsewhere": values.pop("remote"),
        }


def forecast(
    request: Request, *, target: TargetMachines | None = None, timed: bool = True, on_event: OnEvent = ignore
) -> Forecast:
    """Prepare and plan a render, and estimate what it would take.

    Args:
        request: as for a render.
        target: machines that the forecast is for, of which nothing else is known; None for this one.
        timed: time a few evaluations of one frame at its real size.
        on_event: receives progress and warnings.

    Raises:
        VidnstError: whatever a render would be refused for before it starts.
    """
    plan = plan_render(request, on_event=on_event, here=target is None)
    checked = plan.checked
    workers = count_workers(plan, target)
    for note in check_gpus(checked.config.farm) if target is None and checked.config.stylizes else ():
        on_event(Warned(note))
    timings, seconds = None, None
    if timed and checked.config.stylizes and (target is None or like_local_workers(workers, checked.config)):
        on_event(Stage("timing"))
        timings = time_work(checked, plan.shots, workers)
        cores = local_cores() if target is None else workers.style * (workers.threads or 1)
        seconds = estimate_seconds(checked, plan.nodes, workers, timings, cores=cores)
    return Forecast(
        source=checked.clip.source,
        frames=plan.frames,
        width=checked.width,
        height=checked.height,
        shots=len(plan.shots),
        nodes=plan.nodes_by_role,
        evaluations=plan.evaluations,
        workers=workers.style,
        workers_kept_busy=round(plan.workers_kept_busy, 2),
        threads=workers.threads,
        needs=estimate_needs(checked, workers, target),
        seconds=seconds,
        timings=timings,
        folder=str(request.folder),
        keeps_frames=checked.config.output.keep_frames,
        remote=target is not None,
        styles=tuple(Path(style.style.path).name for style in checked.styles),
    )


def total_seconds(forecasts: Sequence[Forecast]) -> float | None:
    """Time of all renders, one after the other; None if that of one is not known."""
    known = [one.seconds for one in forecasts if one.seconds is not None]
    return sum(known) if len(known) == len(forecasts) else None


@dataclass(frozen=True, slots=True)
class DiskNeed:
    """Disk that the run folders of several clips take on one file system."""

    folder: str
    """The first of these run folders."""
    clips: int
    needed: int
    """Bytes, if no clip is finished before all have their frames."""
    least: int
    """Bytes, if each clip is finished before the next begins, and its frames are removed unless they are kept."""
    free: int
    """Bytes."""

    @property
    def fits(self) -> bool:
        """True if there is enough in any case."""
        return self.needed <= self.free

    @property
    def fits_in_turn(self) -> bool:
        """True if there is enough when the clips are finished one after the other."""
        return self.least <= self.free

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain JSON values."""
        values = asdict(self)
        return values | {"there": values.pop("free"), "fits": self.fits, "fits_in_turn": self.fits_in_turn}


def sum_disk_needs(forecasts: Sequence[Forecast]) -> tuple[DiskNeed, ...]:
    """Add up the disk of all clips, by file system."""
    by_file_system: dict[int, list[Forecast]] = {}
    for one in forecasts:
        by_file_system.setdefault(file_system(Path(one.folder)), []).append(one)
    return tuple(_sum_disk_need(clips) for clips in by_file_system.values())


def _sum_disk_need(clips: Sequence[Forecast]) -> DiskNeed:
    sizes = [
        (clip.keeps_frames, need.needed - SLACK_BYTES)
        for clip in clips
        for need in clip.needs
        if need.what == RUN_FOLDER_DISK
    ]
    kept = sum(size for keeps, size in sizes if keeps)
    largest_removed = max((size for keeps, size in sizes if not keeps), default=0)
    needed = sum(size for _, size in sizes) + SLACK_BYTES
    folder = clips[0].folder
    return DiskNeed(folder, len(clips), needed, kept + largest_removed + SLACK_BYTES, free_bytes(Path(folder)))
