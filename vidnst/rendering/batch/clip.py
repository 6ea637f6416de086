"""One clip of a batch in work: what the scheduler asks of it."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from vidnst.errors import DiskFullError, VidnstError
from vidnst.events import OnEvent, RunStarted
from vidnst.farm.interfaces import Component, NodeEvent, NodeEventKind
from vidnst.farm.jobs import Job, Refused, Shared, SkipJob, Stylized, StylizeJob
from vidnst.farm.plan import Node, NodeId, StateId, by_shot
from vidnst.media.input.frame_cache import FrameCache
from vidnst.rendering.batch.job_state import Ticket
from vidnst.rendering.batch.shared_weights import StyleCache
from vidnst.rendering.batch.tail_balancing import cost, extent
from vidnst.rendering.node_jobs import RenderHost, Reporter
from vidnst.rendering.pipeline import PreparedRender, finished_before
from vidnst.rendering.run_setup import schedule_of
from vidnst.rendering.shot_memory import ShotMemory
from vidnst.rendering.source_frames import open_frames, report_repeated
from vidnst.rendering.styles.guidance_builder import GuidanceBuilder, direct
from vidnst.runs import Writer
from vidnst.runs.redo import frames_failed


class ClipHost(RenderHost):
    """A render's host among others': its jobs say their look, and what goes wrong with its clip ends that clip alone.

    A clip that is dropped is drained: its nodes pass through without being rendered or kept.
    """

    def __init__(
        self,
        begun: PreparedRender,
        frames: FrameCache,
        writer: Writer,
        done: set[StateId],
        shot_memory: ShotMemory,
        director: GuidanceBuilder | None,
    ) -> None:
        job = begun.job
        size = (job.width, job.height)
        super().__init__(
            job.config,
            begun.store,
            frames,
            writer=writer,
            size=size,
            done=done,
            shot_memory=shot_memory,
            direct=director,
        )
        self.style_sets: tuple[Shared, Shared]
        self.dropped = False
        self.failure: str | None = None
        """What went wrong with the clip, in one line."""
        self.settled: set[NodeId] = set()
        """States that nothing more will happen to."""
        self.worked = 0.0
        """Of the work at the clip, what is over: see `Extent`."""

    def is_done(self, node: Node) -> bool:
        """Whether an earlier session finished it."""
        done = super().is_done(node)
        if done:
            self._settle(node.id)
        return done

    def recall(self, node: NodeId) -> Any:
        """A state from the run folder; None where it cannot be read, which ends the clip."""
        try:
            return None if self.dropped else super().recall(node)
        except VidnstError as error:
            self.fail(error)
            return None

    def job(self, node: Node, inputs: Mapping[NodeId, Any], *, attempt: int, last_error: BaseException | None) -> Job:
        """The work of a node, with its look; nothing to do where the clip has ended."""
        if self.dropped:
            return SkipJob(node.id)
        try:
            made = super().job(node, inputs, attempt=attempt, last_error=last_error)
        except VidnstError as error:
            self.fail(error)
            return SkipJob(node.id)
        if isinstance(made, SkipJob):
            return made
        return replace(made, style_set=self.style_sets[0] if isinstance(made, StylizeJob) else self.style_sets[1])

    def keep(self, node: Node, result: Any, *, worker: str, attempt: int) -> Any:
        """Have stored what was made; nothing of a node that was skipped."""
        self.worked += cost(self._config, node)
        if result is None:
            return None
        if isinstance(result, Refused):
            self.fail(result.error)
            return None
        try:
            return super().keep(node, result, worker=worker, attempt=attempt)
        except VidnstError as error:
            self.fail(error)
            return None

    def lasts(self, node: Node, *, timeout_seconds: float = 0.0) -> bool:
        """Whether a node is stored, or will never be since the clip has ended."""
        try:
            lasts = super().lasts(node, timeout_seconds=timeout_seconds)
        except VidnstError as error:
            self.fail(error)
            lasts = True
        if lasts:
            self._settle(node.id)
        return lasts

    def give_up(self, node: Node, error: str, because: NodeId | None) -> None:
        """Note that a node, or one that it needs, has failed for good."""
        self._settle(node.id)
        self.worked += cost(self._config, node)
        super().give_up(node, error, because)

    def problem(self, *, folder: Path, frames: int) -> str | None:
        """What went wrong with the clip, as a sentence; None where nothing did.

        Args:
            folder: of its run.
            frames: that it has.
        """
        if self.failure is not None or not self.given_up:
            return self.failure
        if self.source_error is not None:
            return str(self.source_error)
        return str(frames_failed(self.given_up, folder, frames=frames))

    def fail(self, error: VidnstError) -> None:
        """End the clip; what ends all clips is raised on.

        Raises:
            DiskFullError: no space left.
        """
        if isinstance(error, DiskFullError):
            raise error
        self.failure = self.failure or str(error)
        self.dropped = True

    def _settle(self, node: NodeId) -> None:
        if isinstance(node, StateId):
            self.settled.add(node)


class Clip:
    """A job of a batch from when it is prepared to when it is finished."""

    def __init__(self, ticket: Ticket, begun: PreparedRender) -> None:
        self.ticket = ticket
        self.begun = begun
        self.host: ClipHost | None = None
        self._on_event: OnEvent = begun.recorder
        self._stack = ExitStack()
        self._shot_memory = ShotMemory(begun.job.config, begun.store, self._on_event)
        self._shot_memory.even_out(self._plans())
        self._done, frames = finished_before(begun.job, begun.store, begun.shots)
        self.frames_done = len(frames)
        self._work = 0.0
        self._states = sum(isinstance(node.id, StateId) for nodes in self._plans() for node in nodes)
        self._scale = begun.job.width * begun.job.height
        self._give_out(range(len(begun.shots)))
        self._reporter: Reporter
        self._writer: Writer

    @property
    def frames(self) -> int:
        """How many there are to render, finished ones included."""
        return self.begun.job.end - self.begun.job.start

    @property
    def rendered(self) -> bool:
        """Whether all frames were there when it was prepared."""
        return self.frames_done == self.frames

    @property
    def problem(self) -> str | None:
        """What went wrong with it while it was rendered."""
        return None if self.host is None else self.host.problem(folder=self.begun.store.folder, frames=self.frames)

    @property
    def given_out(self) -> bool:
        """Whether the scheduler has all of it."""
        return self._next == len(self._shots)

    @property
    def work_left(self) -> float:
        """Work at it that is not over yet, in evaluations times pixels."""
        return self._scale * max(0.0, self._work - (0.0 if self.host is None else self.host.worked))

    @property
    def longest_path(self) -> float:
        """The most that must be done one after the other in a shot that the scheduler has not got, likewise."""
        return self._scale * self._paths[self._next]

    @property
    def settled(self) -> bool:
        """Whether nothing more will happen to any of its states."""
        return self.host is not None and len(self.host.settled) == self._states

    def open(self, looks: StyleCache, *, room_bytes: int, workers: Sequence[str]) -> None:
        """Make it ready for the scheduler: its frames in so much memory, its looks in the workers' reach."""
        job, store, shots = self.begun.job, self.begun.store, self.begun.shots
        frames = self._stack.enter_context(
            open_frames(
                job,
                shots,
                on_repeated=lambda index: report_repeated(store, self._on_event, index),
                room_bytes=room_bytes,
            )
        )
        director = direct(job, store, shots)
        if director is not None:
            self._stack.enter_context(closing(director))
        self._writer = self._stack.enter_context(Writer(store))
        self.host = ClipHost(self.begun, frames, self._writer, self._done, self._shot_memory, director)
        self.host.style_sets = looks.of(job)
        self._reporter = Reporter(store, self._on_event, frames_done=self.frames_done)
        self._on_event(
            RunStarted(
                folder=str(store.folder),
                output=str(job.request.output),
                frames=self.frames,
                frames_done=self.frames_done,
                shots=len(shots),
                workers=tuple(workers),
                seconds_per_frame=store.seconds_per_frame,
            )
        )

    def next_component(self, order: Callable[[], int]) -> Component:
        """The next shot, for the scheduler."""
        assert self.host is not None
        nodes = self._shots[self._next]
        self._next += 1
        return Component(nodes, self.host, order, held=self._is_held)

    def begin_again(self) -> bool:
        """See, when all is given out and settled, whether shots came out unlike and are to be given out once more."""
        assert self.host is not None
        if self.host.dropped:
            return False
        self._writer.flush()
        again = self._shot_memory.even_out(self._plans(), without=self.host.failed_shots)
        if not again:
            return False
        self._done, frames = finished_before(self.begun.job, self.begun.store, self.begun.shots)
        self.frames_done = len(frames)
        self.host.begin_again(self._done)
        states = (node.id for shot, nodes in enumerate(self._plans()) if shot in again for node in nodes)
        self.host.settled.difference_update(states)
        self._give_out(again)
        self._reporter = Reporter(self.begun.store, self._on_event, frames_done=self.frames_done)
        return True

    def _give_out(self, shots: Collection[int]) -> None:
        """Have shots wait for the scheduler; all that waited before is given out."""
        self._shots = [nodes for shot, nodes in enumerate(self._plans()) if shot in shots]
        plans = (nodes for shot, nodes in enumerate(self._plans()) if shot in shots)
        extents = [extent(nodes, self.begun.job.config, self._done) for nodes in plans]
        self._work += sum(shot.work for shot in extents)
        self._paths = list(accumulate((shot.path for shot in reversed(extents)), max, initial=0.0))[::-1]
        """For each shot the longest chain in it or in a later one."""
        self._next = 0

    def _plans(self) -> Iterator[Iterator[Node]]:
        return by_shot(schedule_of(self.begun.job), self.begun.shots)

    def _is_held(self) -> bool:
        return self.ticket.paused and not self.ticket.cancelled

    def report(self, event: NodeEvent) -> None:
        """Tell the clip's log and the world about one of its nodes."""
        if event.kind is not NodeEventKind.DONE or isinstance(event.result, Stylized):  # others were skipped or refused
            self._reporter(event)

    def close_frames(self) -> None:
        """Free what only rendering needs."""
        self._stack.close()

    def close(self, message: str = "", *, failed: bool = False) -> None:
        """Free all, and let others have the run folder, whose log says what ended the work early, if anything did."""
        self._stack.close()
        if message:
            self.begun.recorder.end("failed" if failed else "stopped", message)
        self.begun.recorder.close()
        self.begun.store.close()
