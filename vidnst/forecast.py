"""What a render would take, before anything is spent: work, memory, disk, and the time that one frame foretells."""

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from vidnst.config import RenderConfig
from vidnst.elsewhere import Farm
from vidnst.events import OnEvent, Stage, ignore
from vidnst.farm.staff import Staff, choose_staff, local_cores
from vidnst.frames import Pixels, Shot
from vidnst.opening import disk_bytes, find_shots_of, schedule_of
from vidnst.plan import FlowId, Node, NodeId, StateId, by_shot
from vidnst.prepare import Job, Request, prepare
from vidnst.source import cached_frames, open_frames
from vidnst.store.space import free_bytes
from vidnst.timeline import check_shots

if TYPE_CHECKING:
    from vidnst.style.memory import Footprint

_FEW, _MORE = 2, 14
"""Evaluations of the two warm starts that are timed; their difference is the pace, their rest what is fixed."""
_WORKER_BYTES = 400 << 20
"""Of a worker's process without a frame: Python, torch and OpenCV."""
_NODE_BYTES = 24
"""For each pixel of a node in flight: a state, and a pair of flows."""
_MEASURED_FLOWS = 2
"""Flows that measuring a frame takes, about: the source's, and as long again for warping and comparing."""
DISK = "disk of the run folder"
_STEP = 16
"""Sizes that would fit are multiples of it."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds that parts of the work take one worker on this machine, while the others work, too."""

    evaluation: float
    """Of the loss, at the frame's full size."""
    fixed: float
    """Of a warm start, whatever its evaluations: fetching, blending."""
    flow: float
    """Of a pair of flows."""
    frame: float
    """Reading a frame from the source, and writing and packing it."""


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes that something takes and that there are."""

    what: str
    needed: int
    there: int | None
    """None where this machine does not have it."""
    size: int | None = None
    """Longest side with which it would fit; None where it does, or no size would."""
    saved: int | None = None
    """Bytes that are needed when some are saved; None where there is enough, or none can be."""
    saving: str = ""
    """What is done for that, in a few words."""

    @property
    def fits(self) -> bool:
        """Whether there is enough, as far as is known."""
        return self.there is None or (self.needed if self.saved is None else self.saved) <= self.there


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

    def plain(self) -> dict[str, Any]:
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
    job = prepare(request, overwrite=True, on_event=on_event)
    shots = find_shots_of(job, on_event)
    check_shots(job.entries, len(shots))
    nodes = [node for shot in by_shot(schedule_of(job), shots) for node in shot]
    staff = _staff(job, shots, farm)
    pace = None
    if timed and not job.passes_through and (farm is None or _is_alike(staff, job.config)):
        on_event(Stage("timing"))
        pace = time_frame(job, shots, staff)
    return Forecast(
        source=job.clip.source,
        frames=job.end - job.start,
        width=job.width,
        height=job.height,
        shots=len(shots),
        nodes=dict(Counter(node.role.value for node in nodes)),
        evaluations=sum(_evaluations(node, job.config) for node in nodes),
        workers=staff.style,
        threads=staff.threads,
        needs=needs_of(job, staff, farm),
        seconds=None if pace is None else foretold_seconds(job, nodes, staff, pace, cores=_cores(staff, farm)),
        pace=pace,
        folder=str(request.folder),
        keeps=job.config.output.keep_frames,
        elsewhere=farm is not None,
    )


def _is_alike(staff: Staff, config: RenderConfig) -> bool:
    """Whether workers elsewhere are of the kind that one here would be, so that timing one here says something."""
    from vidnst.farm.worker import pick_device

    return (pick_device("auto" if staff.threads is None else config.farm.device).type == "cuda") == (
        staff.threads is None
    )


def _cores(staff: Staff, farm: Farm | None) -> int:
    """Cores that there are for the workers: elsewhere, as many as they have threads."""
    return local_cores() if farm is None else staff.style * (staff.threads or 1)


def _staff(job: Job, shots: Sequence[Shot], farm: Farm | None) -> Staff:
    from vidnst.farm.worker import gpus_of, pick_device

    width = len(shots) if schedule_of(job).kind == "chain" else job.end - job.start
    settings = job.config.farm
    if farm is not None:
        count, threads = settings.workers or 1, settings.threads or 1
        gpus = 0.0 if settings.device == "cpu" else float(count)
        return choose_staff(settings, width=width, cores=count * threads, gpus=gpus, threads=threads)
    gpus = 0.0
    if not job.passes_through and pick_device(job.config.farm.device).type == "cuda":
        gpus = 1.0 if job.config.farm.executor == "inline" else float(len(gpus_of()))
    return choose_staff(job.config.farm, width=width, cores=local_cores(), gpus=gpus)


def _evaluations(node: Node, config: RenderConfig) -> int:
    return config.evaluations(node.role.value, node.id.pass_index) if isinstance(node.id, StateId) else 0


def time_frame(job: Job, shots: Sequence[Shot], staff: Staff) -> Pace:
    """Time a few evaluations of a frame in the middle of a job, a pair of flows, and reading and writing it."""
    from vidnst.farm.jobs import FlowJob, StylizeJob
    from vidnst.farm.worker import FlowWorkerFactory, StyleWorkerFactory
    from vidnst.frames import narrow, widen
    from vidnst.media.pictures import encode_png
    from vidnst.motion.blend import Start

    content, reference, reading = _two_frames(job, shots)
    assert job.features is not None
    styles = [(style.pixels, style.weight) for style in job.styles]
    flows = FlowWorkerFactory(job.config.motion, job.raft, job.config.farm.device, staff.threads)()
    flow_job = FlowJob(FlowId(1, 0), content, reference)
    pair = flows.run(flow_job)
    flow = _least(lambda: flows.run(flow_job))
    factory = StyleWorkerFactory(job.config, job.features, styles, staff.threads)
    starts = tuple(Start(widen(reference), pair.forward, 1.0, reference) for _ in range(2))

    def paint(_: int) -> tuple[float, float]:
        worker = factory()
        jobs = [StylizeJob(StateId(0), content, starts, iterations=count, seed=0) for count in (1, _FEW, _MORE)]
        worker.run(jobs[0])
        return worker.run(jobs[1]).seconds, worker.run(jobs[2]).seconds

    # As many at once as will be, since they share caches and memory; a GPU is nobody else's.
    team = 1 if staff.threads is None else max(1, min(staff.style, local_cores() // staff.threads))
    with ThreadPoolExecutor(team) as pool:
        few, more = (fmean(seconds) for seconds in zip(*pool.map(paint, range(team)), strict=True))
    each = max(1e-9, (more - few) / (_MORE - _FEW))
    writing = _least(lambda: encode_png(narrow(widen(content), 8)))
    return Pace(each, max(0.0, few - _FEW * each), flow, reading + 2 * writing)


def _two_frames(job: Job, shots: Sequence[Shot]) -> tuple[Pixels, Pixels, float]:
    """A frame of the longest shot, the one after it (or itself), and the seconds of reading one."""
    number, shot = max(enumerate(shots), key=lambda pair: len(pair[1]))
    first = shot.start + max(0, len(shot) // 2 - 1)
    with open_frames(job, shots) as frames:
        one = frames.get(number, first)
        began = time.perf_counter()
        two = frames.get(number, min(first + 1, shot.end - 1))
        return one, two, time.perf_counter() - began


def _least(run: Callable[[], object], tries: int = 2) -> float:
    seconds = []
    for _ in range(tries):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def foretold_seconds(job: Job, nodes: Sequence[Node], staff: Staff, pace: Pace, *, cores: int | None = None) -> float:
    """Seconds from the pace of one worker: the longest of what all do, what flow takes, and the chain of what waits.

    On a CPU stylizing and flow share the cores (None: this machine's). A cold frame's coarse scales cost what their
    areas are.
    """
    config, cold = job.config, _cold_evaluations(job)
    spent: dict[NodeId, float] = {}
    until: dict[NodeId, float] = {}
    for node in nodes:
        if isinstance(node.id, StateId):
            evaluations = cold if not node.sources else float(_evaluations(node, config))
            spent[node.id] = evaluations * pace.evaluation + pace.fixed * bool(node.sources)
        else:
            spent[node.id] = pace.flow
        until[node.id] = spent[node.id] + max((until.get(need, 0.0) for need in node.needs), default=0.0)
    style = sum(seconds for key, seconds in spent.items() if isinstance(key, StateId))
    flow = sum(spent.values()) - style
    parts = [style / staff.style, flow / staff.flow, max(until.values(), default=0.0)]
    if staff.threads is not None:
        at_once = (local_cores() if cores is None else cores) // staff.threads
        parts.append((style + flow) / max(1, min(at_once, staff.style + staff.flow)))
    measured = _MEASURED_FLOWS * pace.flow * config.output.measure
    return max(parts) + (job.end - job.start) * (pace.frame + measured)


def _cold_evaluations(job: Job) -> float:
    """Evaluations of a cold frame, counted in those of its full size."""
    from vidnst.style.stylize import scale_sizes, split_evaluations

    sizes = scale_sizes(job.config, job.height, job.width)
    budget = split_evaluations(job.config.evaluations("cold"), len(sizes))
    full = job.width * job.height
    return sum(count * h * w / full for count, (h, w) in zip(budget, sizes[-len(budget) :], strict=True))


def needs_of(job: Job, staff: Staff, farm: Farm | None = None) -> tuple[Need, ...]:
    """Memory and disk that a render takes, beside what this machine has, or what is known of the farm."""
    from vidnst.farm.front import default_window
    from vidnst.farm.room import memory_limit
    from vidnst.farm.worker import gpus_of, pick_device
    from vidnst.style.precision import settled

    # How workers elsewhere multiply is not known: as if they saved nothing.
    config = job.config if farm is not None else settled(job.config, pick_device(job.config.farm.device))
    found = []
    width, height = job.width, job.height
    window = config.farm.window or default_window(staff.style, groups=schedule_of(job).spacing)
    per_pixel = float(min(job.end - job.start, window) * _NODE_BYTES)
    frames = min(job.end - job.start, cached_frames(width, height))
    fixed = _WORKER_BYTES + frames * width * height * 3  # of smaller frames it keeps more: no more bytes, nor fewer
    if not job.passes_through:
        given = config.farm.memory_gib
        if staff.threads is None or (farm is None and config.farm.device == "auto"):
            smallest = min(gpus_of(), default=None) if farm is None else farm.gpu_bytes
            raft = config.motion.method == "raft"
            limit = None if smallest is None else memory_limit(config.farm, smallest, raft=raft)
            found.append(_worker_need("GPU memory of a worker", config, limit, width, height)[0])
        if staff.threads is not None:
            need, worker = _worker_need(
                "memory of a worker", config, None if given is None else round(given * 2**30), width, height
            )
            found += [need] if given is not None or farm is not None else []
        if staff.threads is not None and farm is None:
            per_pixel += worker.per_pixel * staff.style
            apart = config.farm.executor == "ray"
            fixed += staff.style * (worker.fixed + _WORKER_BYTES * apart)
    found.append(_need("host memory", per_pixel, fixed, _host_bytes(), width, height))
    disk, least = disk_bytes(job), disk_bytes(job, size=(0, 0))
    per_disk = (disk - least) / (width * height)
    found.append(_need(DISK, per_disk, least, free_bytes(job.request.folder), width, height))
    return tuple(found)


def _worker_need(
    what: str, config: RenderConfig, there: int | None, width: int, height: int
) -> tuple[Need, "Footprint"]:
    """What a stylizing worker needs, with as much saved as is necessary, and how that is reckoned."""
    from vidnst.farm.room import first_fitting
    from vidnst.style.memory import footprint
    from vidnst.style.thrift import NO_THRIFT, additive, ladder

    rungs = ladder(config, additive=additive(config), smaller=config.farm.may_shrink)
    thrift = NO_THRIFT
    if there is not None:
        thrift = first_fitting(rungs, config, there, width=width, height=height) or rungs[-1]
    spent = footprint(config, thrift)
    taken = spent.of(width, height)
    size = None if there is None or taken <= there else spent.longest_side_px(there, width, height)
    need = Need(what, taken, there, size)
    if thrift != NO_THRIFT:
        need = replace(need, needed=footprint(config).of(width, height), saved=taken, saving=thrift.describe())
    return need, spent


def _need(what: str, per_pixel: float, fixed: int, there: int | None, width: int, height: int) -> Need:
    needed = fixed + round(per_pixel * width * height)
    size = None
    if there is not None and needed > there:
        share = max(0.0, there - fixed) / max(1, needed - fixed)
        size = int(max(width, height) * share**0.5) // _STEP * _STEP or None
    return Need(what, needed, there, size)


def _host_bytes() -> int | None:
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            fields = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
        return fields["MemAvailable"] * 1024
    except (OSError, KeyError, ValueError):
        pages = os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
        return pages * os.sysconf("SC_PAGE_SIZE") if pages > 0 else None


def total_seconds(forecasts: Sequence[Forecast]) -> float | None:
    """Of all, one after the other; None where one is not known."""
    known = [found.seconds for found in forecasts if found.seconds is not None]
    return float(np.sum(known)) if len(known) == len(forecasts) else None
