"""Prefetching nodes to workers that will soon be free, on pools in virtual time."""

from collections.abc import Sequence

import pytest
from support.fake_workers import CHAIN, DigestHost, Recorder, VirtualPool

from vidnst.config import Role, ScheduleConfig
from vidnst.farm import worker_roster
from vidnst.farm.component_window import default_window
from vidnst.farm.interfaces import Component, NodeEventKind
from vidnst.farm.plan import Lane, Node, StateId
from vidnst.farm.scheduler import run_plan
from vidnst.farm.schedules import by_shot, independent
from vidnst.frames import Shot

SHOTS = [Shot(0, 20), Shot(20, 60), Shot(60, 75), Shot(75, 120)]


def cost(node: Node) -> float:
    """Seconds: keys are the longest, as on a GPU."""
    if node.lane is Lane.FLOW:
        return 0.1
    return 1.5 if node.role is Role.KEY else 0.08


def seconds_of(shots: Sequence[Shot], workers: int, *, transit: float) -> float:
    """Of a whole run."""
    pool = VirtualPool(workers, max(1, workers // 2), cost=cost, transit=transit)
    plans = [list(plan) for plan in by_shot(ScheduleConfig(kind="keys"), shots)]
    run_plan([Component(plan, DigestHost(plan)) for plan in plans], pool, clock=pool.clock)
    return pool.now


@pytest.mark.parametrize("shots", [[Shot(0, 120)], SHOTS], ids=["one shot", "four shots"])
@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_prefetch_hides_the_transfer_of_nodes(
    workers: int, shots: Sequence[Shot], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quarter of what most nodes take."""
    hidden, least = seconds_of(shots, workers, transit=0.02), seconds_of(shots, workers, transit=0.0)
    monkeypatch.setattr(worker_roster, "PREFETCH_SECONDS", float("-inf"))
    assert hidden < 0.97 * seconds_of(shots, workers, transit=0.02)
    assert least <= 1.01 * seconds_of(shots, workers, transit=0.0)  # what lies ready is nowhere missed


def test_one_worker_does_not_wait_between_short_nodes() -> None:
    nodes = list(independent(Shot(0, 50)))
    pool = VirtualPool(1, 1, cost=lambda node: 0.1, transit=0.05)
    run_plan([Component(nodes, DigestHost(nodes))], pool, clock=pool.clock)
    assert pool.now == pytest.approx(50 * 0.1 + 2 * 0.05)  # the second is on its way when the pace is known


def test_nothing_is_prefetched_behind_a_long_node() -> None:
    nodes = list(independent(Shot(0, 9)))
    pool = VirtualPool(1, 1, cost=lambda node: 5.0, transit=1.0)
    run_plan([Component(nodes, DigestHost(nodes))], pool, clock=pool.clock)
    assert pool.now == pytest.approx(9 * 6.0)


def test_prefetched_node_starts_when_its_worker_runs_it() -> None:
    nodes = list(independent(Shot(0, 12)))
    pool, recorder = VirtualPool(1, 1, cost=lambda node: 0.1), Recorder()
    moments: list[float] = []
    run_plan(
        [Component(nodes, DigestHost(nodes))],
        pool,
        clock=pool.clock,
        listener=lambda event: (recorder(event), moments.append(pool.now))[0],  # type: ignore[func-returns-value]
    )
    started = [moment for event, moment in zip(recorder.events, moments, strict=True) if event.kind == "started"]
    assert started == pytest.approx([0.1 * number for number in range(12)])
    assert [event.seconds for event in recorder.of(NodeEventKind.DONE)] == pytest.approx([0.1] * 12)


@pytest.mark.parametrize("lost", [frozenset(), frozenset({"style-0"})], ids=["comes back", "is lost"])
def test_prefetched_node_of_dead_worker_has_not_failed(lost: frozenset[str]) -> None:
    nodes = list(independent(Shot(0, 30)))
    deaths = {(StateId(frame), 1): "die" for frame in (6, 7)}
    pool = VirtualPool(2, 1, cost=lambda node: 0.1, moods=deaths, absence=0.3, lost=lost)
    host, recorder = DigestHost(nodes), Recorder()
    run_plan([Component(nodes, host)], pool, clock=pool.clock, listener=recorder)
    assert len(host.kept) == 30
    assert {event.node.id for event in recorder.of(NodeEventKind.DIED)} == {StateId(6), StateId(7)}
    assert not recorder.of(NodeEventKind.FAILED)
    attempts = {event.node.id.frame: event.attempt for event in recorder.of(NodeEventKind.DONE)}
    assert {frame for frame, attempt in attempts.items() if attempt > 1} == {6, 7}
    asked = [node for node, _, _ in host.jobs]
    assert len(asked) > 32, "nothing lay ready at a worker that died, so nothing was tested"


def test_chain_has_nothing_to_prefetch() -> None:
    nodes = list(next(by_shot(CHAIN, [Shot(0, 20)])))
    pool = VirtualPool(1, 1, cost=lambda node: 0.1 if isinstance(node.id, StateId) else 0.01)
    host = DigestHost(nodes)
    run_plan([Component(nodes, host)], pool, clock=pool.clock)
    assert len(host.kept) == len(nodes)


def share_painting(workers: int, *, concurrency: int) -> float:
    """The share of their time in which workers paint for 20 ms what takes 150 ms to prepare."""
    shots = [Shot(120 * number, 120 * (number + 1)) for number in range(workers)]
    pool = VirtualPool(
        workers,
        4 * workers,
        cost=lambda node: 0.04 if node.lane is Lane.FLOW else 0.02,
        prepare=lambda node: 0.15 if node.sources else 0.0,
        transit=0.005,
        concurrency=concurrency,
        prefetch=concurrency,
    )
    plans = [list(plan) for plan in by_shot(ScheduleConfig(kind="keys"), shots)]
    run_plan(
        [Component(plan, DigestHost(plan)) for plan in plans],
        pool,
        clock=pool.clock,
        prefetch=concurrency,
        window=default_window(workers, prefetch=concurrency),
    )
    painting = sum(seconds for name, seconds in pool.device_seconds.items() if name.startswith("style"))
    return painting / workers / pool.now


@pytest.mark.parametrize("workers", [1, 3])
def test_many_jobs_in_work_hide_their_preparation(workers: int) -> None:
    assert share_painting(workers, concurrency=1) < 0.15
    assert share_painting(workers, concurrency=2) < 0.3
    assert share_painting(workers, concurrency=10) > 0.8  # the rest is the first and the last seconds


def test_long_nodes_are_not_hoarded_by_a_worker() -> None:
    nodes = list(independent(Shot(0, 16)))
    pool = VirtualPool(2, 1, cost=lambda node: 0.2, concurrency=10, prefetch=10)
    run_plan([Component(nodes, DigestHost(nodes))], pool, clock=pool.clock, prefetch=10)
    assert pool.now == pytest.approx(8 * 0.2)
