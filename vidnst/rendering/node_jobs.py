"""What the scheduler asks of a render: jobs made out of nodes, and a place for their results."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vidnst.config import RenderConfig, Role
from vidnst.errors import NumericalError, SourceError
from vidnst.events import (
    FrameDone,
    NodeFailed,
    NodeGivenUp,
    NodeStarted,
    OnEvent,
    Suspected,
    WorkerDied,
    WorkerSetAside,
    WorkerTakenBack,
)
from vidnst.farm.interfaces import NodeEvent, NodeEventKind
from vidnst.farm.jobs import FlowJob, Job, SkipJob, Stylized, StylizeJob
from vidnst.farm.plan import FlowId, Node, NodeId, StartState, StateId
from vidnst.frames import Pixels, State, to_bits
from vidnst.media.images import encode_png
from vidnst.media.input.frame_cache import FrameCache
from vidnst.motion.blend import WarmSource
from vidnst.motion.quality_gate import thumbnail_luma
from vidnst.rendering.shot_memory import ShotMemory
from vidnst.rendering.styles.guidance_builder import GuidanceBuilder
from vidnst.runs import DoneRecord, NodeResult, RunStore, Writer

_SMALLER_STEP = 0.25  # after NaN: what made Adam diverge at the full step does not at a quarter of it


_GLIMPSES = 1024
"""Small source frames that are kept: some 20 MB."""
_LEAST_WEIGHT = 0.01  # of a start in another style, so that there is one even where all are


class RenderHost:
    """Knows the frames of one clip, the settings of one render, and the folder of one run.

    Args:
        writer: writes into that folder; the caller closes it.
        economy: what is done in each shot to save memory.
        direct: which styles pull where in a shot's frame; None lets all pull everywhere.
    """

    def __init__(
        self,
        config: RenderConfig,
        store: RunStore,
        frames: FrameCache,
        *,
        writer: Writer,
        size: tuple[int, int],
        done: set[StateId],
        shot_memory: ShotMemory,
        direct: GuidanceBuilder | None = None,
    ) -> None:
        self._shot_memory = shot_memory
        self._direct = direct
        self._config = config
        self._store = store
        self._writer = writer
        self._frames = frames
        self._width, self._height = size
        self._done = done
        self._glimpses: dict[int, NDArray[np.float32]] = {}
        self._painted: dict[NodeId, NDArray[np.float32]] = {}
        """Glimpses of states that will be read again, and that this session made."""
        self.given_up: dict[NodeId, tuple[str, NodeId | None]] = {}
        """Nodes that failed for good, or read what did: what went wrong, and the node at which it did, if another."""
        self.failed_shots: set[int] = set()
        """Those nodes' shots."""
        self.source_error: SourceError | None = None
        """What the source has that cannot be read, if a job was not made for it."""

    def begin_again(self, done: set[StateId]) -> None:
        """Take note that only these states are left, and that the others will be asked for once more."""
        self._done = done

    def is_done(self, node: Node) -> bool:
        """Whether an earlier session finished it."""
        return node.id in self._done

    def recall(self, node: NodeId) -> State:
        """A state from the run folder."""
        assert isinstance(node, StateId)
        return self._store.read_state(node, width=self._width, height=self._height)

    def job(self, node: Node, inputs: Mapping[NodeId, Any], *, attempt: int, last_error: BaseException | None) -> Job:
        """The work of a node, with the source frames and the results that it reads."""
        if self._shot_memory.spoilt(node.shot):
            return SkipJob(node.id)
        frames = [self._source(node.shot, frame) for frame in node.frames]
        if isinstance(node.id, FlowId):
            through = tuple(inputs[need] for need in node.needs)
            return FlowJob(node.id, frames[0], frames[1], (through[0], through[1]) if through else None)
        kind = (node.role, node.id.pass_index)
        work = self._config.schedule.work(*kind)
        changed = self._changed(node)
        gated = self._config.farm.gate and self._config.optimize.iterations > 0
        return StylizeJob(
            node.id,
            frames[0],
            tuple(self._start(node, source, inputs) for source in node.sources),
            iterations=self._config.evaluations(*kind),
            seed=node_seed(self._config.optimize.seed, node.id),
            hold=work.hold * (1 - changed),
            rate=work.rate + (1 - work.rate) * changed,
            step_scale=_SMALLER_STEP if isinstance(last_error, NumericalError) else 1.0,
            renew=changed if node.role in (Role.KEY, Role.WARM) else 0.0,  # what passes start from has been renewed
            guidance=None if self._direct is None else self._direct(node.shot, node.id.frame),
            source_thumbnails=tuple(self._thumbnail(node, source) for source in node.sources) if gated else None,
            painted=tuple(self._painted.get(source.state) for source in node.sources) if gated else (),
            memory_mode=self._shot_memory.of(node.shot),
        )

    def _thumbnail(self, node: Node, source: StartState) -> NDArray[np.float32] | None:
        """The source of a start, small; None where the two need not look alike, since other styles pull there.

        The frame has been read for the flow, so it need not be decoded again.
        """
        if source.flow is None or self._apart(node, source) > 0:
            return None
        frame = source.state.frame
        if frame not in self._glimpses:
            if len(self._glimpses) >= _GLIMPSES:
                self._glimpses.pop(next(iter(self._glimpses)))
            self._glimpses[frame] = thumbnail_luma(self._source(node.shot, frame))
        return self._glimpses[frame]

    def _source(self, shot: int, frame: int) -> Pixels:
        try:
            return self._frames.get(shot, frame)
        except SourceError as error:
            self.source_error = self.source_error or error
            raise

    def _changed(self, node: Node) -> float:
        """How far its styles are from those of what it starts from: by so much it is less held, and painted anew."""
        if self._direct is None or node.role is Role.RELAX:  # a pass goes on from the frame's own
            return 0.0
        apart = [(self._weight(node, source), self._apart(node, source)) for source in node.sources]
        return sum(weight * change for weight, change in apart) / (sum(weight for weight, _ in apart) or 1.0)

    def _weight(self, node: Node, source: StartState) -> float:
        """Of a start: the less, the farther its styles are from the node's own."""
        if self._direct is None:
            return source.weight
        return source.weight * max(_LEAST_WEIGHT, 1 - self._apart(node, source))

    def _apart(self, node: Node, source: StartState) -> float:
        return self._direct.change(node.shot, node.id.frame, source.state.frame) if self._direct else 0.0

    def _start(self, node: Node, source: StartState, inputs: Mapping[NodeId, Any]) -> WarmSource:
        """A source with its values; of the two flows of a pair, the one that lies on the node's frame."""
        flow = pixels = None
        if source.flow is not None:
            pair = inputs[source.flow]
            flow = pair.forward if source.flow.frame == node.id.frame else pair.backward
            if self._config.motion.reads_sources:
                pixels = self._source(node.shot, source.state.frame)
        return WarmSource(inputs[source.state], flow, self._weight(node, source), pixels)

    def keep(self, node: Node, result: Any, *, worker: str, attempt: int) -> Any:
        """Have a state stored that others will read, and a frame that is finished; what dependants get."""
        if result is None:  # skipped
            return None
        if not isinstance(node.id, StateId):
            return result
        assert isinstance(result, Stylized)
        shown = result.state if result.shown is None else result.shown
        bits = self._config.frame_bits
        saved = self._shot_memory.take(node, result)
        if node.uses and result.thumbnail_luma is not None:
            self._painted[node.id] = result.thumbnail_luma
        self._writer.keep(
            NodeResult(
                DoneRecord(
                    node,
                    worker=worker,
                    attempt=attempt,
                    losses=result.losses,
                    evaluations=result.evaluations,
                    seconds=result.seconds,
                    facts={**_quality_facts(result), **saved},
                ),
                state=result.state if node.uses else None,
                picture=partial(_write_png, shown=shown, bits=bits) if node.final else None,
                size_bytes=result.state.nbytes + (0 if result.shown is None else result.shown.nbytes),
            )
        )
        return result.state

    def lasts(self, node: Node, *, timeout_seconds: float = 0.0) -> bool:
        """Whether a node is in the run folder, and in its log."""
        return self._writer.lasts(node.id, timeout_seconds=timeout_seconds)

    def give_up(self, node: Node, error: str, because: NodeId | None) -> None:
        """Note in the log that a node failed for good, or reads what did."""
        self.given_up[node.id] = (error, because)
        self.failed_shots.add(node.shot)
        root = None if because is None else str(because)
        self._store.record("given_up", node=str(node.id), final=node.final, error=error, because=root)

    def release(self, node: NodeId) -> None:
        """Nobody will read it again."""
        self._painted.pop(node, None)
        if not self._config.output.keep_frames:
            self._writer.release(node)


