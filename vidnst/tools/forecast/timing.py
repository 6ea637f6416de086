"""How fast one worker of this machine is at a job's frames, and how long that makes the whole render."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import fmean

from vidnst.config import Role
from vidnst.farm.plan import FlowId, Node, NodeId, StateId
from vidnst.farm.provisioning import WorkerCounts
from vidnst.frames import Pixels, Shot
from vidnst.parallel import local_cores
from vidnst.rendering.batch.tail_balancing import cost
from vidnst.rendering.prepare import CheckedRequest
from vidnst.rendering.source_frames import source_frames

_WHOLE = 12
"""Evaluations with their gradients that are timed. A frame's last one has none, since no step follows it."""
_MEASURED_FLOWS = 3.5
"""Pairs of flows that measuring a frame takes one core, about: three of the source's without what only the second of a
pair takes, reading two pictures, warping and comparing."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds that parts of the work take one worker on this machine, while the others work, too."""

    evaluation: float
    """Of the loss and its gradient, at the frame's full size."""
    fixed: float
    """Of a warm start, whatever its evaluations: fetching, blending, a look at the content, and the last evaluation,
    which has no gradient."""
    cold: float
    """The same of a cold start at one scale, the frame's full size."""
    flow: float
    """Of a pair of flows."""
    frame: float
    """Reading a frame from the source, and writing and packing it."""
    relights: bool = False
    """Whether light is followed and changes so much that a frame with a single start has both sources painted small."""


