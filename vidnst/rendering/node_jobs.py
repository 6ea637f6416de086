"""Turns nodes into jobs and stores their results: what the scheduler asks of a render.

State is not the deliverable: warm starts read the optimizer's result, rounded once to 16 bits, and never the 8-bit
frame that is made from it. A dependent node reads the same 16 bits whether they were just made or come from disk, so
a resumed run gives the same bytes. With noise in the start, equal noise in every frame keeps still things still, so
the seed does not depend on the frame.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vidnst.config import Role
from vidnst.errors import DiskFullError, NumericalError, SourceError, VidnstError
from vidnst.farm.jobs import FlowJob, Job, Refused, Shared, SkipJob, Stylized, StylizeJob
from vidnst.farm.plan import FlowId, Node, NodeId, StartState, StateId
from vidnst.frames import Pixels, State, to_bits
from vidnst.lru_cache import LruCache
from vidnst.media.images import encode_png
from vidnst.media.input.frame_cache import FrameCache
from vidnst.motion.blend import WarmSource
from vidnst.motion.quality_gate import thumbnail_luma
from vidnst.rendering.prepared_render import PreparedRender
from vidnst.rendering.shot_memory import ShotMemory
from vidnst.rendering.styles.guidance_builder import GuidanceBuilder
from vidnst.runs import DoneRecord, NodeResult, Writer

_REDUCED_STEP = 0.25
"""Factor on the optimiser's step after NaN: what made Adam diverge at the full step does not at a quarter of it."""
_THUMBNAILS_KEPT = 1024
"""Small source frames that are remembered: some 20 MB."""
_LEAST_WEIGHT = 0.01
"""Weight of a start in another style, so that one remains even if all are."""