def _write_png(path: Path, *, shown: State, bits: Literal[8, 16]) -> None:
    path.write_bytes(encode_png(to_bits(shown, bits), bits=bits))


def _quality_facts(result: Stylized) -> dict[str, str]:
    facts = {"suspect": result.suspect, "mended": result.mended}
    return {name: problem for name, problem in facts.items() if problem}


def node_seed(seed: int, node: StateId) -> int:
    """Seed of a node's noise. The frame does not enter: equal noise in every frame keeps still things still."""
    return int(np.random.SeedSequence([seed, node.pass_index]).generate_state(1)[0])


class Reporter:
    """Tells the world, and the run's log, what the scheduler does."""

    def __init__(self, store: RunStore, on_event: OnEvent, *, frames_done: int) -> None:
        self._store = store
        self._on_event = on_event
        self.frames_done = frames_done

    def __call__(self, event: NodeEvent) -> None:
        """Take in an event of the scheduler."""
        node = str(event.node.id)
        match event.kind:
            case NodeEventKind.STARTED:
                self._on_event(NodeStarted(node, event.node.role, event.worker, event.attempt))
            case NodeEventKind.DONE if isinstance(event.result, Stylized):
                self._tell_suspect(node, event.result)
                if event.node.final:
                    self._frame_done(event)
            case NodeEventKind.FAILED:
                self._store.record("failed", node=node, worker=event.worker, attempt=event.attempt, error=event.error)
                self._on_event(NodeFailed(node, event.worker, event.attempt, event.error))
            case NodeEventKind.DIED:
                self._store.record("died", node=node, worker=event.worker, attempt=event.attempt, error=event.error)
                self._on_event(WorkerDied(event.worker, node))
            case NodeEventKind.GIVEN_UP:  # the host has it in the log
                root = None if event.because is None else str(event.because)
                self._on_event(NodeGivenUp(node, event.error, root))
            case NodeEventKind.SET_ASIDE:
                self._store.record("set_aside", worker=event.worker, node=node, error=event.error)
                self._on_event(WorkerSetAside(event.worker, event.error))
            case NodeEventKind.TAKEN_BACK:
                self._store.record("taken_back", worker=event.worker, node=node)
                self._on_event(WorkerTakenBack(event.worker))
            case _:
                pass

    def _tell_suspect(self, node: str, result: Stylized) -> None:
        if wrong := result.suspect or result.mended:
            self._on_event(Suspected(node, wrong, mended=not result.suspect))

    def _frame_done(self, event: NodeEvent) -> None:
        self.frames_done += 1
        result: Stylized = event.result
        losses = dict(result.losses)
        frame = event.node.id.frame
        self._on_event(FrameDone(frame, event.worker, losses, result.evaluations, result.seconds, self.frames_done))
