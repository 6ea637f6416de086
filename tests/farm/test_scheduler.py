"""The scheduler on pools in virtual time: order, windows, failures, and nothing done twice."""

import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fake_workers import CHAIN, DigestHost, Recorder, Task, VirtualPool, plan_of_shots, with_uses

from vidnst.config import RenderConfig, Role
from vidnst.errors import BadFrameError, CancelledError, DiskFullError, FarmError, NumericalError, WeightsError
from vidnst.farm.interfaces import Component, NodeEvent, NodeEventKind
from vidnst.farm.plan import FlowId, Lane, Node, NodeId, StateId, finished_nodes
from vidnst.farm.scheduler import run_plan
from vidnst.farm.schedules import by_shot, chain, independent, keys
from vidnst.frames import Shot

Moods: TypeAlias = dict[tuple[NodeId, int], str]


def run(
    nodes: list[Node], pool: VirtualPool | None = None, host: DigestHost | None = None, **options: object
) -> tuple[DigestHost, Recorder]:
    """Run one component; the host has checked every value by the end."""
    host = host or DigestHost(nodes)
    recorder = Recorder()
    run_plan([Component(nodes, host)], pool or VirtualPool(2, 1), listener=recorder, **options)  # type: ignore[arg-type]
    return host, recorder


@st.composite
def plans(draw: st.DrawFn) -> list[Node]:
    """Any graph: states of a few frames and passes, flows that read flows, needs anywhere before."""
    names: list[NodeId] = [StateId(frame, number) for frame in range(6) for number in range(3)]
    names += [FlowId(frame, frame + step) for frame in range(6) for step in (1, 2)]
    chosen = draw(st.lists(st.sampled_from(names), unique=True, min_size=1, max_size=20))
    nodes = []
    for place, name in enumerate(chosen):
        earlier = [other for other in chosen[:place] if isinstance(name, StateId) or isinstance(other, FlowId)]
        needs = draw(st.lists(st.sampled_from(earlier), unique=True, max_size=4)) if earlier else []
        role = Role.FLOW if isinstance(name, FlowId) else Role.WARM
        nodes.append(Node(name, role, 0, (name.frame,), tuple(needs)))
    return with_uses(nodes)


def finished_before(data: st.DataObject, nodes: list[Node]) -> tuple[set[StateId], set[NodeId]]:
    states = [node.id for node in nodes if isinstance(node.id, StateId)]
    some = st.lists(st.sampled_from(states)).map(set) if states else st.just(set())
    finished, stored = data.draw(some), data.draw(some)
    done = finished_nodes(nodes, finished=lambda node: node.id in finished, stored=lambda name: name in stored)
    return done, set(stored)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_plan_with_any_failures_gives_every_value_once(
    data: st.DataObject,
) -> None:
    nodes = data.draw(plans())
    done, stored = finished_before(data, nodes)
    attempts = 4
    bad = st.lists(st.sampled_from(["die", "fail", "nan"]), max_size=5)
    tried = data.draw(st.dictionaries(st.sampled_from([node.id for node in nodes]), bad, max_size=6))
    moods = {(name, attempt): mood for name, some in tried.items() for attempt, mood in enumerate(some, start=1)}
    costs = data.draw(st.lists(st.floats(0.1, 9), min_size=7, max_size=7))
    pool = VirtualPool(
        data.draw(st.integers(1, 4)),
        data.draw(st.integers(1, 3)),
        cost=lambda node: costs[node.id.frame],
        moods=moods,
    )
    host = DigestHost(nodes, done, stored)
    recorder = Recorder()
    totals = run_plan(
        [Component(nodes, host)],
        pool,
        window=data.draw(st.integers(1, 6)),
        attempts=attempts,
        listener=recorder,
        clock=pool.clock,
    )
    failed = {name for name, (_, because) in host.given_up.items() if because is None}
    assert all(len(tried[name]) >= min(2, len(pool.workers(Lane.STYLE))) for name in failed)
    lost = all_that_read(nodes, failed, done)
    assert set(host.given_up) == failed | {name for name in lost if isinstance(name, StateId)}
    assert totals[NodeEventKind.GIVEN_UP] == len(host.given_up)
    states = {node.id for node in nodes if isinstance(node.id, StateId)}
    assert set(host.kept) & states == states - done - lost - failed
    assert set(host.kept) <= needed_now(nodes, done)
    if not failed:
        assert set(host.kept) == needed_now(nodes, done)
    assert sorted(map(str, host.released)) == sorted(str(node.id) for node in nodes)
    assert totals[NodeEventKind.DONE] == len(host.kept)
    assert totals[NodeEventKind.SKIPPED] == len(done)
    assert totals[NodeEventKind.FAILED] + totals[NodeEventKind.DIED] == len(recorder.of(NodeEventKind.FAILED)) + len(
        recorder.of(NodeEventKind.DIED)
    )
    retried_elsewhere(recorder, pool)


