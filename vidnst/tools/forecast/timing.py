"""Times one worker of this machine at a clip's frames, and estimates the time of the whole render from it."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import fmean

from vidnst.config import Role
from vidnst.farm.flow_workers import FlowWorker, FlowWorkerFactory
from vidnst.farm.jobs import FlowJob, PaintJob, Shared, StylizeJob
from vidnst.farm.plan import FlowId, NetworkId, Node, NodeId, SoundId, StateId, evaluations
from vidnst.farm.provisioning import WorkerCounts
from vidnst.farm.workers import StyleWorkerFactory
from vidnst.frames import Pixels, Shot, to_16_bits, to_bits
from vidnst.media.images import encode_png
from vidnst.motion.blend import WarmSource, blend
from vidnst.processes.parallel import local_cores
from vidnst.rendering.prepare import CheckedRequest
from vidnst.rendering.source_frames import source_frames
from vidnst.style.pyramid import relight_pass, renewal_pass, scale_sizes, split_evaluations
from vidnst.style.transform.network import TransformNetwork
from vidnst.tools.forecast.sound_time import chunk_seconds
from vidnst.tools.forecast.training_time import training_step_seconds

_TIMED_EVALUATIONS = 12
"""Evaluations with their gradients. A frame's last evaluation has none, since no step follows it."""
_MEASURED_FLOWS = 3.5
"""Pairs of flows that measuring a frame costs on one core, approximately: three of the source's, without what only the
second of a pair takes, reading two pictures, warping and comparing."""


@dataclass(frozen=True, slots=True)
class WorkTimings:
    """Seconds that parts of the work take one worker on this machine while the others work as well."""

    evaluation: float
    """One evaluation of the loss and its gradient, at the frame's full size."""
    fixed: float
    """A warm start without the evaluations: fetching and blending states, computing the content's features, and the
    last evaluation, which has no gradient."""
    cold: float
    """The same for a cold start at one scale, the frame's full size."""
    flow: float
    """A pair of flows."""
    frame: float
    """Reading a frame from the source, and writing and encoding it."""
    painting: float = 0.0
    """Painting a frame with a network; 0 if no frame is."""
    training_step: float = 0.0
    """A step of the network's training, with all the cores; 0 if none is trained."""
    sound: float = 0.0
    """Restyling a chunk of the soundtrack; 0 if it stays as it is."""
    relights: bool = False
    """True if the light changes so much that both sources of a frame with a single start are also stylized small."""


