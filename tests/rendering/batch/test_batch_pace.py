"""The progress of a batch: work, frames and time left over all clips, close to the truth early on."""

import io
import json
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from support.batches import write_jobs
from support.command_line import Vidnst
from support.fake_workers import DigestHost, VirtualPool

from vidnst.cli.progress import showing_progress
from vidnst.config import RenderConfig, Role, ScheduleConfig
from vidnst.events import BatchProgress, Event
from vidnst.farm.component_window import default_window
from vidnst.farm.interfaces import Component, NodeEvent, NodeEventKind
from vidnst.farm.plan import Node, evaluations
from vidnst.farm.scheduler import run_plan
from vidnst.farm.schedules import by_shot
from vidnst.frames import Shot
from vidnst.rendering.batch.batch_pace import BatchPace
from vidnst.rendering.batch.run import run_batch


class VirtualClips:
    """Clips of a batch in virtual time, of several lengths and sizes; each becomes known when few others wait."""

    def __init__(self, kind: str, *, clips: int, styles: int, sizes: Sequence[int]) -> None:
        self.config = RenderConfig(schedule=ScheduleConfig.model_validate({"kind": kind}))
        lengths = random.Random(f"{kind} {clips}")
        self.names, self.pixels, self.plans = list[str](), dict[str, int](), dict[str, list[Node]]()
        self.owners: dict[int, str] = {}
        for number in range(clips):
            frames, pixels = lengths.randint(20, 40), lengths.choice(sizes)
            for style in range(styles):
                name = f"clip{number}-style{style}"
                self.names.append(name)
                self.pixels[name] = pixels
                self.plans[name] = [
                    node for nodes in by_shot(self.config.schedule, [Shot(0, frames)]) for node in nodes
                ]
        self.hosts = {name: DigestHost(nodes) for name, nodes in self.plans.items()}
        self.owners = {id(host): name for name, host in self.hosts.items()}
        self.known = 0

    def seconds(self, name: str, node: Node) -> tuple[float, float]:
        """Seconds of a node, and of them those of its evaluations."""
        if node.role is Role.FLOW:
            return 0.3, 0.0
        noise = random.Random(f"{name} {node.id}").uniform(0.8, 1.2)
        most = evaluations(self.config, node)
        painting = self.pixels[name] * noise * 0.1 * most * (1.0 if node.role is Role.COLD else 0.6)
        return painting + self.pixels[name] * noise * 0.3, painting

    def unknown(self) -> list[str]:
        return [name.partition("-")[0] for name in self.names[self.known :]]


@pytest.mark.parametrize(("ahead", "sizes"), [(4, [1]), (16, [1, 2])], ids=["unknown", "sizes"])
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("kind", ["keys", "chain", "independent"])
def test_batch_time_left_is_within_a_quarter(kind: str, workers: int, ahead: int, sizes: list[int]) -> None:
    clips = VirtualClips(kind, clips=8, styles=2, sizes=sizes)
    running: dict[int, str] = {}
    pool = VirtualPool(workers, 1, cost=lambda node: clips.seconds(running[id(node)], node)[0])
    pace = BatchPace(workers, clock=pool.clock)

    def prepare(until: int) -> None:
        for name in clips.names[clips.known : until]:
            source, nodes = name.partition("-")[0], clips.plans[name]
            pace.add(name, nodes, config=clips.config, size=size_of(clips.pixels[name]), source=source)
            running.update((id(node), name) for node in nodes)
            clips.known += 1

    def components() -> Iterator[Component]:
        for number, name in enumerate(clips.names):
            prepare(number + 1 + ahead)
            yield Component(clips.plans[name], clips.hosts[name])

    told: list[tuple[float, float, float]] = []

    def listen(event: NodeEvent) -> None:
        if event.kind is NodeEventKind.DONE:
            name = clips.owners[id(event.host)]
            pace.node_done(name, event.node, *clips.seconds(name, event.node))
            told.append(
                (pool.now, pace.share(unknown=clips.unknown()), pace.seconds_left(unknown=clips.unknown()) or 0.0)
            )

    prepare(ahead)
    pace.start(workers)
    run_plan(
        components(),
        pool,
        window=default_window(workers),
        attempts=1,
        listener=listen,
        clock=pool.clock,
        eager=lambda shots: clips.known == len(clips.names) and shots < 3 * workers,  # as batches do towards the end
    )
    checked = [(now, left) for now, share, left in told if 0.1 <= share <= 0.9]
    assert len(checked) > 100
    assert all(abs(left - (pool.now - now)) <= 0.25 * (pool.now - now) for now, left in checked)
    assert told[-1][1:] == (1.0, 0.0)


def size_of(pixels: int) -> tuple[int, int]:
    """Width and height of frames of a single scale with so many times the least number of pixels."""
    return 64 * pixels, 64


