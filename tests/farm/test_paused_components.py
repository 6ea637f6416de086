"""Paused components, on pools in virtual time."""

import pytest
from support.fake_workers import CHAIN, DigestHost, VirtualPool

from vidnst.config import ScheduleConfig
from vidnst.farm.interfaces import Component, NodeEvent, NodeEventKind
from vidnst.farm.plan import Lane
from vidnst.farm.scheduler import run_plan
from vidnst.farm.schedules import by_shot
from vidnst.frames import Shot

KEYS = ScheduleConfig(kind="keys")


@pytest.mark.parametrize("schedule", [CHAIN, KEYS], ids=["chain", "keys"])
def test_paused_component_hands_out_no_nodes(schedule: ScheduleConfig) -> None:
    plans = [list(next(by_shot(schedule, [Shot(0, 40)]))) for _ in range(7)]
    hosts = [DigestHost(plan) for plan in plans]
    pool = VirtualPool(4, 2, cost=lambda node: 0.1 if node.lane is Lane.FLOW else 1.0)
    own: list[float] = []
    others: list[float] = []

    def listen(event: NodeEvent) -> None:
        if event.kind is NodeEventKind.STARTED and event.node.lane is Lane.STYLE:
            (own if event.host is hosts[0] else others).append(pool.now)

    components = [
        Component(plan, host, number, paused=(lambda: 5 <= pool.now < 45) if number == 0 else None)
        for number, (plan, host) in enumerate(zip(plans, hosts, strict=True))
    ]
    totals = run_plan(components, pool, listener=listen, clock=pool.clock)
    assert totals[NodeEventKind.DONE] == sum(len(host.kept) for host in hosts)
    assert own[0] < 5
    assert own[-1] >= 45
    assert not [moment for moment in own if 5 <= moment < 45]
    assert len([moment for moment in others if 6 <= moment < 45]) > 0.95 * 39 * pool.styles


def test_run_waits_while_all_components_are_paused() -> None:
    plan = list(next(by_shot(CHAIN, [Shot(0, 9)])))
    host = DigestHost(plan)
    pool = VirtualPool(2, 1)
    asked = iter([False, False, *[True] * 20])
    run_plan([Component(plan, host, paused=lambda: next(asked, False))], pool)
    assert len(host.kept) == len(plan)


def test_exhausted_iterator_is_asked_again() -> None:
    plans = [list(next(by_shot(CHAIN, [Shot(0, 8)]))) for _ in range(3)]
    hosts = [DigestHost(plan) for plan in plans]
    pool = VirtualPool(2, 1)

    class Late:
        given = 0

        def __iter__(self) -> "Late":
            return self

        def __next__(self) -> Component:
            if self.given == len(plans) or pool.now < 2 * self.given:
                raise StopIteration
            self.given += 1
            return Component(plans[self.given - 1], hosts[self.given - 1], self.given)

    run_plan(Late(), pool)
    assert all(host.kept for host in hosts)