class RenderHost:
    """Makes jobs out of one clip's nodes and stores their results, for the scheduler.

    An error that concerns the clip alone ends the clip: the rest of its nodes are drained, which means that they pass
    through without being rendered or stored, and `failure` says why. An error of the source ends only the shot that it
    is in, and a full disk ends everything.

    Args:
        render: the clip's render.
        frames: the source's frames.
        writer: writes into the run folder; the caller closes it.
        done: states that earlier sessions finished.
        shot_memory: says how each shot saves memory.
        guidance: says which styles apply where in a frame; None applies all of them everywhere.
        style_sets: what workers need to run the clip's stylizing jobs and its flow jobs.
    """

    def __init__(
        self,
        render: PreparedRender,
        frames: FrameCache,
        *,
        writer: Writer,
        done: set[StateId],
        shot_memory: ShotMemory,
        guidance: GuidanceBuilder | None,
        style_sets: tuple[Shared, Shared],
    ) -> None:
        self._config = render.config
        self._store = render.store
        self._width, self._height = render.size
        self._frames = frames
        self._writer = writer
        self._done = done
        self._shot_memory = shot_memory
        self._guidance = guidance
        self._style_sets = style_sets
        self._source_thumbnails = LruCache[int, NDArray[np.float32]](_THUMBNAILS_KEPT)
        self._state_thumbnails: dict[NodeId, NDArray[np.float32]] = {}
        """Thumbnails of states that this session painted and that will be read again."""
        self.given_up: dict[NodeId, tuple[str, NodeId | None]] = {}
        """Nodes that failed for good or read a failed one: the error, and the node that failed if it is another."""
        self.failed_shots: set[int] = set()
        """Shots with such nodes."""
        self.failure: VidnstError | None = None
        """The error that ended the clip."""
        self.source_error: SourceError | None = None
        """The first source frame that could not be read."""
        self.dropped = False
        """True if the clip is drained: it failed, or was cancelled."""

    def fail(self, error: VidnstError) -> None:
        """End the clip.

        Raises:
            DiskFullError: `error` is one; it concerns all clips.
        """
        if isinstance(error, DiskFullError):
            raise error
        self.failure = self.failure or error
        self.dropped = True

    def begin_round(self, done: set[StateId]) -> None:
        """Start another round, in which only these states are finished."""
        self._done = done

    def is_done(self, node: Node) -> bool:
        """Return True if an earlier session finished the node."""
        return node.id in self._done

    def load(self, node: NodeId) -> State | None:
        """Read a state from the run folder; if that fails, the clip ends and the result is None."""
        assert isinstance(node, StateId)
        if self.dropped:
            return None
        try:
            return self._store.read_state(node, width=self._width, height=self._height)
        except VidnstError as error:
            self.fail(error)
            return None

    def job(self, node: Node, inputs: Mapping[NodeId, Any], *, attempt: int, last_error: BaseException | None) -> Job:
        """Return the work of a node, with the source frames and the results that it reads.

        Raises:
            SourceError: a source frame cannot be read.
        """
        if self.dropped or self._shot_memory.is_uneven(node.shot):
            return SkipJob(node.id)
        try:
            frames = [self._source(node.shot, frame) for frame in node.frames]
            if isinstance(node.id, FlowId):
                return self._flow_job(node.id, frames, tuple(inputs[need] for need in node.needs))
            return self._stylize_job(node, frames[0], inputs, retries_nan=isinstance(last_error, NumericalError))
        except SourceError:
            raise
        except VidnstError as error:
            self.fail(error)
            return SkipJob(node.id)

    def _flow_job(self, flow: FlowId, frames: Sequence[Pixels], through: Sequence[Any]) -> FlowJob:
        shorter_flows = (through[0], through[1]) if through else None
        return FlowJob(flow, frames[0], frames[1], shorter_flows, style_set=self._style_sets[1])

    def _stylize_job(
        self, node: Node, content: Pixels, inputs: Mapping[NodeId, Any], *, retries_nan: bool
    ) -> StylizeJob:
        assert isinstance(node.id, StateId)
        kind = (node.role, node.id.pass_index)
        work = self._config.schedule.work(*kind)
        change = self._style_change(node)
        gated = self._config.farm.gate and self._config.stylizes
        return StylizeJob(
            node.id,
            content,
            tuple(self._warm_source(node, start, inputs) for start in node.sources),
            iterations=self._config.evaluations(*kind),
            seed=node_seed(self._config.optimize.seed, node.id),
            hold=work.hold * (1 - change),
            rate=work.rate + (1 - work.rate) * change,
            step_scale=_REDUCED_STEP if retries_nan else 1.0,
            content_share=change if node.role in (Role.KEY, Role.WARM) else 0.0,  # passes start from renewed states
            guidance=self._guidance(node.shot, node.id.frame) if self._guidance else None,
            source_thumbnails=tuple(self._thumbnail(node, start) for start in node.sources) if gated else None,
            state_thumbnails=tuple(self._state_thumbnails.get(start.state) for start in node.sources) if gated else (),
            memory_mode=self._shot_memory.mode_of(node.shot),
            style_set=self._style_sets[0],
        )

    def _thumbnail(self, node: Node, start: StartState) -> NDArray[np.float32] | None:
        """Return the source of a start, small; None if other styles apply there, so that the two need not look alike.

        The frame has been read for the flow, so it need not be decoded again.
        """
        if start.flow is None or self._style_distance(node, start) > 0:
            return None
        frame = start.state.frame
        return self._source_thumbnails.get(frame, lambda: thumbnail_luma(self._source(node.shot, frame)))

    def _source(self, shot: int, frame: int) -> Pixels:
        try:
            return self._frames.get(shot, frame)
        except SourceError as error:
            self.source_error = self.source_error or error
            raise

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
                pixels = self._source(node.shot, start.state.frame)
        return WarmSource(inputs[start.state], flow, self._weight(node, start), pixels)

    def store(self, node: Node, result: Any, *, worker: str, attempt: int) -> Any:
        """Have a result stored, and return the value that dependants get; None for a node that was skipped."""
        if isinstance(result, Refused):
            self.fail(result.error)
            return None
        if result is None or not isinstance(node.id, StateId):
            return result
        assert isinstance(result, Stylized)
        try:
            self._store_state(node, result, worker=worker, attempt=attempt)
        except VidnstError as error:
            self.fail(error)
            return None
        return result.state

    def _store_state(self, node: Node, result: Stylized, *, worker: str, attempt: int) -> None:
        shown = result.state if result.shown is None else result.shown
        memory_mode = self._shot_memory.note_result(node, result)
        if node.uses and result.thumbnail_luma is not None:
            self._state_thumbnails[node.id] = result.thumbnail_luma
        record = DoneRecord(
            node,
            worker=worker,
            attempt=attempt,
            losses=result.losses,
            evaluations=result.evaluations,
            seconds=result.seconds,
            facts={**_quality_facts(result), **memory_mode},
        )
        self._writer.keep(
            NodeResult(
                record,
                state=result.state if node.uses else None,
                write_frame=partial(_write_png, shown=shown, bits=self._config.frame_bits) if node.final else None,
                size_bytes=result.state.nbytes + (0 if result.shown is None else result.shown.nbytes),
            )
        )

    def is_durable(self, node: Node, *, timeout_seconds: float = 0.0) -> bool:
        """Return True if a node is in the run folder and its log, or never will be since the clip has ended."""
        try:
            return self._writer.lasts(node.id, timeout_seconds=timeout_seconds)
        except VidnstError as error:
            self.fail(error)
            return True

    def give_up(self, node: Node, error: str, because: NodeId | None) -> None:
        """Record that a node failed for good, or reads one that did."""
        self.given_up[node.id] = (error, because)
        self.failed_shots.add(node.shot)
        root = None if because is None else str(because)
        self._store.record("given_up", node=str(node.id), final=node.final, error=error, because=root)

    def release(self, node: NodeId) -> None:
        """Forget a state that nothing will read again."""
        self._state_thumbnails.pop(node, None)
        if not self._config.output.keep_frames:
            self._writer.release(node)


def _write_png(path: Path, *, shown: State, bits: Literal[8, 16]) -> None:
    path.write_bytes(encode_png(to_bits(shown, bits), bits=bits))


def _quality_facts(result: Stylized) -> dict[str, str]:
    facts = {"suspect": result.suspect, "repaired": result.repaired}
    return {name: problem for name, problem in facts.items() if problem}


def node_seed(seed: int, node: StateId) -> int:
    """Return the seed of a node's noise.

    The frame does not enter: equal noise in every frame keeps still things still.
    """
    return int(np.random.SeedSequence([seed, node.pass_index]).generate_state(1)[0])
