"""Turns nodes of a plan into the jobs that workers run, with the source frames and the results that they read.

With noise in the start, equal noise in every frame keeps still things still, so the seed does not depend on the frame.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from vidnst.config import RenderConfig, Role
from vidnst.farm.jobs import (
    FlowJob,
    GivenPart,
    Job,
    PaintJob,
    Shared,
    SharingPool,
    SoundJob,
    StylizeJob,
    TrainingPair,
    TrainJob,
)
from vidnst.farm.plan import FlowId, NetworkId, Node, NodeId, SoundId, StartState, StateId, evaluations
from vidnst.frames import Pixels, Shot, shot_number
from vidnst.media.input.frame_cache import FrameCache
from vidnst.motion.blend import WarmSource
from vidnst.motion.flow import Flow
from vidnst.rendering.given_keys import KeyPictures
from vidnst.rendering.held_frames import HeldFrames
from vidnst.rendering.lighting import Lighting
from vidnst.rendering.shot_memory import ShotMemory
from vidnst.rendering.styles.guidance_builder import GuidanceBuilder
from vidnst.style.guidance import Guidance

_REDUCED_STEP = 0.25
"""Factor on the optimiser's step after NaN: what made Adam diverge at the full step does not at a quarter of it."""
_LEAST_WEIGHT = 0.01
"""Weight of a start in another style, so that one remains even if all are."""