def needed_now(nodes: list[Node], done: set[StateId]) -> set[NodeId]:
    """States that are not done, and the flows that they read, directly or through other flows."""
    needed: set[NodeId] = set()
    for node in reversed(nodes):
        if (isinstance(node.id, StateId) and node.id not in done) or node.id in needed:
            needed.add(node.id)
            needed.update(need for need in node.needs if isinstance(need, FlowId))
    return needed


def all_that_read(nodes: list[Node], failed: set[NodeId], done: set[StateId]) -> set[NodeId]:
    """Nodes that are not done and read one of these, directly or through others."""
    lost: set[NodeId] = set()
    for node in nodes:
        if node.id not in done and (failed | lost) & set(node.needs):
            lost.add(node.id)
    return lost


def retried_elsewhere(recorder: Recorder, pool: VirtualPool) -> None:
    """A node comes back to a worker it failed on only when it has failed on all of them."""
    tried: dict[NodeId, set[str]] = {}
    for event in recorder.events:
        before = tried.setdefault(event.node.id, set())
        if event.kind is NodeEventKind.STARTED and event.worker in before:
            assert before.issuperset(pool.workers(event.node.lane))
        if event.kind in (NodeEventKind.FAILED, NodeEventKind.DIED):
            before.add(event.worker)


def test_ready_nodes_run_in_the_order_of_time() -> None:
    nodes = list(independent(Shot(0, 20)))
    pool = VirtualPool(3, 1, cost=lambda node: 1 + node.id.frame % 3)
    host, _ = run(nodes, pool, clock=pool.clock)
    assert [node.frame for node, _, _ in host.jobs] == list(range(20))


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_frames_finish_steadily_and_workers_hardly_wait(workers: int) -> None:
    """Keys take as long as on a GPU, compared with other nodes, and each stylizing worker has a flow worker."""

    def cost(node: Node) -> float:
        return {Role.FLOW: 0.03, Role.COLD: 0.2, Role.KEY: 0.25, Role.BETWEEN: 0.02}.get(node.role, 0.03)

    nodes = list(keys(Shot(0, 240)))
    pool = VirtualPool(workers, workers, cost=cost)
    finished: list[float] = []

    def hear(event: NodeEvent) -> None:
        if event.kind is NodeEventKind.DONE and event.node.final:
            finished.append(pool.now)

    run_plan([Component(nodes, DigestHost(nodes))], pool, clock=pool.clock, listener=hear)
    work = sum(cost(node) for node in nodes if node.role is not Role.FLOW)
    assert pool.now < {1: 1.02, 2: 1.03, 4: 1.22}[workers] * work / workers
    assert max(after - before for before, after in pairwise(finished)) < 0.03 * pool.now


def test_lower_order_goes_first() -> None:
    late, early = list(independent(Shot(50, 60))), list(independent(Shot(0, 10)))
    hosts = [DigestHost(late), DigestHost(early)]
    recorder = Recorder()
    components = [Component(late, hosts[0], order=0), Component(early, hosts[1], order=1)]
    run_plan(components, VirtualPool(4, 1), listener=recorder)
    started = [event.node.id.frame for event in recorder.of(NodeEventKind.STARTED)]
    assert started == [*range(50, 60), *range(10)]


def test_chains_of_several_shots_run_side_by_side() -> None:
    shots = [Shot(start, start + 30) for start in range(0, 120, 30)]
    host = DigestHost(plan_of_shots(CHAIN, shots))
    pool = VirtualPool(4, 2, cost=lambda node: 0.2 if node.role is Role.FLOW else 1.0)
    run_plan((Component(nodes, host) for nodes in by_shot(CHAIN, shots)), pool, clock=pool.clock)
    assert pool.now == pytest.approx(30.0, rel=0.05)  # a frame and no flow at the start of each shot


