"""What every schedule promises: order, uses, roles, separate shots; and which states survive a session."""

from collections import Counter
from itertools import chain as concatenate
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidnst.frames import Shot
from vidnst.plan import SCHEDULES, FlowId, Lane, Node, NodeId, Role, StateId, by_shot, chain, settled

lengths = st.lists(st.integers(1, 12), min_size=1, max_size=6)
kinds = st.sampled_from(sorted(SCHEDULES))


def shots_of(counts: list[int], start: int = 3) -> list[Shot]:
    shots = []
    for count in counts:
        shots.append(Shot(start, start + count))
        start += count
    return shots


@given(kinds, lengths)
def test_every_node_comes_after_all_it_needs_and_only_once(kind: str, counts: list[int]) -> None:
    seen: set[NodeId] = set()
    for node in SCHEDULES[kind](shots_of(counts)):
        assert node.id not in seen
        assert seen.issuperset(node.needs)
        seen.add(node.id)


@given(kinds, lengths)
def test_uses_count_the_nodes_that_need_a_node(kind: str, counts: list[int]) -> None:
    nodes = list(SCHEDULES[kind](shots_of(counts)))
    needed = Counter(need for node in nodes for need in node.needs)
    assert {node.id: node.uses for node in nodes} == {node.id: needed[node.id] for node in nodes}


@given(kinds, lengths)
def test_every_frame_has_exactly_one_final_node(kind: str, counts: list[int]) -> None:
    shots = shots_of(counts)
    finals = [node.id.frame for node in SCHEDULES[kind](shots) if node.final]
    assert finals == list(range(shots[0].start, shots[-1].end))


@given(kinds, lengths)
def test_shots_share_no_node_and_read_no_frame_of_another(kind: str, counts: list[int]) -> None:
    shots = shots_of(counts)
    for node in SCHEDULES[kind](shots):
        shot = shots[node.shot]
        read = {*node.frames, *(need.frame for need in node.needs), node.id.frame}
        assert all(shot.start <= frame < shot.end for frame in read)


@given(kinds, lengths)
def test_roles_say_what_a_node_reads(kind: str, counts: list[int]) -> None:
    for node in SCHEDULES[kind](shots_of(counts)):
        assert isinstance(node.id, FlowId) == (node.role is Role.FLOW) == (node.role.lane is Lane.FLOW)
        assert bool(node.states) == (node.role is Role.WARM)
        assert node.frames[0] == node.id.frame
        for state in node.states:
            assert FlowId(node.id.frame, state.frame) in node.needs


@given(kinds, lengths)
def test_by_shot_gives_the_same_plan_cut_at_the_shots(kind: str, counts: list[int]) -> None:
    shots = shots_of(counts)
    parts = [list(part) for part in by_shot(kind, shots)]
    assert list(concatenate.from_iterable(parts)) == list(SCHEDULES[kind](shots))
    assert [{node.shot for node in part} for part in parts] == [{number} for number in range(len(shots))]


def test_a_plan_for_a_hundred_hours_begins_at_once() -> None:
    nodes = list(islice(chain([Shot(0, 10**9)]), 5))
    assert [str(node.id) for node in nodes] == ["0.0", "1<0", "1.0", "2<1", "2.0"]


def test_a_flow_ranks_before_the_state_that_needs_it_and_both_after_earlier_frames() -> None:
    nodes = list(chain([Shot(0, 4)]))
    assert sorted(nodes, key=lambda node: node.rank) == nodes


def after(nodes: list[Node], finished: set[int], stored: set[int]) -> set[int]:
    done = settled(
        nodes,
        finished=lambda node: node.id.frame in finished,
        stored=lambda name: isinstance(name, StateId) and name.frame in stored,
    )
    return {state.frame for state in done}


def test_a_chain_goes_on_from_its_last_stored_state() -> None:
    nodes = list(chain([Shot(0, 6)]))
    assert after(nodes, {0, 1, 2}, {2}) == {0, 1, 2}


def test_a_deleted_frame_is_made_again_from_the_nearest_stored_state_and_nothing_else_is() -> None:
    nodes = list(chain([Shot(0, 8)]))
    assert after(nodes, set(range(8)) - {5}, {2, 7}) == {0, 1, 2, 6, 7}


def test_a_lost_state_that_is_read_again_sends_a_chain_back_to_the_last_one_that_is_there() -> None:
    nodes = list(chain([Shot(0, 6)]))
    assert after(nodes, {0, 1, 2, 3}, {1}) == {0, 1}
    assert after(nodes, {0, 1, 2, 3}, set()) == set()


@given(lengths, st.data())
def test_what_runs_again_finds_all_it_reads(counts: list[int], data: st.DataObject) -> None:
    nodes = list(chain(shots_of(counts)))
    states = [node.id for node in nodes if isinstance(node.id, StateId)]
    finished = set(data.draw(st.lists(st.sampled_from(states))))
    stored = set(data.draw(st.lists(st.sampled_from(states))))
    done = settled(nodes, finished=lambda node: node.id in finished, stored=lambda name: name in stored)
    assert done <= finished
    for node in nodes:
        if node.role is not Role.FLOW and node.id not in done:
            assert all(state not in done or state in stored for state in node.states)


def test_frames_of_a_shot_must_be_in_order() -> None:
    with pytest.raises(ValueError, match="a shot needs"):
        Shot(4, 4)