def add_clip(pace: BatchPace, name: str, *, pixels: int = 1, frames: int = 4, done: int = 0) -> list[Node]:
    config = RenderConfig(schedule=ScheduleConfig(kind="independent"))
    nodes = [node for plan in by_shot(config.schedule, [Shot(0, frames)]) for node in plan]
    earlier = {node.id for node in nodes[:done]}
    pace.add(name, nodes, config=config, size=size_of(pixels), source=name, done=earlier)
    return nodes


def test_unopened_clips_count_as_the_others() -> None:
    pace = BatchPace(2)
    nodes = add_clip(pace, "a", done=2)
    pace.start(2)
    assert pace.share(unknown=["b", "c"]) == pytest.approx(2 / 12)
    assert pace.share(unknown=["b"], done=["c"]) == pytest.approx(6 / 12)
    assert pace.seconds_left(unknown=["b"]) is None
    pace.node_done("a", nodes[2], 3.0)
    assert pace.seconds_left(unknown=["b"]) == pytest.approx(5 * 3.0 / 2)
    assert pace.seconds_left(unknown=["b"], paused={"a"}) == pytest.approx(4 * 3.0 / 2)
    add_clip(pace, "b", pixels=4)  # of which nothing was measured
    assert pace.seconds_left() == pytest.approx((3.0 + 4 * 12.0) / 2)
    pace.clip_over("b")
    assert pace.seconds_left() == pytest.approx(3.0 / 2)


def test_forecast_holds_until_a_node_is_done() -> None:
    pace = BatchPace(2)
    nodes = add_clip(pace, "a")
    add_clip(pace, "b", pixels=2)
    pace.foresee("a", lambda node: 5.0)
    assert not pace.is_measured
    assert pace.seconds_left() == pytest.approx((4 * 5.0 + 4 * 10.0) / 2)
    pace.node_done("a", nodes[0], 1.0)
    assert pace.seconds_left() == pytest.approx((3 * 1.0 + 4 * 2.0) / 2)


def test_batch_reports_clips_frames_and_failures(tmp_path: Path) -> None:
    path, heard = write_jobs(tmp_path, clips=2, styles=2), list[Event]()
    (tmp_path / "clips" / "clip1" / "003.png").write_bytes(b"no picture")
    run_batch(path, on_event=heard.append)
    told = [event for event in heard if isinstance(event, BatchProgress)]
    first, last = told[0], told[-1]
    assert (first.clips, first.clips_done, first.frames_done, first.share) == (4, 0, 0, 0)
    assert first.clips_unopened > 0
    assert (last.clips_done, last.clips_failed, last.clips_unopened) == (2, 2, 0)
    assert (last.frames, last.frames_done, last.share, last.seconds_left) == (10, 10, 1, 0)
    assert last.frames_per_second is not None
    assert not last.is_forecast


def test_batch_progress_is_shown_everywhere(tmp_path: Path, vidnst: Vidnst, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_jobs(tmp_path, clips=2, styles=1)
    _, _, err = vidnst("batch", path)
    assert "0 of 2 clips" in err
    assert "2 of 2 clips, 10 of 10 frames, 100% of the work, " in err
    _, out, _ = vidnst("batch", path, "--json")
    last = [json.loads(line) for line in out.splitlines() if "batch_progress" in line][-1]
    assert (last["clips"], last["clips_done"], last["frames_done"], last["share"]) == (2, 2, 10, 1)
    progress = BatchProgress(
        clips=12,
        clips_done=3,
        clips_failed=1,
        clips_unopened=2,
        frames=840,
        frames_done=120,
        frames_failed=2,
        share=0.14,
        frames_per_second=0.5,
        seconds_left=754.0,
        is_forecast=True,
    )
    monkeypatch.setattr(sys, "stderr", screen := _Screen())
    monkeypatch.setenv("COLUMNS", "120")
    with showing_progress(as_json=False) as on_event:
        on_event(progress)
    shown = screen.getvalue()
    pace = "14% of the work, 0.5 frames/s, about 12:34 left"
    for words in ("4/12", "1 failed, 2 frames given up", "120/840", f"2 clips not counted yet, {pace}"):
        assert words in shown


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ((3, 0, 0, 3, 0, 0, 0), "0 of 3 clips, 3 clips not counted yet, 0% of the work, -- left"),
        (
            (3, 1, 1, 1, 9, 4, 1),
            "1 of 3 clips, 1 failed, 1 frame given up, 4 of 9 frames, 1 clip not counted yet, 0% of",
        ),
        ((1, 0, 0, 0, 1, 0, 0), "0 of 1 clip, 0 of 1 frame, 0% of the work, -- left"),
    ],
)
def test_batch_lines_count_in_plain_words(counts: tuple[int, ...], words: str) -> None:
    clips, done, failed, unopened, frames, frames_done, frames_failed = counts
    progress = BatchProgress(
        clips, done, failed, unopened, frames, frames_done, frames_failed, 0.0, None, None, is_forecast=False
    )
    assert str(progress).startswith(words)


class _Screen(io.StringIO):
    def isatty(self) -> bool:
        return True