class JobBuilder:
    """Makes the jobs of one clip.

    Args:
        config: the render's settings.
        pool: runs the jobs.
        capacity: number of source frames that are held for the pool.
        frames: the source's frames.
        shots: the shots of the range.
        shot_memory: says how each shot saves memory.
        guidance: says which styles apply where in a frame; None applies all of them everywhere.
        style_sets: what workers need to run stylizing jobs and flow jobs.
        lighting: takes the light of the day out of the frames; None leaves them in their own light.
        training_threads: threads that train a network on a CPU.
        sound: makes the jobs of the soundtrack; None if it stays as it is.
        keys: the frames that a person has painted.
    """

    def __init__(
        self,
        config: RenderConfig,
        frames: FrameCache,
        shots: Sequence[Shot],
        *,
        pool: SharingPool,
        capacity: int,
        shot_memory: ShotMemory,
        guidance: GuidanceBuilder | None,
        style_sets: tuple[Shared, Shared],
        lighting: Lighting | None = None,
        training_threads: int,
        sound: Callable[[SoundId], SoundJob] | None = None,
        keys: KeyPictures | None = None,
    ) -> None:
        self._config = config
        self._frames = frames
        self._held = HeldFrames(pool, self._source, capacity=capacity)
        self._shots = shots
        self._shot_memory = shot_memory
        self._guidance = guidance
        self._style_sets = style_sets
        self._lighting = lighting
        self._training_threads = training_threads
        self._sound = sound
        self._keys = keys
        self.state_thumbnails: dict[NodeId, Any] = {}
        """Thumbnails of states that this session painted and that will be read again, as jobs carry them."""
        self.network: Shared | None = None
        """The clip's network, once it is trained, where frames are painted by one."""

    def build(self, node: Node, inputs: Mapping[NodeId, Any], *, retries_nan: bool) -> Job:
        """Return the job of a node.

        Args:
            inputs: the result of each of `node.needs`.
            retries_nan: whether the attempt before gave NaN.

        Raises:
            SourceError: a source frame cannot be read.
        """
        frames = [self._held.pixels(shot_number(self._shots, frame), frame) for frame in node.frames]
        if isinstance(node.id, FlowId):
            return self._flow_job(node.id, frames, tuple(inputs[need] for need in node.needs))
        if isinstance(node.id, SoundId):
            assert self._sound is not None
            return self._sound(node.id)
        if isinstance(node.id, NetworkId):
            return self._train_job(node, node.id, frames, inputs)
        if node.role is Role.PAINT:
            return self._paint_job(node, node.id, frames[0])
        return self._stylize_job(node, frames[0], inputs, retries_nan=retries_nan)

    def _flow_job(self, flow: FlowId, frames: Sequence[Any], through: Sequence[Any]) -> FlowJob:
        shorter_flows = (through[0], through[1]) if through else None
        # Neighbours' flows, of which each is estimated once, tell in the end what the painted keys cover.
        is_sketched = self._keys is not None and self._keys.are_given and flow.frame - flow.reference == 1
        return FlowJob(flow, frames[0], frames[1], shorter_flows, is_sketched, style_set=self._style_sets[1])

    def _train_job(
        self, node: Node, network: NetworkId, frames: Sequence[Any], inputs: Mapping[NodeId, Any]
    ) -> TrainJob:
        places = {frame: place for place, frame in enumerate(node.frames)}
        flows = [need for need in node.needs if isinstance(need, FlowId)]
        return TrainJob(
            network,
            next((inputs[need] for need in node.needs if isinstance(need, NetworkId)), None),
            tuple(frames),
            tuple(self._guidance_for(shot_number(self._shots, frame), frame) for frame in node.frames),
            tuple(TrainingPair(places[flow.frame], places[flow.reference], inputs[flow]) for flow in flows),
            seed=self._config.optimize.seed,
            given=tuple(map(self._given, node.frames)),
            threads=self._training_threads,
            style_set=self._style_sets[0],
            memory_mode=self._shot_memory.mode_of(node.shot),
        )

    def _paint_job(self, node: Node, state: StateId, content: Any) -> PaintJob:
        assert self.network is not None
        return PaintJob(
            state,
            content,
            self.network,
            self._guidance_for(node.shot, state.frame),
            self._given(state.frame),
            style_set=self._style_sets[0],
            memory_mode=self._shot_memory.mode_of(node.shot),
        )

    def _given(self, frame: int) -> GivenPart | None:
        return self._keys.get(frame) if self._keys else None

    def guidance_of(self, shot: int, frame: int) -> Guidance | None:
        """Return the styles that apply in a frame, by region; None if all of them apply everywhere."""
        return self._guidance(shot, frame) if self._guidance else None

    def _guidance_for(self, shot: int, frame: int) -> Any:
        return self._held.guidance(frame, self.guidance_of(shot, frame))

    def held(self, value: Any) -> Any:
        """Return what stands for a value of an earlier session in jobs."""
        return self._held.value(value)

    def _stylize_job(self, node: Node, content: Any, inputs: Mapping[NodeId, Any], *, retries_nan: bool) -> StylizeJob:
        assert isinstance(node.id, StateId)
        kind = (node.role, node.id.pass_index)
        work = self._config.schedule.work(*kind)
        change = self._style_change(node)
        given = self._given(node.id.frame)
        gated = self._config.farm.gate and self._config.stylizes and given is None
        starts = tuple(self._warm_source(node, start, inputs) for start in node.sources)
        rate = self._config.keys.rate if node.follows else work.rate + (1 - work.rate) * change
        return StylizeJob(
            node.id,
            content,
            (*starts, *_painted_source(node, given)),
            iterations=evaluations(self._config, node),
            seed=node_seed(self._config.optimize.seed, node.id),
            hold=work.hold * (1 - change),
            rate=rate,
            step_scale=_REDUCED_STEP if retries_nan else 1.0,
            renew_at=self._config.motion.renew_at if node.role in (Role.KEY, Role.WARM) and not node.follows else None,
            content_share=change if node.role in (Role.KEY, Role.WARM) else 0.0,  # passes start from renewed states
            guidance=self._guidance_for(node.shot, node.id.frame),
            source_thumbnails=tuple(self._thumbnail(node, start) for start in node.sources) if gated else None,
            state_thumbnails=tuple(self.state_thumbnails.get(start.state) for start in node.sources) if gated else (),
            memory_mode=self._shot_memory.mode_of(node.shot),
            given=given,
            style_set=self._style_sets[0],
        )

    def _thumbnail(self, node: Node, start: StartState) -> Any:
        """Return the source of a start, small; None if other styles apply there, so that the two need not look alike.

        The frame has been read for the flow, so it need not be decoded again.
        """
        if start.flow is None or self._style_distance(node, start) > 0:
            return None
        return self._held.thumbnail(node.shot, start.state.frame)

    def _source(self, shot: int, frame: int) -> Pixels:
        pixels = self._frames.get(shot, frame)
        return pixels if self._lighting is None else self._lighting.evened(shot, frame, pixels)

    def _style_change(self, node: Node) -> float:
        """Return how far the node's styles are from those of its starts, from 0 to 1.

        The more they differ, the less the node is held to its starts.
        """
        if self._guidance is None or node.role is Role.RELAX:  # a pass starts from the frame's own state
            return 0.0
        parts = [(self._weight(node, start), self._style_distance(node, start)) for start in node.sources]
        return sum(weight * distance for weight, distance in parts) / (sum(weight for weight, _ in parts) or 1.0)

    def _weight(self, node: Node, start: StartState) -> float:
        """Return a start's weight in the blend: the lower, the farther its styles are from the node's."""
        if self._guidance is None:
            return start.weight
        return start.weight * max(_LEAST_WEIGHT, 1 - self._style_distance(node, start))

    def _style_distance(self, node: Node, start: StartState) -> float:
        if self._guidance is None:
            return 0.0
        return self._guidance.distance(node.shot, node.id.frame, start.state.frame)

    def _warm_source(self, node: Node, start: StartState, inputs: Mapping[NodeId, Any]) -> WarmSource:
        """Return a start with its pixels, and with the flow of the pair that lies on the node's frame."""
        flow = pixels = None
        if start.flow is not None:
            pair = inputs[start.flow]
            flow = pair.forward if start.flow.frame == node.id.frame else pair.backward
            if self._config.motion.reads_sources:
                pixels = self._held.pixels(node.shot, start.state.frame)
        return WarmSource(inputs[start.state], flow, self._weight(node, start), pixels)


def _painted_source(node: Node, given: GivenPart | None) -> tuple[WarmSource, ...]:
    """Return a painted key as a start of its own frame; only where it is opaque."""
    if given is None or node.role is not Role.GIVEN:
        return ()
    if given.opaque is None:
        return (WarmSource(given.state),)
    still = np.zeros((*given.opaque.shape, 2), np.float32)
    return (WarmSource(given.state, Flow(still, given.opaque.astype(np.uint8) * np.uint8(255))),)


def node_seed(seed: int, node: StateId) -> int:
    """Return the seed of a node's noise.

    The frame does not enter: equal noise in every frame keeps still things still.
    """
    return int(np.random.SeedSequence([seed, node.pass_index]).generate_state(1)[0])