def test_flows_run_while_the_frame_before_is_rendered() -> None:
    nodes = list(chain(Shot(0, 40)))
    pool = VirtualPool(1, 1, cost=lambda node: 0.9 if node.role is Role.FLOW else 1.0)
    run(nodes, pool)
    assert pool.now == pytest.approx(40.0)


def test_flows_ahead_of_need_are_bounded() -> None:
    nodes = list(chain(Shot(0, 500)))
    host, _ = run(nodes, VirtualPool(1, 2, cost=lambda node: 0.001 if node.role is Role.FLOW else 1.0), window=400)
    assert host.most_held <= 12


def test_flows_between_finished_frames_never_run() -> None:
    nodes = list(chain(Shot(0, 30)))
    host = DigestHost(nodes, {StateId(frame) for frame in range(20)}, {StateId(19)})
    _, recorder = run(nodes, host=host)
    made = {node for node in host.kept if isinstance(node, FlowId)}
    assert made == {FlowId(frame, frame - 1) for frame in range(20, 30)}
    assert [event.node.id.frame for event in recorder.of(NodeEventKind.SKIPPED)] == list(range(20))


def test_no_more_of_a_plan_is_read_than_the_window_allows() -> None:
    finished = 0
    furthest = 0

    def nodes() -> Iterator[Node]:
        nonlocal furthest
        for node in independent(Shot(0, 300)):
            furthest = max(furthest, node.id.frame - finished)
            yield node

    def count(event: object) -> None:
        nonlocal finished
        finished = sum(1 for _ in host.kept)

    host = DigestHost(independent(Shot(0, 300)))
    run_plan([Component(nodes(), host)], VirtualPool(3, 1), window=10, listener=count)
    assert len(host.kept) == 300
    assert furthest <= 10 + 3


def test_components_are_opened_only_when_workers_would_idle() -> None:
    opened: list[int] = []
    shots = [Shot(number * 5, number * 5 + 5) for number in range(50)]
    host = DigestHost(plan_of_shots(CHAIN, shots))

    def components() -> Iterator[Component]:
        for number, nodes in enumerate(by_shot(CHAIN, shots)):
            opened.append(number)
            assert number * 5 - len([node for node in host.kept if isinstance(node, StateId)]) <= 3 * 5
            yield Component(nodes, host)

    run_plan(components(), VirtualPool(3, 2))
    assert opened == list(range(50))


@pytest.mark.parametrize("workers", [8, 32, 64])
def test_long_shot_of_keys_takes_nearly_the_best_time(workers: int) -> None:
    nodes = list(keys(Shot(0, 480)))
    config = RenderConfig()

    def cost(node: Node) -> float:
        return 0.01 if node.role is Role.FLOW else config.evaluations(node.role) / 100

    pool = VirtualPool(workers, 8, cost=cost)
    host, _ = run(nodes, pool)
    ends: dict[NodeId, float] = {}
    for node in nodes:
        ends[node.id] = max((ends[need] for need in node.needs), default=0.0) + cost(node)
    work = sum(cost(node) for node in nodes if node.lane is Lane.STYLE)
    assert pool.now <= 1.15 * max(work / workers, max(ends.values()))
    assert host.most_held < len(nodes) / 2


def test_memory_does_not_grow_with_the_length_of_the_plan() -> None:
    peaks = []
    for frames in (2_000, 8_000):
        tracemalloc.start()
        run_plan([Component(chain(Shot(0, frames)), ForgetfulHost())], VirtualPool(2, 1))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


class ForgetfulHost(DigestHost):
    """Keeps nothing and checks nothing."""

    def __init__(self) -> None:
        super().__init__([])

    def job(self, node: Node, inputs: object, **_: object) -> Task:
        return Task(node, dict.fromkeys(node.needs, ""), 1)

    def store(self, node: Node, result: str, *, worker: str, attempt: int) -> str:
        return ""

    def release(self, node: NodeId) -> None:
        pass


