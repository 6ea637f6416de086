"""What a render would take, before anything is spent: work, memory, disk, and the time that one frame foretells."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vidnst.config import RenderConfig
from vidnst.events import OnEvent, Stage, ignore
from vidnst.farm.plan import by_shot
from vidnst.farm.provisioning import WorkerCounts, choose_worker_counts
from vidnst.frames import Shot
from vidnst.parallel import local_cores
from vidnst.rendering.batch.tail_balancing import cost
from vidnst.rendering.prepare import CheckedRequest, check_request
from vidnst.rendering.run_setup import find_shots_of
from vidnst.rendering.styles.timeline import check_shots
from vidnst.runs.request import Request
from vidnst.tools.forecast.memory_and_disk import Need, needs_of
from vidnst.tools.forecast.target_machines import Farm
from vidnst.tools.forecast.timing import Pace, foretold_seconds, time_frame


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a render of one clip would take."""

    source: str
    frames: int
    width: int
    height: int
    shots: int
    nodes: dict[str, int]
    """Of each role."""
    evaluations: int
    """At most: settled frames stop earlier."""
    workers: int
    threads: int | None
    needs: tuple[Need, ...]
    seconds: float | None
    """Of rendering, were every worker as fast as one here; None where that was not to be estimated, where frames pass
    through, and where the workers are of another kind than those here."""
    pace: Pace | None
    folder: str
    """Of the run."""
    keeps: bool
    """Whether the run folder keeps its frames when it is finished."""
    elsewhere: bool
    """Whether it is reckoned for machines other than this one."""

    @property
    def fits(self) -> bool:
        """Whether nothing lacks."""
        return all(need.fits for need in self.needs)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self) | {"needs": [asdict(need) | {"fits": need.fits} for need in self.needs], "fits": self.fits}


def forecast(request: Request, *, farm: Farm | None = None, timed: bool = True, on_event: OnEvent = ignore) -> Forecast:
    """Look at a source and its plan, and say what rendering it would take.

    Args:
        request: as for a render.
        farm: machines to reckon for, of which nothing else is known; None for this one.
        timed: whether to time a few evaluations of one frame at its real size.
        on_event: hears of what happens.

    Raises:
        VidnstError: whatever a render would be refused for before it starts.
    """
    checked = check_request(request, overwrite=True, on_event=on_event)
    shots = find_shots_of(checked, on_event)
    check_shots(checked.timeline, len(shots))
    nodes = [node for shot in by_shot(checked.schedule, shots) for node in shot]
    staff = _staff(checked, shots, farm)
    pace = None
    if timed and checked.config.stylizes and (farm is None or _is_alike(staff, checked.config)):
        on_event(Stage("timing"))
        pace = time_frame(checked, shots, staff)
    return Forecast(
        source=checked.clip.source,
        frames=checked.frames,
        width=checked.width,
        height=checked.height,
        shots=len(shots),
        nodes=dict(Counter(node.role.value for node in nodes)),
        evaluations=sum(cost(checked.config, node) for node in nodes),
        workers=staff.style,
        threads=staff.threads,
        needs=needs_of(checked, staff, farm),
        seconds=None if pace is None else foretold_seconds(checked, nodes, staff, pace, cores=_cores(staff, farm)),
        pace=pace,
        folder=str(request.folder),
        keeps=checked.config.output.keep_frames,
        elsewhere=farm is not None,
    )


def _is_alike(staff: WorkerCounts, config: RenderConfig) -> bool:
    """Whether workers elsewhere are of the kind that one here would be, so that timing one here says something."""
    from vidnst.farm.workers import pick_device

    return (pick_device("auto" if staff.threads is None else config.farm.device).type == "cuda") == (
        staff.threads is None
    )


def _cores(staff: WorkerCounts, farm: Farm | None) -> int:
    """Cores that there are for the workers: elsewhere, as many as they have threads."""
    return local_cores() if farm is None else staff.style * (staff.threads or 1)


def _staff(checked: CheckedRequest, shots: Sequence[Shot], farm: Farm | None) -> WorkerCounts:
    from vidnst.farm.workers import gpus_of, pick_device

    width = len(shots) if checked.schedule.kind == "chain" else checked.frames
    settings = checked.config.farm
    if farm is not None:
        count, threads = settings.workers or 1, settings.threads or 1
        gpus = 0.0 if settings.device == "cpu" else float(count)
        return choose_worker_counts(settings, width=width, cores=count * threads, gpus=gpus, threads=threads)
    gpus = 0.0
    if checked.config.stylizes and pick_device(checked.config.farm.device).type == "cuda":
        gpus = 1.0 if checked.config.farm.executor == "inline" else float(len(gpus_of()))
    return choose_worker_counts(checked.config.farm, width=width, cores=local_cores(), gpus=gpus)


def total_seconds(forecasts: Sequence[Forecast]) -> float | None:
    """Of all, one after the other; None where one is not known."""
    known = [found.seconds for found in forecasts if found.seconds is not None]
    return sum(known) if len(known) == len(forecasts) else None
