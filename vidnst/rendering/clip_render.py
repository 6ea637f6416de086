"""Renders the frames of one clip through the scheduler, alone or together with other clips."""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import compress

from vidnst.errors import VidnstError
from vidnst.events import OnEvent, RunStarted, Warned
from vidnst.farm.interfaces import Component, NodeEvent
from vidnst.farm.plan import Node, StateId
from vidnst.farm.schedules import by_shot
from vidnst.rendering.node_jobs import RenderHost
from vidnst.rendering.node_reporter import Reporter
from vidnst.rendering.prepared_render import PreparedRender
from vidnst.rendering.shot_memory import ShotMemory
from vidnst.rendering.source_frames import CACHE_BYTES, report_repeated
from vidnst.rendering.style_cache import StyleCache
from vidnst.rendering.styles.guidance_builder import guidance_builder
from vidnst.runs import Writer
from vidnst.runs.redo import frames_failed


class ClipRender:
    """The frames of one clip, from when its render is prepared until all of them are in the run folder.

    The scheduler takes the shots one by one. When all are finished, a shot that ran out of memory halfway, and so came
    out uneven, is given to it once more: that is another round.

    Args:
        render: the clip's render.
    """

    host_type: type[RenderHost] = RenderHost

    def __init__(self, render: PreparedRender) -> None:
        self.render = render
        self.host: RenderHost | None = None
        """Set once the clip is open."""
        self._on_event: OnEvent = render.recorder
        self._resources = ExitStack()
        self._shot_memory = ShotMemory(render.config, render.store, self._on_event)
        self._shot_memory.even_out(self.plans())
        self._done, self.frames_finished = finished_before(render)
        self._queue_shots(range(len(render.shots)))
        self._reporter: Reporter
        self._writer: Writer

    @property
    def is_rendered(self) -> bool:
        """True if earlier sessions, or rounds, have finished all frames."""
        return len(self.frames_finished) == self.render.frames

    @property
    def is_handed_out(self) -> bool:
        """True if the scheduler has all shots of this round."""
        return not self._waiting

    @property
    def has_ended(self) -> bool:
        """True if an error has ended the clip early."""
        return self.host is not None and self.host.failure is not None

    @property
    def failure(self) -> VidnstError | None:
        """The error of rendering the frames; None if there was none.

        It is the error that ended the clip, else the first source frame that could not be read, else the frames that
        failed; in the last two cases all other frames are finished.
        """
        if self.host is None:
            return None
        if self.host.failure is not None or not self.host.given_up:
            return self.host.failure
        if self.host.source_error is not None:
            return self.host.source_error
        return frames_failed(self.host.given_up, self.render.store.folder, frames=self.render.frames)

    def open(
        self,
        styles: StyleCache,
        *,
        workers: Sequence[str],
        cache_bytes: int = CACHE_BYTES,
        follow: Callable[[Collection[int], OnEvent], OnEvent] | None = None,
    ) -> None:
        """Open the source, the writer and the styles, so that the scheduler can take shots.

        Args:
            styles: hands styles and weights to the workers.
            workers: names of the stylizing workers.
            cache_bytes: memory for decoded frames.
            follow: given the frames that are finished and a listener, returns the listener to use from now on.
        """
        render, store = self.render, self.render.store
        frames = self._resources.enter_context(
            render.source.open(
                on_repeated=lambda index: report_repeated(store, self._on_event, index), cache_bytes=cache_bytes
            )
        )
        guidance = guidance_builder(render)
        if guidance is not None:
            self._resources.enter_context(closing(guidance))
        self._writer = self._resources.enter_context(Writer(store))
        self.host = self.host_type(
            render,
            frames,
            writer=self._writer,
            done=self._done,
            shot_memory=self._shot_memory,
            guidance=guidance,
            style_sets=styles.of(render),
        )
        self._report_start(workers)
        if follow is not None:
            self._on_event = follow(self.frames_finished, self._on_event)
        self._reporter = Reporter(store, self._on_event, frames_done=len(self.frames_finished))

    def _report_start(self, workers: Sequence[str]) -> None:
        render = self.render
        if render.schedule.loop and len(render.shots) > 1:
            self._on_event(Warned(f"the clip has {len(render.shots)} shots, so it begins with a cut: no loop"))
        self._on_event(
            RunStarted(
                folder=str(render.store.folder),
                output=str(render.request.output),
                frames=render.frames,
                frames_done=len(self.frames_finished),
                shots=len(render.shots),
                workers=tuple(workers),
                seconds_per_frame=render.store.seconds_per_frame,
            )
        )

    def components(self) -> Iterator[Component]:
        """Hand out the shots of this round, for a scheduler that renders this clip alone."""
        while not self.is_handed_out:
            yield self.next_component()

    def next_component(self, order: int | Callable[[], int] = 0, paused: Callable[[], bool] | None = None) -> Component:
        """Hand out the next shot."""
        assert self.host is not None
        return Component(self._waiting.popleft(), self.host, order, paused)

    def begin_round(self) -> Collection[int]:
        """Queue the shots that came out uneven for another round, and return them; call it when all are finished."""
        assert self.host is not None
        if self.host.dropped:
            return ()
        self.flush()
        uneven = self._shot_memory.even_out(self.plans(), without=self.host.failed_shots)
        if uneven:
            self._done, self.frames_finished = finished_before(self.render)
            self.host.begin_round(self._done)
            self._queue_shots(uneven)
            self._reporter = Reporter(self.render.store, self._on_event, frames_done=len(self.frames_finished))
        return uneven

    def flush(self) -> None:
        """Wait until all results so far are in the run folder."""
        self._writer.flush()

    def report(self, event: NodeEvent) -> None:
        """Pass an event of the scheduler on to the clip's log and listener."""
        self._reporter(event)

    def plans(self, shots: Collection[int] | None = None) -> Iterator[Iterator[Node]]:
        """Return the plan of each shot, or of each of `shots`."""
        plans = by_shot(self.render.schedule, self.render.shots)
        return plans if shots is None else compress(plans, (shot in shots for shot in range(len(self.render.shots))))

    def close(self) -> None:
        """Free what only rendering needs."""
        self._resources.close()

    def _queue_shots(self, shots: Collection[int]) -> None:
        self._waiting = deque(self.plans(shots))


def finished_before(render: PreparedRender) -> tuple[set[StateId], list[int]]:
    """Return the states that need no more work, and the frames whose final state is among them."""
    done: set[StateId] = set()
    finals: list[StateId] = []

    def note_finals(nodes: Iterator[Node]) -> Iterator[Node]:
        for node in nodes:
            if node.final and isinstance(node.id, StateId):
                finals.append(node.id)
            yield node

    for nodes in by_shot(render.schedule, render.shots):
        done |= render.store.finished_states(note_finals(nodes))
    return done, [state.frame for state in finals if state in done]