def time_work(checked: CheckedRequest, shots: Sequence[Shot], workers: WorkerCounts) -> WorkTimings:
    """Time some evaluations of a frame in the middle of a clip, a pair of flows, and reading and writing the frame."""
    sample = _read_sample(checked, shots)
    content, reference = sample.frame, sample.next
    assert checked.features is not None
    styles = [(style.pixels, style.weight) for style in checked.styles]
    flow_worker = FlowWorkerFactory(checked.config.flow, checked.raft, checked.config.farm.device, workers.threads)()
    flow_job = FlowJob(FlowId(1, 0), content, reference)
    pair = flow_worker.run(flow_job)
    flow = _shortest_seconds(lambda: flow_worker.run(flow_job))
    factory = StyleWorkerFactory(checked.config, checked.features, styles, workers.threads)
    # As in a pass over key frames: the frame's own state, and two that are warped to it.
    warped = WarmSource(to_16_bits(reference), pair.forward, 1.0, reference)
    starts = (WarmSource(to_16_bits(content), None, 1.0, content), warped, warped)

    def time_starts(_: int) -> tuple[float, float, float]:
        worker = factory()

        def seconds(count: int, *starts: WarmSource) -> float:
            return worker.stylize(StylizeJob(StateId(0), content, starts, iterations=count, seed=0)).seconds

        seconds(2, *starts)  # loads kernels and allocates memory, also those of a gradient
        return seconds(1, *starts), seconds(1 + _TIMED_EVALUATIONS, *starts), seconds(1)

    evaluation = fixed = cold = 0.0
    if checked.schedule.kind != "network" or checked.schedule.passes:
        # As many at once as the render will run, since they share caches and memory; a GPU is not shared.
        at_once = 1 if workers.threads is None else max(1, min(workers.style, local_cores() // workers.threads))
        with ThreadPoolExecutor(at_once) as pool:
            fixed, more, cold = (fmean(seconds) for seconds in zip(*pool.map(time_starts, range(at_once)), strict=True))
        evaluation = max(1e-9, (more - fixed) / _TIMED_EVALUATIONS)
    writing = _shortest_seconds(lambda: encode_png(to_bits(to_16_bits(content), 8)))
    motion = checked.config.motion
    relights = motion.follow_light and motion.light_share is None and _relights(sample, checked)
    frame = sample.read_seconds + 2 * writing
    painting = _painting_seconds(checked, factory, content)
    is_trained = checked.schedule.kind == "network" and checked.network is None and checked.schedule.training.steps > 0
    step = training_step_seconds(checked, content, reference, pair) if is_trained else 0.0
    sound = chunk_seconds(checked, workers.threads)
    return WorkTimings(evaluation, fixed, cold, flow, frame, painting, step, sound, relights)


def _painting_seconds(checked: CheckedRequest, factory: StyleWorkerFactory, content: Pixels) -> float:
    """Time the painting of a frame with an untrained network, which takes as long as with a trained one."""
    if checked.schedule.kind != "network":
        return 0.0
    worker, job = factory(), PaintJob(StateId(0), content, Shared("", TransformNetwork().to_vector()))
    return _shortest_seconds(lambda: worker.run(job))


@dataclass(frozen=True, slots=True)
class _Sample:
    """Frames of the source, with the time that reading one takes."""

    frame: Pixels
    next: Pixels
    far: Pixels
    """A frame as far from the first as one with a single start is from it; the next one if light is not followed."""
    read_seconds: float


def _read_sample(checked: CheckedRequest, shots: Sequence[Shot]) -> _Sample:
    """Read frames from the middle of the longest shot; a shot of one frame gives that frame twice."""
    number, shot = max(enumerate(shots), key=lambda pair: len(pair[1]))
    first, last = shot.start + max(0, len(shot) // 2 - 1), shot.end - 1
    schedule = checked.config.schedule
    with source_frames(checked, shots).open() as frames:
        one = frames.get(number, first)
        began = time.perf_counter()
        two = frames.get(number, min(first + 1, last))
        seconds = time.perf_counter() - began
        if not checked.config.motion.follow_light or schedule.kind != "keys":
            return _Sample(one, two, two, seconds)
        return _Sample(one, two, frames.get(number, min(first + schedule.spacing, last)), seconds)


def _relights(sample: _Sample, checked: CheckedRequest) -> bool:
    """True if the light changes so much from a frame to one that starts from it alone that both are stylized small."""
    config = checked.config.motion
    pair = FlowWorker(config.model_copy(update={"method": "dis"})).run(FlowJob(FlowId(1, 0), sample.far, sample.frame))
    start = WarmSource(to_16_bits(sample.frame), pair.forward, 1.0, sample.frame)
    return blend(sample.far, [start], follow_light=True, static_levels=config.static_lock).warped_source is not None


def _shortest_seconds(run: Callable[[], object], tries: int = 2) -> float:
    seconds = []
    for _ in range(tries):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def estimate_seconds(
    checked: CheckedRequest,
    nodes: Sequence[Node],
    workers: WorkerCounts,
    timings: WorkTimings,
    *,
    cores: int | None = None,
) -> float:
    """Estimate a render's time: the longest of all stylizing, all flow, and the longest chain of dependent nodes.

    The training of a network comes before all that, stage after stage. On a CPU stylizing and flow share the cores
    (None: this machine's). The coarse scales of a cold frame cost in proportion to their areas.
    """
    config, seconds_of = checked.config, node_seconds(checked, timings)
    durations: dict[NodeId, float] = {}
    ends: dict[NodeId, float] = {}
    for node in nodes:
        durations[node.id] = seconds_of(node)
        if not isinstance(node.id, NetworkId):
            ends[node.id] = durations[node.id] + max((ends.get(need, 0.0) for need in node.needs), default=0.0)
    training = sum(seconds for key, seconds in durations.items() if isinstance(key, NetworkId))
    style = sum(seconds for key, seconds in durations.items() if isinstance(key, StateId | SoundId))
    flow = sum(durations.values()) - style - training
    bounds = [style / workers.style, flow / workers.flow, max(ends.values(), default=0.0)]
    cores = local_cores() if cores is None else cores
    if workers.threads is not None:
        at_once = cores // workers.threads
        bounds.append((style + flow) / max(1, min(at_once, workers.style + workers.flow)))
    measuring = _MEASURED_FLOWS * timings.flow * config.output.measure / cores
    return training + max(bounds) + (checked.frames) * (timings.frame + measuring)


def node_seconds(checked: CheckedRequest, timings: WorkTimings) -> Callable[[Node], float]:
    """Return a function that estimates the seconds of a node on one worker."""
    config = checked.config
    cold, small = cold_seconds(checked, timings), _small_paintings_seconds(checked, timings)

    def seconds_of(node: Node) -> float:
        if isinstance(node.id, FlowId):
            return timings.flow
        if isinstance(node.id, NetworkId):
            return evaluations(config, node) * timings.training_step
        if isinstance(node.id, SoundId):
            return timings.sound
        if node.role is Role.PAINT:
            return timings.painting
        if not node.sources and node.role is not Role.GIVEN:
            return cold
        warm = timings.fixed + (evaluations(config, node) - 1) * timings.evaluation
        return warm + small * (len(node.sources) == 1)

    return seconds_of


def cold_seconds(checked: CheckedRequest, timings: WorkTimings) -> float:
    """Estimate the seconds of a cold frame, over all its scales."""
    sizes = scale_sizes(checked.config, checked.height, checked.width)
    evaluations = split_evaluations(checked.config.evaluations(Role.COLD), len(sizes))
    scales = zip(evaluations, sizes[-len(evaluations) :], strict=True)
    return sum(_scale_seconds(checked, timings, count, size) for count, size in scales)


def _small_paintings_seconds(checked: CheckedRequest, timings: WorkTimings) -> float:
    """Estimate the seconds for the small paintings of a frame that starts from a single state.

    Two are of its sources, where light is followed; one tells where the state is stale.
    """
    size, evaluations = relight_pass(checked.config, checked.height, checked.width)
    seconds = 2 * timings.relights * _scale_seconds(checked, timings, evaluations, size)
    if checked.config.motion.renew_at is None:
        return seconds
    size, evaluations = renewal_pass(checked.config, checked.height, checked.width)
    return seconds + _scale_seconds(checked, timings, evaluations, size)


def _scale_seconds(checked: CheckedRequest, timings: WorkTimings, evaluations: int, size: tuple[int, int]) -> float:
    """Estimate one scale by its area; the last evaluation is part of what every start takes."""
    height, width = size
    return height * width / (checked.height * checked.width) * (timings.cold + (evaluations - 1) * timings.evaluation)