def test_failed_node_is_retried_with_its_last_error() -> None:
    nodes = list(independent(Shot(0, 3)))
    moods: Moods = {(StateId(1), 1): "fail", (StateId(1), 2): "die"}
    host, recorder = run(nodes, VirtualPool(2, 1, moods=moods))
    tries = [(attempt, type(error).__name__) for name, attempt, error in host.jobs if name == StateId(1)]
    assert tries == [(1, "NoneType"), (2, "ValueError"), (3, "WorkerDiedError")]
    assert [event.error for event in recorder.of(NodeEventKind.FAILED)] == ["ValueError: node 1.0 would not"]
    assert [event.attempt for event in recorder.of(NodeEventKind.DIED)] == [2]


def always(mood: str, *names: NodeId) -> Moods:
    return {(name, attempt): mood for name in names for attempt in range(1, 9)}


def test_failed_node_is_given_up_with_its_dependants() -> None:
    shots = [Shot(0, 90), Shot(90, 120)]
    host = DigestHost(plan_of_shots(CHAIN, shots))
    recorder = Recorder()
    pool = VirtualPool(3, 1, moods=always("fail", StateId(9)))
    totals = run_plan(
        (Component(nodes, host) for nodes in by_shot(CHAIN, shots)), pool, window=8, listener=recorder, clock=pool.clock
    )
    assert {name for name in host.kept if isinstance(name, StateId)} == {
        StateId(frame) for frame in (*range(9), *range(90, 120))
    }
    error = "ValueError: node 9.0 would not"
    assert host.given_up == {StateId(9): (error, None)} | {
        StateId(frame): (error, StateId(9)) for frame in range(10, 90)
    }
    assert (totals[NodeEventKind.GIVEN_UP], totals[NodeEventKind.FAILED]) == (81, 3)
    assert len({event.worker for event in recorder.of(NodeEventKind.FAILED)}) == 3
    assert len(recorder.of(NodeEventKind.GIVEN_UP)) == 81
    assert len(host.released) == len(host.truth)


@pytest.mark.parametrize(("workers", "failures"), [(1, 2), (2, 2), (3, 3), (5, 3)])
def test_node_fails_for_good_on_three_workers_or_all(workers: int, failures: int) -> None:
    nodes = list(independent(Shot(0, 9)))
    host, recorder = run(nodes, VirtualPool(workers, 1, moods=always("fail", StateId(4))))
    assert len(recorder.of(NodeEventKind.FAILED)) == failures
    assert set(host.given_up) == {StateId(4)}
    assert len(host.kept) == 8


def test_dead_worker_may_retry_its_node() -> None:
    nodes = list(independent(Shot(0, 3)))
    host, recorder = run(nodes, VirtualPool(1, 1, moods=always("die", StateId(1))))
    assert len(recorder.of(NodeEventKind.DIED)) == 3
    assert set(host.given_up) == {StateId(1)}


def test_failed_flow_gives_up_its_dependants() -> None:
    nodes = list(chain(Shot(0, 4)))
    host, _ = run(nodes, VirtualPool(2, 1, moods=always("die", FlowId(2, 1))), attempts=1)
    because = FlowId(2, 1)
    assert {name: cause for name, (_, cause) in host.given_up.items()} == {
        because: None,
        StateId(2): because,
        StateId(3): because,
    }


def test_nan_is_retried_once() -> None:
    nodes = list(independent(Shot(0, 2)))
    once: Moods = {(StateId(1), 1): "nan"}
    host, _ = run(nodes, VirtualPool(2, 1, moods=once), attempts=9)
    assert isinstance(next(error for name, attempt, error in host.jobs if attempt == 2), NumericalError)
    assert not host.given_up
    twice: Moods = {**once, (StateId(1), 2): "nan"}
    host, _ = run(nodes, VirtualPool(4, 1, moods=twice), attempts=9)
    assert "NaN" in host.given_up[StateId(1)][0]


@pytest.mark.parametrize(("workers", "failures"), [(1, 1), (2, 2), (5, 3)])
def test_out_of_memory_on_all_workers_ends_the_component(workers: int, failures: int) -> None:
    plans = [list(independent(Shot(start, start + 30))) for start in range(0, 360, 30)]
    hosts = [DigestHost(nodes) for nodes in plans]
    large = [StateId(frame) for frame in range(0, 330, 30)]  # of all components but the last
    recorder = Recorder()
    run_plan(
        [Component(nodes, host) for nodes, host in zip(plans, hosts, strict=True)],
        VirtualPool(workers, 1, moods=always("large", *large)),
        listener=recorder,
        window=4,
    )
    assert all(len(host.given_up) >= 20 for host in hosts[:-1])
    assert not hosts[-1].given_up
    assert len(hosts[-1].kept) == 30
    assert len(recorder.of(NodeEventKind.FAILED)) == 11 * failures


