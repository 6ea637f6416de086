"""Turns nodes into jobs and stores their results: what the scheduler asks of a render.

State is not the deliverable: warm starts read the optimizer's result, rounded once to 16 bits, and never the 8-bit
frame that is made from it. A dependent node reads the same 16 bits whether they were just made or come from disk, so
a resumed run gives the same bytes.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

from vidnst.errors import DiskFullError, LostValueError, NumericalError, SourceError, VidnstError
from vidnst.farm.deferred import opened
from vidnst.farm.jobs import (
    Job,
    Refused,
    RestyledSound,
    Shared,
    SharingPool,
    SkipJob,
    Stylized,
    Trained,
)
from vidnst.farm.plan import FlowId, NetworkId, Node, NodeId, SoundId, StateId, StoredId
from vidnst.frames import State, to_bits
from vidnst.media.images import encode_png
from vidnst.media.input.frame_cache import FrameCache
from vidnst.motion.flow import NotedFlowPair
from vidnst.rendering.given_keys import KeyPictures
from vidnst.rendering.job_builder import JobBuilder
from vidnst.rendering.lighting import Lighting
from vidnst.rendering.prepared_render import PreparedRender
from vidnst.rendering.shot_memory import ShotMemory
from vidnst.rendering.styles.guidance_builder import GuidanceBuilder
from vidnst.runs import DoneRecord, NodeResult, Writer


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
        lighting: takes the light of the day out of frames and puts it back; None paints frames in their own light.
        style_sets: what workers need to run the clip's stylizing jobs and its flow jobs.
        pool: the workers.
        held_frames: number of source frames that are held for them.
        sound_sets: what workers need to restyle each track of the soundtrack.
    """

    def __init__(
        self,
        render: PreparedRender,
        frames: FrameCache,
        *,
        writer: Writer,
        done: set[StoredId],
        shot_memory: ShotMemory,
        guidance: GuidanceBuilder | None,
        lighting: Lighting | None,
        style_sets: tuple[Shared, Shared],
        pool: SharingPool,
        held_frames: int,
        sound_sets: tuple[Shared, ...] = (),
    ) -> None:
        self._config = render.config
        self._store = render.store
        self._width, self._height = render.size
        self._writer = writer
        self._done = done
        self._shot_memory = shot_memory
        plan = render.store.plan
        self._frames = frames
        self._lighting = lighting
        self._jobs = JobBuilder(
            render.config,
            frames,
            render.shots,
            pool=pool,
            capacity=held_frames,
            shot_memory=shot_memory,
            guidance=guidance,
            style_sets=style_sets,
            lighting=lighting,
            training_threads=(plan and plan.training_threads) or 1,
            sound=partial(
                render.sound.job,
                strength=render.config.audio.strength,
                iterations=render.config.audio.iterations,
                style_sets=sound_sets,
            ),
            keys=KeyPictures(render.checked.keys, render.size, weight=render.config.keys.weight),
        )
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
            DiskFullError, LostValueError: `error` is one; it concerns all clips.
        """
        if isinstance(error, DiskFullError | LostValueError):
            raise error
        self.failure = self.failure or error
        self.dropped = True

    def use_network(self, network: Shared) -> None:
        """Paint frames with this network from now on."""
        self._jobs.network = network

    def begin_round(self, done: set[StoredId]) -> None:
        """Start another round, in which only these states are finished."""
        self._done = done

    def resume(self, done: set[StoredId], writer: Writer) -> None:
        """Start this round again after results were lost; these states are finished, and failed nodes get new chances.

        Args:
            done: nodes that are in the run folder.
            writer: replaces the one before, which may have failed.
        """
        self._done, self._writer = done, writer
        self._jobs.state_thumbnails.clear()
        self.given_up.clear()
        self.failed_shots.clear()
        self.source_error = None

    def is_done(self, node: Node) -> bool:
        """Return True if an earlier session finished the node."""
        return node.id in self._done

    def load(self, node: NodeId) -> Any:
        """Read a state or a network from the run folder; if that fails, the clip ends and the result is None.

        The value is as jobs carry it.
        """
        assert not isinstance(node, FlowId)
        if self.dropped:
            return None
        try:
            if isinstance(node, NetworkId | SoundId):
                return self._jobs.held(self._store.read_network(node))
            return self._jobs.held(self._store.read_state(node, width=self._width, height=self._height))
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
            return self._jobs.build(node, inputs, retries_nan=isinstance(last_error, NumericalError))
        except SourceError as error:
            self.source_error = self.source_error or error
            raise
        except VidnstError as error:
            self.fail(error)
            return SkipJob(node.id)

    def store(self, node: Node, result: Any, *, worker: str, attempt: int) -> Any:
        """Have a result stored, and return the value that dependants get; None for a node that was skipped."""
        if isinstance(result, Refused):
            self.fail(result.error)
            return None
        if result is None:
            return None
        try:
            if isinstance(node.id, FlowId):
                if isinstance(result, NotedFlowPair) and result.sketch:
                    self._store.record("flow", frame=node.id.frame, sketch=result.sketch)
                return result
            if isinstance(result, Trained | RestyledSound):
                self._store_array(node, result, worker=worker, attempt=attempt)
            else:
                self._store_state(node, result, worker=worker, attempt=attempt)
        except VidnstError as error:
            self.fail(error)
            return None
        return result.state

    def _store_array(self, node: Node, result: Trained | RestyledSound, *, worker: str, attempt: int) -> None:
        record = _record(node, result, worker=worker, attempt=attempt)
        self._writer.keep(NodeResult(record, state=result.state, size_bytes=result.state.nbytes))

    def _store_state(self, node: Node, result: Stylized, *, worker: str, attempt: int) -> None:
        memory_mode = self._shot_memory.note_result(node, result)
        if node.uses and result.thumbnail_luma is not None:
            self._jobs.state_thumbnails[node.id] = result.thumbnail_luma
        facts = {**_quality_facts(result), **memory_mode}
        record = _record(node, result, worker=worker, attempt=attempt, facts=facts)
        write = partial(_write_png, show=self._shown(node, result), bits=self._config.frame_bits)
        self._writer.keep(
            NodeResult(
                record,
                state=result.state if node.uses else None,
                write_frame=write if node.final else None,
                size_bytes=result.state.nbytes * (1 + (result.shown is not None) + (self._lighting is not None)),
            )
        )

    def _shown(self, node: Node, result: Stylized) -> Callable[[], State]:
        """Return what makes the picture that the viewer sees, in the thread that writes it."""
        shown = result.state if result.shown is None else result.shown
        if self._lighting is None or not node.final:
            return partial(opened, shown)
        assert isinstance(node.id, StateId)
        frame = node.id.frame
        source, guidance = self._frames.get(node.shot, frame), self._jobs.guidance_of(node.shot, frame)
        lit = partial(self._lighting.lit, node.shot, frame)
        return lambda: lit(opened(result.state), source, guidance)

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
        """Forget a state that nothing will read again; a chunk of sound is read when all of them are there."""
        self._jobs.state_thumbnails.pop(node, None)
        if isinstance(node, SoundId):
            return
        trained = isinstance(node, NetworkId) and node.stage == self._config.schedule.training.stages
        if not self._config.output.keep_frames and not trained:  # frames that are made again need the network
            self._writer.release(node)


def _write_png(path: Path, *, show: Callable[[], State], bits: Literal[8, 16]) -> None:
    path.write_bytes(encode_png(to_bits(show(), bits), bits=bits))


def _record(
    node: Node,
    result: Stylized | Trained | RestyledSound,
    *,
    worker: str,
    attempt: int,
    facts: Mapping[str, Any] | None = None,
) -> DoneRecord:
    return DoneRecord(
        node,
        worker=worker,
        attempt=attempt,
        losses=result.losses,
        evaluations=result.evaluations,
        seconds=result.seconds,
        facts=facts or {},
    )


def _quality_facts(result: Stylized) -> dict[str, Any]:
    facts = {"suspect": result.suspect, "repaired": result.repaired, "staleness": result.staleness}
    return {name: value for name, value in facts.items() if value}
