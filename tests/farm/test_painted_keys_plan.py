"""Plans with painted keys: all frames follow the painted ones, which nothing changes."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidnst.config import Role, ScheduleConfig
from vidnst.farm.plan import FlowId, GivenFrames, Node, NodeId, StateId
from vidnst.farm.schedules import by_shot, plan_shot, training_of
from vidnst.frames import Shot

schedules = st.builds(
    ScheduleConfig, kind=st.sampled_from(["keys", "network"]), spacing=st.integers(1, 7), passes=st.integers(0, 3)
)
keyed_shots = st.integers(1, 40).flatmap(
    lambda length: st.tuples(
        st.just(Shot(3, 3 + length)),
        st.sets(st.integers(3, 2 + length), min_size=1, max_size=4),
        st.sets(st.integers(3, 2 + length), max_size=2),
    )
)


def plan_of(schedule: ScheduleConfig, shot: Shot, whole: set[int], partial: set[int]) -> list[Node]:
    frames = GivenFrames(frozenset(whole - partial), frozenset(partial))
    return list(plan_shot(schedule, shot, number=0, given=frames))


@given(schedules, keyed_shots)
def test_nodes_come_after_their_needs_and_count_uses(
    schedule: ScheduleConfig, keyed: tuple[Shot, set[int], set[int]]
) -> None:
    nodes = plan_of(schedule, *keyed)
    seen: set[NodeId] = set()
    for node in nodes:
        assert node.id not in seen
        assert seen.issuperset(node.needs)
        assert set(node.stored_needs) == {source.state for source in node.sources}
        seen.add(node.id)
    needed = Counter(need for node in nodes for need in node.needs)
    assert {node.id: node.uses for node in nodes} == {node.id: needed[node.id] for node in nodes}


@given(schedules, keyed_shots)
def test_each_frame_is_final_once_and_whole_keys_first(
    schedule: ScheduleConfig, keyed: tuple[Shot, set[int], set[int]]
) -> None:
    shot, whole, partial = keyed
    finals = {node.id.frame: node for node in plan_of(schedule, *keyed) if node.final}
    assert sorted(finals) == list(shot.indices)
    for frame in whole - partial:
        assert finals[frame].id == StateId(frame)
        assert finals[frame].role is (Role.GIVEN if schedule.kind == "keys" else Role.PAINT)
        assert not finals[frame].needs


@given(schedules, keyed_shots)
def test_flows_of_starts_and_compositions_join_up(
    schedule: ScheduleConfig, keyed: tuple[Shot, set[int], set[int]]
) -> None:
    for node in plan_of(schedule, *keyed):
        for source in node.sources:
            if source.flow is not None:
                assert {source.flow.frame, source.flow.reference} == {source.state.frame, node.id.frame}
                assert source.flow in node.needs
        if isinstance(node.id, FlowId) and node.needs:
            one, two = node.needs
            assert isinstance(one, FlowId)
            assert isinstance(two, FlowId)
            assert (one.frame, one.reference, two.reference) == (node.id.frame, two.frame, node.id.reference)


def test_key_far_from_two_paintings_starts_from_both() -> None:
    nodes = {node.id: node for node in plan_of(ScheduleConfig(spacing=8, passes=0), Shot(0, 25), {0, 24}, set())}
    shares = {source.state.frame: source.weight for source in nodes[StateId(16)].sources}
    assert shares == {0: pytest.approx(1 / 3), 24: pytest.approx(2 / 3), 8: 0.01}
    assert [source.state.frame for source in nodes[StateId(20)].sources] == [16, 24]


def test_frames_before_the_first_painting_follow_backwards() -> None:
    nodes = {node.id: node for node in plan_of(ScheduleConfig(spacing=8, passes=1), Shot(0, 20), {16}, set())}
    assert [source.state.frame for source in nodes[StateId(8)].sources] == [16]
    assert [source.state.frame for source in nodes[StateId(0)].sources] == [16, 8]
    assert StateId(16, 1) not in nodes
    assert StateId(16) in nodes[StateId(15, 1)].needs


def test_network_learns_all_paintings_and_passes_only_average() -> None:
    shots, given_frames = [Shot(0, 12), Shot(12, 20)], GivenFrames(frozenset({2, 9}), frozenset({15}))
    schedule = ScheduleConfig(kind="network", passes=7)
    stages = [node for node in training_of(schedule, shots, given_frames) if node.role is Role.TRAIN]
    assert {2, 9, 15} <= set(stages[0].frames)
    counts = Counter(frame for node in stages[1:] for frame in node.frames)
    assert min(counts[frame] for frame in (2, 9, 15)) >= len(stages[1:]) // 2
    nodes = [node for plan in by_shot(schedule, shots, given_frames) for node in plan]
    states = {node.id for node in nodes if isinstance(node.id, StateId)}
    assert max(state.pass_index for state in states if isinstance(state, StateId)) == 2
    assert {StateId(2, 1), StateId(9, 1)}.isdisjoint(states)
    assert StateId(15, 2) in states
    assert all(node.follows for node in nodes if node.role is Role.RELAX)


def test_shots_without_paintings_keep_their_plan() -> None:
    shots, schedule = [Shot(0, 9), Shot(9, 20)], ScheduleConfig()
    with_key = [list(nodes) for nodes in by_shot(schedule, shots, GivenFrames(frozenset({3})))]
    without = [list(nodes) for nodes in by_shot(schedule, shots)]
    assert with_key[1] == without[1]
    assert with_key[0] != without[0]
    assert not any(node.follows for nodes in without for node in nodes)