def time_frame(checked: CheckedRequest, shots: Sequence[Shot], staff: WorkerCounts) -> Pace:
    """Time a few evaluations of a frame in the middle of a checked, a pair of flows, and reading and writing it."""
    from vidnst.farm.jobs import FlowJob, StylizeJob
    from vidnst.farm.workers import FlowWorkerFactory, StyleWorkerFactory
    from vidnst.frames import to_16_bits, to_bits
    from vidnst.media.images import encode_png
    from vidnst.motion.blend import WarmSource

    sample = _sample(checked, shots)
    content, reference = sample.frame, sample.next
    assert checked.features is not None
    styles = [(style.pixels, style.weight) for style in checked.styles]
    flows = FlowWorkerFactory(checked.config.motion, checked.raft, checked.config.farm.device, staff.threads)()
    flow_job = FlowJob(FlowId(1, 0), content, reference)
    pair = flows.run(flow_job)
    flow = _least(lambda: flows.run(flow_job))
    factory = StyleWorkerFactory(checked.config, checked.features, styles, staff.threads)
    # As in a pass: the frame's own state, and two that are fetched.
    fetched = WarmSource(to_16_bits(reference), pair.forward, 1.0, reference)
    starts = (WarmSource(to_16_bits(content), None, 1.0, content), fetched, fetched)

    def paint(_: int) -> tuple[float, float, float]:
        worker = factory()

        def seconds(count: int, *starts: WarmSource) -> float:
            return worker.run(StylizeJob(StateId(0), content, starts, iterations=count, seed=0)).seconds

        seconds(2, *starts)  # kernels and memory, those of a gradient, too
        return seconds(1, *starts), seconds(1 + _WHOLE, *starts), seconds(1)

    # As many at once as will be, since they share caches and memory; a GPU is nobody else's.
    team = 1 if staff.threads is None else max(1, min(staff.style, local_cores() // staff.threads))
    with ThreadPoolExecutor(team) as pool:
        fixed, more, cold = (fmean(seconds) for seconds in zip(*pool.map(paint, range(team)), strict=True))
    each = max(1e-9, (more - fixed) / _WHOLE)
    writing = _least(lambda: encode_png(to_bits(to_16_bits(content), 8)))
    relights = checked.config.motion.follow_light and _relights(sample, checked)
    return Pace(each, fixed, cold, flow, sample.reading + 2 * writing, relights)


@dataclass(frozen=True, slots=True)
class _Sample:
    """Frames of the source, and how long they take to read."""

    frame: Pixels
    next: Pixels
    far: Pixels
    """As far from the first as a frame with a single start is from it; the next one where light is not followed."""
    reading: float
    """Seconds for one."""


def _sample(checked: CheckedRequest, shots: Sequence[Shot]) -> _Sample:
    """Of the middle of the longest shot; where it is too short, the same frame twice."""
    number, shot = max(enumerate(shots), key=lambda pair: len(pair[1]))
    first, last = shot.start + max(0, len(shot) // 2 - 1), shot.end - 1
    schedule = checked.config.schedule
    with source_frames(checked, shots).open() as frames:
        one = frames.get(number, first)
        began = time.perf_counter()
        two = frames.get(number, min(first + 1, last))
        reading = time.perf_counter() - began
        if not checked.config.motion.follow_light or schedule.kind != "keys":
            return _Sample(one, two, two, reading)
        return _Sample(one, two, frames.get(number, min(first + schedule.spacing, last)), reading)


def _relights(sample: _Sample, checked: CheckedRequest) -> bool:
    """Whether the light changes so much from one frame to one that starts from it alone that it must be painted."""
    from vidnst.farm.jobs import FlowJob
    from vidnst.farm.workers import FlowWorker
    from vidnst.frames import to_16_bits
    from vidnst.motion.blend import WarmSource, blend

    config = checked.config.motion
    pair = FlowWorker(config.model_copy(update={"method": "dis"})).run(FlowJob(FlowId(1, 0), sample.far, sample.frame))
    start = WarmSource(to_16_bits(sample.frame), pair.forward, 1.0, sample.frame)
    return blend(sample.far, [start], follow_light=True, still_levels=config.static_lock).before is not None


def _least(run: Callable[[], object], tries: int = 2) -> float:
    seconds = []
    for _ in range(tries):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def foretold_seconds(
    checked: CheckedRequest, nodes: Sequence[Node], staff: WorkerCounts, pace: Pace, *, cores: int | None = None
) -> float:
    """Seconds from the pace of one worker: the longest of what all do, what flow takes, and the chain of what waits.

    On a CPU stylizing and flow share the cores (None: this machine's). A cold frame's coarse scales cost what their
    areas are.
    """
    config = checked.config
    cold, relit = cold_seconds(checked, pace), relit_seconds(checked, pace)
    spent: dict[NodeId, float] = {}
    until: dict[NodeId, float] = {}
    for node in nodes:
        if not isinstance(node.id, StateId):
            spent[node.id] = pace.flow
        elif not node.sources:
            spent[node.id] = cold
        else:
            warm = pace.fixed + (cost(config, node) - 1) * pace.evaluation
            spent[node.id] = warm + relit * (len(node.sources) == 1)
        until[node.id] = spent[node.id] + max((until.get(need, 0.0) for need in node.needs), default=0.0)
    style = sum(seconds for key, seconds in spent.items() if isinstance(key, StateId))
    flow = sum(spent.values()) - style
    parts = [style / staff.style, flow / staff.flow, max(until.values(), default=0.0)]
    cores = local_cores() if cores is None else cores
    if staff.threads is not None:
        at_once = cores // staff.threads
        parts.append((style + flow) / max(1, min(at_once, staff.style + staff.flow)))
    measured = _MEASURED_FLOWS * pace.flow * config.output.measure / cores
    return max(parts) + (checked.frames) * (pace.frame + measured)


def cold_seconds(checked: CheckedRequest, pace: Pace) -> float:
    """Seconds of a cold frame, over all its scales."""
    from vidnst.style.pyramid import scale_sizes, split_evaluations

    sizes = scale_sizes(checked.config, checked.height, checked.width)
    budget = split_evaluations(checked.config.evaluations(Role.COLD), len(sizes))
    scales = zip(budget, sizes[-len(budget) :], strict=True)
    return sum(_painted_seconds(checked, pace, evaluations, size) for evaluations, size in scales)


def relit_seconds(checked: CheckedRequest, pace: Pace) -> float:
    """Seconds for which both sources of a frame are painted small, where light is followed from a single state."""
    from vidnst.style.pyramid import relit

    size, evaluations = relit(checked.config, checked.height, checked.width)
    return 2 * pace.relights * _painted_seconds(checked, pace, evaluations, size)


def _painted_seconds(checked: CheckedRequest, pace: Pace, evaluations: int, size: tuple[int, int]) -> float:
    """Seconds of a picture at one scale, by its area; the last evaluation is among what any start takes."""
    height, width = size
    return height * width / (checked.height * checked.width) * (pace.cold + (evaluations - 1) * pace.evaluation)