def test_out_of_memory_node_runs_on_a_larger_worker() -> None:
    nodes = list(independent(Shot(0, 9)))
    once: Moods = {(StateId(4), 1): "large"}
    host, recorder = run(nodes, VirtualPool(2, 1, moods=once))
    assert len(host.kept) == 9
    assert len({event.worker for event in recorder.events if event.node.id == StateId(4) and event.worker}) == 2


@pytest.mark.parametrize("where", ["host", "worker"])
def test_source_error_ends_its_component_only(where: str) -> None:
    class Blind(DigestHost):
        def job(self, node: Node, inputs: object, **facts: object) -> Task:  # type: ignore[override]
            if where == "host" and node.id == StateId(5):
                raise BadFrameError("frame 5 does not decode")
            return super().job(node, inputs, **facts)  # type: ignore[arg-type]

    first, second = list(independent(Shot(0, 50))), list(independent(Shot(50, 60)))
    hosts = Blind(first), DigestHost(second)
    pool = VirtualPool(2, 1, moods=always("undecodable", StateId(5)) if where == "worker" else {})
    totals = run_plan([Component(first, hosts[0]), Component(second, hosts[1])], pool, window=4)
    assert len(hosts[1].kept) == 10
    assert totals[NodeEventKind.GIVEN_UP] == len(hosts[0].given_up) >= 43
    assert set(hosts[0].given_up) | set(hosts[0].kept) == {node.id for node in first}
    assert totals[NodeEventKind.FAILED] <= 1


def test_worker_is_quarantined_after_three_failed_nodes() -> None:
    nodes = list(independent(Shot(0, 40)))
    pool = VirtualPool(3, 1, broken=frozenset({"style-1"}))
    host, recorder = run(nodes, pool, clock=pool.clock)
    assert [event.worker for event in recorder.of(NodeEventKind.QUARANTINED)] == ["style-1"]
    assert 3 <= len(recorder.of(NodeEventKind.FAILED)) <= 4  # another may have lain ready there
    assert len(host.kept) == 40


def test_worker_that_only_met_bad_nodes_is_reinstated() -> None:
    nodes = list(independent(Shot(0, 30)))
    bad = [StateId(frame) for frame in (0, 2, 3)]

    def cost(node: Node) -> float:
        return 9.0 if node.id.frame == 1 else 1.0  # what the other worker is busy with

    host, recorder = run(nodes, VirtualPool(2, 1, cost=cost, moods=always("fail", *bad)))
    assert [event.worker for event in recorder.of(NodeEventKind.QUARANTINED)] == ["style-0"]
    assert [event.worker for event in recorder.of(NodeEventKind.REINSTATED)] == ["style-0"]
    assert set(host.given_up) == set(bad)
    assert len(host.kept) == 27
    assert {event.worker for event in recorder.of(NodeEventKind.DONE)} == {"style-0", "style-1"}


def test_run_ends_if_all_workers_fail_at_everything() -> None:
    nodes = list(independent(Shot(0, 40)))
    with pytest.raises(FarmError, match=r"all style workers fail at whatever they get.*ValueError"):
        run(nodes, VirtualPool(1, 1, broken=frozenset({"style-0"})))
    pool = VirtualPool(3, 1, broken=frozenset(f"style-{number}" for number in range(3)))
    with pytest.raises(FarmError, match="all style workers fail at whatever they get"):
        run(list(independent(Shot(0, 400))), pool)
    assert pool.now < 30


def test_host_whose_nodes_all_fail_is_abandoned() -> None:
    nodes = [list(independent(Shot(start, start + 50))) for start in (0, 50, 100)]
    hosts = [DigestHost(some) for some in nodes]
    pool = VirtualPool(3, 1, moods=always("fail", *(node.id for node in nodes[0])))
    totals = run_plan([Component(some, host) for some, host in zip(nodes, hosts, strict=True)], pool)
    assert totals[NodeEventKind.GIVEN_UP] == len(hosts[0].given_up) == 50
    assert totals[NodeEventKind.FAILED] < 50
    assert len(hosts[1].kept) == len(hosts[2].kept) == 50
    pool = VirtualPool(3, 1, broken=frozenset(pool.workers(Lane.STYLE)))
    components = (Component(some, DigestHost(some)) for some in nodes * 10)
    with pytest.raises(FarmError, match="all style workers fail at whatever they get"):
        run_plan(components, pool)
    assert len(list(components)) > 20


