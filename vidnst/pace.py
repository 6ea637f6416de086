"""How fast one worker of this machine is at a job's frames, and how long that makes the whole render."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import fmean

from vidnst.ahead import local_cores
from vidnst.batch.ending import cost
from vidnst.farm.staff import Staff
from vidnst.frames import Pixels, Shot
from vidnst.plan import FlowId, Node, NodeId, StateId
from vidnst.prepare import Job
from vidnst.source import open_frames

_FEW, _MORE = 2, 14
"""Evaluations of the two warm starts that are timed; their difference is the pace, their rest what is fixed."""
_MEASURED_FLOWS = 3.5
"""Pairs of flows that measuring a frame takes one core, about: three of the source's without what only the second of a
pair takes, reading two pictures, warping and comparing."""


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
    config, cold = job.config, cold_evaluations(job)
    spent: dict[NodeId, float] = {}
    until: dict[NodeId, float] = {}
    for node in nodes:
        if isinstance(node.id, StateId):
            evaluations = cold if not node.sources else float(cost(config, node))
            spent[node.id] = evaluations * pace.evaluation + pace.fixed * bool(node.sources)
        else:
            spent[node.id] = pace.flow
        until[node.id] = spent[node.id] + max((until.get(need, 0.0) for need in node.needs), default=0.0)
    style = sum(seconds for key, seconds in spent.items() if isinstance(key, StateId))
    flow = sum(spent.values()) - style
    parts = [style / staff.style, flow / staff.flow, max(until.values(), default=0.0)]
    cores = local_cores() if cores is None else cores
    if staff.threads is not None:
        at_once = cores // staff.threads
        parts.append((style + flow) / max(1, min(at_once, staff.style + staff.flow)))
    measured = _MEASURED_FLOWS * pace.flow * config.output.measure / cores
    return max(parts) + (job.end - job.start) * (pace.frame + measured)


def cold_evaluations(job: Job) -> float:
    """Evaluations of a cold frame, counted in those of its full size."""
    from vidnst.style.stylize import scale_sizes, split_evaluations

    sizes = scale_sizes(job.config, job.height, job.width)
    budget = split_evaluations(job.config.evaluations("cold"), len(sizes))
    full = job.width * job.height
    return sum(count * h * w / full for count, (h, w) in zip(budget, sizes[-len(budget) :], strict=True))
