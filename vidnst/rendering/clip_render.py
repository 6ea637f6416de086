"""Renders the frames of one clip through the scheduler, alone or together with other clips."""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import chain, compress

from vidnst.errors import VidnstError
from vidnst.events import OnEvent, Paced, RunStarted, Warned
from vidnst.farm.interfaces import Component, NodeEvent
from vidnst.farm.plan import NetworkId, Node, StateId, StoredId
from vidnst.farm.schedules import by_shot, sound_plan, training_of
from vidnst.rendering.lighting import Lighting
from vidnst.rendering.node_jobs import RenderHost
from vidnst.rendering.node_reporter import Reporter
from vidnst.rendering.node_times import SecondsOf
from vidnst.rendering.pace import Pace
from vidnst.rendering.prepared_render import PreparedRender
from vidnst.rendering.shot_memory import ShotMemory
from vidnst.rendering.source_frames import CACHE_BYTES, cached_frames, report_repeated
from vidnst.rendering.style_cache import StyleCache
from vidnst.rendering.styles.guidance_builder import guidance_builder
from vidnst.runs import Writer
from vidnst.runs.redo import frames_failed


class ClipRender:
    """The frames of one clip, from when its render is prepared until all of them are in the run folder.

    The scheduler takes the shots one by one. When all are finished, a shot that ran out of memory halfway, and so came
    out uneven, is given to it once more: that is another round. Where a network paints the frames, the first round is
    its training.

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
        self.is_training = self._network is not None and not self.is_rendered and not self._is_trained
        """True in the round in which the clip's network is trained; frames are painted in the next."""
        self._queue(self._training if self.is_training else self.plans)
        self._styles: StyleCache
        self._pace: Pace | None = None
        self._reporter: Reporter
        self._writer: Writer

    @property
    def is_rendered(self) -> bool:
        """True if earlier sessions, or rounds, have finished all frames and the sound."""
        return len(self.frames_finished) == self.render.frames and all(
            node.id in self._done for nodes in _sound_of(self.render) for node in nodes
        )

    @property
    def done(self) -> Collection[StoredId]:
        """The nodes that earlier sessions, or rounds, have finished."""
        return self._done

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
        return frames_failed(
            self.host.given_up, self.render.store.folder, self.render.request.output, frames=self.render.frames
        )

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
        self._styles = styles
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
            lighting=Lighting.of(render, cache_bytes=cache_bytes),
            style_sets=styles.of(render),
            pool=styles.pool,
            held_frames=cached_frames(*render.size, cache_bytes=cache_bytes),
            sound_sets=styles.of_sound(render),
        )
        if self._network is not None and not self.is_training and not self.is_rendered:
            self._use_network()
        self._report_start(workers)
        if follow is not None:
            self._on_event = follow(self.frames_finished, self._on_event)
        self._pace = self._count(len(workers))
        self._report_to_caller()

    def _report_to_caller(self) -> None:
        assert self._pace is not None
        stages, done = self.render.schedule.training.stages, len(self.frames_finished)
        self._reporter = Reporter(self.render.store, self._on_event, pace=self._pace, frames_done=done, stages=stages)

    def _count(self, workers: int) -> Pace:
        """Count the work ahead of so many workers."""
        plan = self.render.store.plan
        speed = plan.training_threads / plan.threads if plan and plan.training_threads and plan.threads else 1.0
        pace = Pace(self.render.config, workers, size=self.render.size, training_speed=speed)
        pace.add(self.nodes_ahead(), self._done)
        pace.start()
        return pace

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
        """Queue shots for another round, and return them: all after the training, later those that came out uneven.

        Call it when all of this round is finished.
        """
        assert self.host is not None
        if self.host.dropped:
            return ()
        self.flush()
        if self.is_training:
            return self._begin_painting()
        uneven = self._shot_memory.even_out(self.plans(), without=self.host.failed_shots)
        if uneven:
            assert self._pace is not None
            self._done, self.frames_finished = finished_before(self.render)
            self.host.begin_round(self._done)
            self._queue(lambda: self.plans(uneven))
            self._pace = self._count(self._pace.workers)
            self._report_to_caller()
        return uneven

    def resume_round(self) -> None:
        """Queue what is left of this round, after results were lost with a machine before they were stored.

        The scheduler must have given up its components.
        """
        assert self.host is not None
        self._writer.close()
        self._writer = self._resources.enter_context(Writer(self.render.store))
        self._done, self.frames_finished = finished_before(self.render)
        self.host.resume(self._done, self._writer)
        self._queue(self._round)
        self._report_to_caller()
        self._on_event(Warned("a machine was lost with results that were not stored yet; they are made again"))

    def flush(self) -> None:
        """Wait until all results so far are in the run folder."""
        self._writer.flush()

    def report(self, event: NodeEvent) -> None:
        """Pass an event of the scheduler on to the clip's log and listener."""
        self._reporter(event)

    def foresee(self, seconds_of: SecondsOf, *, workers: int) -> None:
        """Report the time left by a forecast of what nodes take, unless one was measured. Any thread may call it.

        Args:
            seconds_of: the forecast.
            workers: number of stylizing workers that are expected before the clip is open.
        """
        pace = self._pace or self._count(workers)
        pace.foresee(seconds_of)
        left = pace.seconds_left
        if left is not None and not pace.is_measured:
            self._on_event(Paced(pace.share, left, is_forecast=True))

    def nodes_ahead(self) -> Iterator[Node]:
        """Yield the nodes of this round, finished or not; before a training, also those of the next."""
        return chain(*(self._training() if self.is_training else ()), chain.from_iterable(self.plans()))

    def plans(self, shots: Collection[int] | None = None) -> Iterator[Iterator[Node]]:
        """Return the plan of each shot, and of the sound, or of each of `shots`."""
        plans = by_shot(self.render.schedule, self.render.shots, self.render.checked.given)
        if shots is None:
            return chain(plans, _sound_of(self.render))
        return compress(plans, (shot in shots for shot in range(len(self.render.shots))))

    def close(self) -> None:
        """Free what only rendering needs."""
        self._resources.close()

    def _queue(self, components: Callable[[], Iterable[Iterator[Node]]]) -> None:
        """Make a round of components, each a plan."""
        self._round = components
        self._waiting = deque(components())

    @property
    def _network(self) -> NetworkId | None:
        """The trained network; None if none paints the frames."""
        if self.render.schedule.kind != "network":
            return None
        return NetworkId(self.render.start, self.render.schedule.training.stages)

    @property
    def _is_trained(self) -> bool:
        assert self._network is not None
        if self.render.checked.network is not None:
            return True
        return self._network in self._done

    def _training(self) -> list[Iterator[Node]]:
        return [training_of(self.render.schedule, self.render.shots, self.render.checked.given)]

    def _begin_painting(self) -> Collection[int]:
        assert self.host is not None
        if self.host.given_up:
            return ()
        self.is_training = False
        self._use_network()
        self.render.store.record("stage", stage="rendering")
        self._queue(self.plans)
        return range(len(self.render.shots))

    def _use_network(self) -> None:
        assert self.host is not None
        assert self._network is not None
        given = self.render.checked.network
        vector = self.render.store.read_network(self._network) if given is None else given.vector
        self.host.use_network(self._styles.share_network(vector))


def _sound_of(render: PreparedRender) -> list[Iterator[Node]]:
    """Return the plan of the soundtrack, if it is restyled."""
    chunks = render.sound.chunks
    return [sound_plan(chunks, number=len(render.shots))] if any(chunks) else []


def finished_before(render: PreparedRender) -> tuple[set[StoredId], list[int]]:
    """Return the nodes that need no more work, and the frames whose final state is among them."""
    done: set[StoredId] = set()
    finals: list[StateId] = []

    def note_finals(nodes: Iterator[Node]) -> Iterator[Node]:
        for node in nodes:
            if node.final and isinstance(node.id, StateId):
                finals.append(node.id)
            yield node

    done |= render.store.finished_nodes(training_of(render.schedule, render.shots, render.checked.given))
    for nodes in by_shot(render.schedule, render.shots, render.checked.given):
        done |= render.store.finished_nodes(note_finals(nodes))
    for nodes in _sound_of(render):
        done |= render.store.finished_nodes(nodes)
    return done, [state.frame for state in finals if state in done]