def test_only_worker_survives_bad_nodes_in_a_row() -> None:
    nodes = list(independent(Shot(0, 40)))
    bad = [StateId(frame) for frame in range(10, 16)]
    host, _ = run(nodes, VirtualPool(1, 1, moods=always("fail", *bad)))
    assert set(host.given_up) == set(bad)
    assert len(host.kept) == 34


def test_weights_error_ends_the_run_at_once() -> None:
    nodes = list(independent(Shot(0, 4)))
    pool = VirtualPool(1, 1, moods={(StateId(1), 1): "refuse"})
    host = DigestHost(nodes)
    with pytest.raises(WeightsError, match="another network"):
        run(nodes, pool, host)
    assert set(host.kept) == {StateId(0)}


def test_full_disk_ends_the_run_at_once() -> None:
    class FullHost(DigestHost):
        def store(self, node: Node, result: str, *, worker: str, attempt: int) -> str:
            if node.id.frame == 2:
                raise DiskFullError("no space left")
            return super().store(node, result, worker=worker, attempt=attempt)

    nodes = list(independent(Shot(0, 9)))
    host = FullHost(nodes)
    with pytest.raises(DiskFullError):
        run(nodes, VirtualPool(1, 1), host)
    assert set(host.kept) == {StateId(0), StateId(1)}


class SlowHost(DigestHost):
    """Says of a node that it lasts only when it has been asked so often, or something is wrong."""

    def __init__(self, nodes: list[Node], *, asked: int, full: NodeId | None = None) -> None:
        super().__init__(nodes)
        self.left = {node.id: asked for node in nodes}
        self.full = full

    def is_durable(self, node: Node, *, timeout_seconds: float = 0.0) -> bool:
        assert node.id in self.kept
        if node.id == self.full:
            raise DiskFullError("no space left")
        self.left[node.id] -= 1
        return self.left[node.id] < 0


def test_node_is_done_once_its_result_is_durable() -> None:
    nodes = list(chain(Shot(0, 9)))
    host, recorder = run(nodes, VirtualPool(2, 1), SlowHost(nodes, asked=25))
    first_done = recorder.events.index(recorder.of(NodeEventKind.DONE)[0])
    assert len([event for event in recorder.events[:first_done] if event.kind == NodeEventKind.STARTED]) > 3
    assert [event.node.id for event in recorder.of(NodeEventKind.DONE)] == list(host.kept)


def test_run_waits_for_durable_results_and_their_errors() -> None:
    nodes = list(independent(Shot(0, 9)))
    totals = run_plan([Component(nodes, SlowHost(nodes, asked=50))], VirtualPool(9, 1))
    assert totals[NodeEventKind.DONE] == 9
    recorder = Recorder()
    host = SlowHost(nodes, asked=3, full=StateId(8))
    with pytest.raises(DiskFullError):
        run_plan([Component(nodes, host)], VirtualPool(1, 1), listener=recorder)
    assert [event.node.id for event in recorder.of(NodeEventKind.DONE)] == [StateId(frame) for frame in range(8)]


def test_slow_host_does_not_delay_another() -> None:
    slow, fast = (list(independent(shot)) for shot in (Shot(0, 5), Shot(5, 10)))
    recorder = Recorder()
    hosts = [SlowHost(slow, asked=90), DigestHost(fast)]
    components = [Component(nodes, host) for nodes, host in zip((slow, fast), hosts, strict=True)]
    run_plan(components, VirtualPool(1, 1), listener=recorder)
    assert [event.node.id.frame for event in recorder.of(NodeEventKind.DONE)] == [5, 6, 7, 8, 9, 0, 1, 2, 3, 4]


def test_cancelled_run_keeps_finished_nodes() -> None:
    nodes = list(independent(Shot(0, 100)))
    host = DigestHost(nodes)
    with pytest.raises(CancelledError, match="stopped with 5 pieces"):
        run(nodes, VirtualPool(2, 1), host, cancelled=lambda: len(host.kept) >= 5)
    assert len(host.kept) == 5


