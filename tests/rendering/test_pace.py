"""Time left: close to the truth from a tenth of the render on, whatever waits for what."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from support import media
from support.fake_workers import DigestHost, VirtualPool, plan_of_shots
from support.moving_clip import MovingClip
from support.renders import quick_config

import vidnst
from vidnst.config import FarmConfig, RenderConfig, Role, ScheduleConfig
from vidnst.events import Event, NodeStarted, Paced
from vidnst.farm.component_window import default_window
from vidnst.farm.interfaces import Component, NodeEvent, NodeEventKind
from vidnst.farm.plan import Lane, Node, NodeId, StateId
from vidnst.farm.scheduler import run_plan
from vidnst.farm.schedules import by_shot, training_of
from vidnst.frames import Shot
from vidnst.rendering.early_forecast import EarlyForecast
from vidnst.rendering.node_costs import cost_of
from vidnst.rendering.node_times import NodeTimes, SecondsOf
from vidnst.rendering.pace import Pace
from vidnst.rendering.prepare import CheckedRequest

SIZE = 128, 72


def settings(kind: str) -> RenderConfig:
    return RenderConfig(schedule=ScheduleConfig.model_validate({"kind": kind}))


Cost = Callable[[Node], tuple[float, float]]
"""Seconds of a node, and of them those of its evaluations."""


def costs(config: RenderConfig, *, besides: float = 0.3, settled: float = 0.6, warm_up: float = 0.0) -> Cost:
    """Seconds of nodes, with noise.

    Args:
        config: the settings.
        besides: seconds of a node besides its evaluations.
        settled: share of its evaluations after which a warm frame settles.
        warm_up: seconds that the first frame takes longer.
    """

    @cache
    def seconds_of(node_id: NodeId, role: Role, most: float) -> tuple[float, float]:
        noise = random.Random(str(node_id)).uniform(0.8, 1.2)
        if role is Role.FLOW:
            return 0.3, 0.0
        painting = noise * 0.1 * most * (1.0 if role in (Role.COLD, Role.TRAIN, Role.PAINT) else settled)
        painting += warm_up * (node_id == StateId(0))
        return painting + noise * besides * (role is not Role.TRAIN), painting

    return lambda node: seconds_of(node.id, node.role, 0.0 if node.role is Role.FLOW else cost_of(config, node, *SIZE))


Told = list[tuple[float, float, float]]
"""When frames were done, the share of the work and the time left that were told then."""


def run_in_virtual_time(
    config: RenderConfig, plans: Sequence[Sequence[Node]], seconds: Cost, *, workers: int
) -> tuple[VirtualPool, Told]:
    """Run plans as the scheduler does, and note what the pace tells."""
    pool = VirtualPool(workers, 1, cost=lambda node: seconds(node)[0])
    pace = Pace(config, workers, size=SIZE, clock=pool.clock)
    for nodes in plans:
        pace.add(nodes)
    pace.start()
    told: Told = []

    def listen(event: NodeEvent) -> None:
        if event.kind is NodeEventKind.DONE:
            pace.node_done(event.node, *seconds(event.node))
            if event.node.lane is Lane.STYLE:
                told.append((pool.now, pace.share, pace.seconds_left or 0.0))

    host = DigestHost(chain(*plans))
    components = [Component(nodes, host, number) for number, nodes in enumerate(plans)]
    window = default_window(workers, groups=config.schedule.spacing)
    run_plan(components, pool, window=window, attempts=1, listener=listen, clock=pool.clock)
    return pool, told


@pytest.mark.parametrize("besides", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("warm_up", [0.0, 8.0])
def test_passes_that_are_yet_to_come_are_told_early(besides: float, warm_up: float) -> None:
    config = RenderConfig()
    plans = [list(nodes) for nodes in by_shot(config.schedule, [Shot(0, 24)])]
    seconds = costs(config, besides=besides, settled=1.0, warm_up=warm_up)
    pool, told = run_in_virtual_time(config, plans, seconds, workers=1)
    # What the first frame takes longer shows when there is a second.
    early = [(now, left) for now, share, left in told[1:] if 0.1 <= share <= 0.5]
    assert len(early) > 5
    assert [left / (pool.now - now) for now, left in early] == pytest.approx([1.0] * len(early), abs=0.25)


@pytest.mark.parametrize("workers", [1, 3])
def test_training_tells_of_the_painting_that_follows(workers: int) -> None:
    config = RenderConfig.model_validate(
        {"schedule": {"kind": "network", "passes": 2}, "model": {"backbone": "slim", "weights": None}}
    )
    shots = [Shot(0, 24)]
    stages = [node for node in training_of(config.schedule, shots) if node.role is Role.TRAIN]
    plans = [list(nodes) for nodes in by_shot(config.schedule, shots)]
    seconds, pace = costs(config, besides=0.0, settled=1.0), Pace(config, workers, size=SIZE, clock=lambda: 0.0)
    pace.add([*stages, *chain(*plans)])
    pace.start()
    painting = sum(seconds(node)[0] for node in chain(*plans) if node.lane is Lane.STYLE) / workers
    for done, stage in enumerate(stages, start=1):
        pace.node_done(stage, *seconds(stage))
        if done > 3:
            left = sum(seconds(node)[0] for node in stages[done:]) + painting
            assert pace.seconds_left == pytest.approx(left, rel=0.25)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("shots", [1, 3])
@pytest.mark.parametrize("kind", ["keys", "chain", "independent", "network"])
def test_time_left_is_within_a_quarter(kind: str, shots: int, workers: int) -> None:
    config = settings(kind)
    plans = [list(nodes) for nodes in by_shot(config.schedule, [Shot(60 * n, 60 * (n + 1)) for n in range(shots)])]
    seconds = costs(config)
    pool, told = run_in_virtual_time(config, plans, seconds, workers=workers)
    longest = max(seconds(node)[0] for nodes in plans for node in nodes)
    checked = [(now, left) for now, share, left in told if 0.1 <= share <= 0.9]
    assert len(checked) > 20
    # A single frame may be a tenth of a short render: its noise is not held against the forecast.
    noise = 0.2 * longest
    assert all(abs(left - (pool.now - now)) <= 0.25 * (pool.now - now) + noise for now, left in checked)
    if kind == "independent":  # elsewhere, better knowledge of a kind of node may take work back
        assert [share for _, share, _ in told] == sorted(share for _, share, _ in told)
    assert told[-1][1:] == (1.0, 0.0)


def test_share_counts_work_not_frames() -> None:
    config = settings("keys")
    nodes = plan_of_shots(config.schedule, [Shot(0, 12)])
    pace = Pace(config, 1, size=SIZE)
    pace.add(nodes)
    pace.start()
    finals = [node for node in nodes if node.final]
    others = [node for node in nodes if isinstance(node.id, StateId) and not node.final]
    assert others
    for node in others:
        pace.node_done(node, 2.0)
    assert 0.3 < pace.share < 0.95  # although no frame is finished
    assert pace.seconds_left is not None
    for node in finals:
        pace.node_dropped(node)
    assert pace.share == 1.0
    assert pace.seconds_left == 0.0


def test_earlier_sessions_count_as_done() -> None:
    config = settings("independent")
    nodes = plan_of_shots(config.schedule, [Shot(0, 8)])
    pace = Pace(config, 2, size=SIZE)
    pace.add(nodes, {node.id for node in nodes[:6]})
    pace.start()
    assert pace.share == 0.75
    assert pace.seconds_left is None  # nothing was timed yet
    pace.node_done(nodes[6], 3.0)
    assert pace.share == pytest.approx(7 / 8)
    assert pace.seconds_left == pytest.approx(3.0 / 2)  # as if both workers were busy


def test_rate_is_measured_in_long_films_too() -> None:
    config, now = settings("independent"), 0.0
    nodes = plan_of_shots(config.schedule, [Shot(0, 20_000)])
    pace = Pace(config, 4, size=SIZE, clock=lambda: now)
    pace.add(nodes)
    pace.start()
    for node in nodes[:15_000]:  # two of four workers are busy
        now += 1.0
        pace.node_done(node, 2.0)
    assert pace.seconds_left == pytest.approx(5000)


def test_forecast_gives_a_time_before_the_first_node() -> None:
    config = settings("independent")
    nodes = plan_of_shots(config.schedule, [Shot(0, 8)])
    pace = Pace(config, 2, size=SIZE)
    pace.add(nodes)
    pace.start()
    pace.foresee(lambda node: 5.0)
    assert pace.seconds_left == pytest.approx(8 * 5.0 / 2)
    assert (pace.share, pace.is_measured) == (0, False)
    pace.node_done(nodes[0], 1.0)  # it is measured now
    assert pace.seconds_left == pytest.approx(7 * 1.0 / 2)


@pytest.mark.parametrize("is_early", [True, False])
def test_forecast_is_told_once_workers_are_there(is_early: bool) -> None:
    found, ready = list[float](), threading.Event()
    nodes = plan_of_shots(settings("independent").schedule, [Shot(0, 2)])

    def forecaster(_: CheckedRequest) -> SecondsOf:
        assert ready.wait(30)
        return lambda node: 2.5

    def use(seconds_of: SecondsOf) -> None:
        found.append(seconds_of(nodes[0]))

    checked = cast(CheckedRequest, SimpleNamespace(config=RenderConfig()))
    with EarlyForecast(forecaster, checked) as forecast:
        if is_early:
            ready.set()
        forecast.then(use)
        ready.set()
        while not found:
            time.sleep(0.01)
    assert found == [2.5]


def test_failed_forecast_and_own_painting_are_silent() -> None:
    def fail(_: CheckedRequest) -> SecondsOf:
        raise ValueError("no time")

    told = list[SecondsOf]()
    for farm in (FarmConfig(), FarmConfig(executor="inline"), FarmConfig(address="head:6379")):
        checked = cast(CheckedRequest, SimpleNamespace(config=RenderConfig(farm=farm)))
        with EarlyForecast(fail, checked) as forecast:
            forecast.then(told.append)
    assert not told


def test_render_reports_pace_and_work(tmp_path: Path) -> None:
    clip, heard = MovingClip(count=4, width=48, height=32), list[Event]()
    source = media.write_pictures(tmp_path / "in", clip.all_pixels())[0].parent
    style = media.write_picture(tmp_path / "style.png", media.painting(1))
    vidnst.render(source, style=style, output=tmp_path / "out", config=quick_config(), on_event=heard.append)
    paced = [event for event in heard if isinstance(event, Paced)]
    assert paced
    assert 0 < paced[0].share < 1
    assert paced[0].seconds_left is not None
    works = {event.work for event in heard if isinstance(event, NodeStarted)}
    assert "painting frame 0" in works
    assert "computing the flow from frame 1 to frame 0" in works


def test_one_slow_node_of_a_pass_says_little_about_the_others() -> None:
    times, first, second = NodeTimes(), (Role.RELAX, 1, None), (Role.RELAX, 2, None)
    for kind in (first, second):
        times.expect(kind, 10.0)
    for _ in range(20):
        times.note(first, 1.0)
    times.note(second, 6.0)
    assert times.by_kind()[second] < 3
    for _ in range(200):
        times.note(second, 2.0)
    assert times.by_kind()[second] == pytest.approx(2.0, rel=0.05)


def test_first_stage_of_a_training_says_nothing_about_others() -> None:
    config, shots, left = settings("network"), [Shot(0, 8)], []
    stages = [node for node in training_of(config.schedule, shots) if node.role is Role.TRAIN]
    for first_seconds in (1.0, 60.0):
        pace = Pace(config, 1, size=SIZE, clock=lambda: 0.0)
        pace.add([*stages, *(node for plan in by_shot(config.schedule, shots) for node in plan)])
        pace.start()
        pace.node_done(stages[0], first_seconds)
        assert pace.seconds_left is None
        pace.node_done(stages[1], 1.0)
        left.append(pace.seconds_left)
    assert left[0] == left[1] is not None
