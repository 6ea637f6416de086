"""The pace of a batch: how much of the work of all its clips is done, and how long the rest takes."""

import time
from collections import Counter
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from vidnst.config import RenderConfig
from vidnst.farm.plan import Lane, Node
from vidnst.rendering.node_costs import cost_of
from vidnst.rendering.node_times import Kind, NodeTimes, SecondsOf, WorkRate, total
from vidnst.rendering.pace import kind_of, serial_seconds
from vidnst.style.network.backbones import BACKBONES, last_layer


@dataclass(slots=True)
class _Clip:
    """The work of a clip."""

    source: str
    group: object
    left: dict[int, Counter[Kind]] = field(default_factory=dict)
    """By shot, the nodes to be done."""
    whole: Counter[Kind] = field(default_factory=Counter)
    """All nodes, those of earlier sessions included."""


class BatchPace:
    """Counts the work of all clips of a batch in seconds of one worker, and predicts the rest.

    Nodes of clips with the same settings and size are expected to take the same time; others, as much longer as they
    have more evaluations or pixels. A clip whose plan is not known yet is taken for as long as those of the same source
    in other styles, or else as the mean of all that are known. The rest takes as long as all work at the rate of the
    latest nodes, or as the longest sequence of nodes of a clip that wait for each other.

    Args:
        workers: number of stylizing workers.
        clock: a monotonic clock in seconds.
    """

    def __init__(self, workers: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._times = NodeTimes()
        self._rate = WorkRate(workers, clock, recent=0.9)
        self._clips: dict[str, _Clip] = {}
        self._done_before: Counter[Kind] = Counter()
        self._examples: dict[str, dict[Kind, Node]] = {}

    @property
    def is_measured(self) -> bool:
        """True once a node is done."""
        return self._times.are_measured

    def expect(self, workers: int) -> None:
        """Predict for so many workers from now on."""
        self._rate.workers = self._times.workers = workers

    def start(self, workers: int) -> None:
        """Begin to measure the rate of so many workers."""
        self.expect(workers)
        self._rate.start()

    def add(
        self,
        name: str,
        nodes: Iterable[Node],
        *,
        config: RenderConfig,
        size: tuple[int, int],
        source: str,
        done: Container[object] = (),
    ) -> None:
        """Make the work of a clip known, or what is left of it in another round.

        Args:
            name: the clip's name.
            nodes: its plan.
            config: its settings.
            size: width and height of each frame in pixels.
            source: its source, of which other clips may be, too.
            done: nodes that earlier sessions finished.
        """
        evaluation = BACKBONES[config.model.backbone].flops(size[1], size[0], last_layer(config))
        group = (size, config.stylizes, config.model.backbone, config.optimize, config.schedule, config.audio)
        old = self._clips.get(name)
        clip = self._clips[name] = _Clip(source, hash(group) if old is None else old.group)
        for node in nodes:
            if node.lane is Lane.FLOW:
                continue
            kind = kind_of(node, clip.group)
            self._times.expect(kind, cost_of(config, node, *size) * evaluation, pixels=size[0] * size[1])
            self._examples.setdefault(name, {}).setdefault(kind, node)
            clip.whole[kind] += 1
            if node.id not in done:
                clip.left.setdefault(node.shot, Counter())[kind] += 1
            elif old is None:
                self._done_before[kind] += 1

    def foresee(self, name: str, seconds_of: SecondsOf) -> None:
        """Take the times of nodes from a forecast of one clip, until a node is done."""
        self._times.foresee({kind: seconds_of(node) for kind, node in self._examples.get(name, {}).items()})

    def node_done(self, name: str, node: Node, seconds: float, painting: float | None = None) -> None:
        """Note that a node of a clip is done, which took one worker so many seconds, as `Pace.node_done` does."""
        if node.lane is Lane.FLOW:
            return
        self._times.note(kind_of(node, self._clips[name].group), seconds, painting)
        self._rate.note(seconds)
        self.node_dropped(name, node)

    def node_dropped(self, name: str, node: Node) -> None:
        """Note that a node of a clip will not be done in this session."""
        clip = self._clips[name]
        left, kind = clip.left.get(node.shot), kind_of(node, clip.group)
        if left is not None and left[kind] > 0:
            left[kind] -= 1

    def clip_over(self, name: str) -> None:
        """Note that nothing more will be done for a clip in this session."""
        if name in self._clips:
            self._clips[name].left.clear()

    def share(self, *, unknown: Sequence[str] = (), done: Sequence[str] = ()) -> float:
        """Return the share of all work that is done, that of earlier sessions included, 0 to 1.

        Args:
            unknown: sources of the clips whose plans are not known yet.
            done: sources of the clips that earlier sessions finished.
        """
        expected = self._clip_seconds()
        seconds = self._times.by_kind()
        left = sum(map(expected, unknown)) + sum(
            total(one, seconds) for clip in self._clips.values() for one in clip.left.values()
        )
        over = sum(map(expected, done)) + total(self._done_before, seconds) + self._times.spent
        if over + left > 0:
            return over / (over + left)
        return len(done) / max(1, len(done) + len(unknown))

    def seconds_left(self, *, unknown: Sequence[str] = (), paused: Container[str] = ()) -> float | None:
        """Return the time that the rest takes; None before a node is done, unless a forecast was given.

        Args:
            unknown: sources of the clips whose plans are not known yet.
            paused: names of clips that are held back.
        """
        if not self._times.are_known:
            return None
        seconds = self._times.by_kind()
        work, longest = sum(map(self._clip_seconds(), unknown)), 0.0
        for name, clip in self._clips.items():
            if name not in paused:
                work += sum(total(left, seconds) for left in clip.left.values())
                longest = max(longest, sum(serial_seconds(clip.left, seconds)))
        return max(work / self._rate(), longest)

    def _clip_seconds(self) -> Callable[[str], float]:
        """Return a function that says how long the work of a clip takes of which only the source is known."""
        seconds = self._times.by_kind()
        by_source: dict[str, list[float]] = {}
        for clip in self._clips.values():
            by_source.setdefault(clip.source, []).append(total(clip.whole, seconds))
        mean = fmean(each for known in by_source.values() for each in known) if by_source else 0.0
        means = {source: fmean(known) for source, known in by_source.items()}
        return lambda source: means.get(source, mean)