def test_keyboard_interrupt_cancels() -> None:
    @dataclass
    class Interrupted(VirtualPool):
        def wait(self, timeout_seconds: float) -> list[object]:  # type: ignore[override]
            raise KeyboardInterrupt

    with pytest.raises(CancelledError):
        run(list(independent(Shot(0, 3))), Interrupted(1, 1))


def test_lost_worker_gets_no_more_nodes() -> None:
    nodes = list(independent(Shot(0, 12)))
    pool = VirtualPool(2, 1, moods={(StateId(0), 1): "die"}, lost=frozenset({"style-0"}))
    _, recorder = run(nodes, pool)
    assert [event.worker for event in recorder.of(NodeEventKind.STARTED)].count("style-0") == 1


def test_worker_that_is_away_gets_nothing_until_back() -> None:
    plans = [list(plan) for plan in by_shot(CHAIN, [Shot(0, 30), Shot(30, 60)])]
    hosts = [DigestHost(plan) for plan in plans]
    pool = VirtualPool(2, 1, moods={(StateId(3), 1): "die"}, absence=8)
    moments: dict[str, list[float]] = {}

    def listen(event: NodeEvent) -> None:
        if event.kind is NodeEventKind.STARTED:
            moments.setdefault(event.worker, []).append(pool.now)

    components = [Component(plan, host, number) for number, (plan, host) in enumerate(zip(plans, hosts, strict=True))]
    totals = run_plan(components, pool, listener=listen, clock=pool.clock)
    assert totals[NodeEventKind.DIED] == 1
    assert all(host.kept for host in hosts)
    gone = max(
        moments["style-0"], key=lambda moment: min((x - moment for x in moments["style-0"] if x > moment), default=0)
    )
    back = min(moment for moment in moments["style-0"] if moment > gone)
    assert 8 <= back - gone <= 10  # it had died of what it got last, which took a second
    assert len([moment for moment in moments["style-1"] if gone < moment < back]) > 6


@pytest.mark.parametrize("lost", [False, True])
def test_run_waits_while_all_workers_are_away(lost: bool) -> None:
    nodes = list(chain(Shot(0, 8)))
    pool = VirtualPool(1, 1, moods={(StateId(3), 1): "die"}, absence=60, lost=frozenset({"style-0"} if lost else ()))
    if lost:
        with pytest.raises(FarmError, match=r"all style workers are lost.*gone for good"):
            run(nodes, pool)
        return
    host, recorder = run(nodes, pool)
    assert len(host.kept) == len(nodes)
    assert len(recorder.of(NodeEventKind.DIED)) == 1
    assert pool.now > 60


def test_run_ends_without_a_worker_that_stays_away() -> None:
    nodes = list(chain(Shot(0, 30)))
    host, _ = run(nodes, VirtualPool(2, 1, moods={(StateId(3), 1): "die"}, absence=5, lost=frozenset({"style-0"})))
    assert len(host.kept) == len(nodes)


def test_lane_without_workers_fails_the_run() -> None:
    nodes = list(independent(Shot(0, 12)))
    pool = VirtualPool(1, 1, moods={(StateId(3), 1): "die"}, lost=frozenset({"style-0"}))
    with pytest.raises(FarmError, match="all style workers are lost"):
        run(nodes, pool)
    with pytest.raises(FarmError, match="needs a flow worker and there is none"):
        run(list(chain(Shot(0, 3))), VirtualPool(1, 0))


def test_plan_out_of_order_is_refused() -> None:
    nodes = list(reversed(list(chain(Shot(0, 3)))))
    with pytest.raises(ValueError, match="does not have before it"):
        run_plan([Component(nodes, DigestHost([]))], VirtualPool(1, 1))


def test_finished_plan_is_skipped() -> None:
    nodes = list(chain(Shot(0, 9)))
    totals = run_plan([Component(nodes, DigestHost(nodes, {StateId(frame) for frame in range(9)}))], VirtualPool(1, 1))
    assert (totals[NodeEventKind.DONE], totals[NodeEventKind.SKIPPED]) == (0, 9)
    assert run_plan([], VirtualPool(1, 1)).total() == 0
