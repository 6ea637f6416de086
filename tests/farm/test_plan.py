"""Invariants of every schedule: order, uses, roles, separate shots, and the states that need not run again."""

import tracemalloc
from collections import Counter
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fake_workers import plan_of_shots

from vidnst.config import Role, ScheduleConfig
from vidnst.config.temporal import TrainingConfig
from vidnst.farm.plan import FlowId, Lane, NetworkId, Node, NodeId, StateId, finished_nodes
from vidnst.farm.schedules import by_shot, chain, key_frames, keys, training_pairs, training_plan
from vidnst.frames import Shot

lengths = st.lists(st.integers(1, 12), min_size=1, max_size=6)
schedules = st.one_of(
    st.builds(ScheduleConfig, kind=st.sampled_from(["chain", "independent"])),
    st.builds(
        ScheduleConfig, kind=st.just("keys"), spacing=st.integers(1, 7), passes=st.integers(0, 4), loop=st.booleans()
    ),
    st.builds(ScheduleConfig, kind=st.just("network"), passes=st.integers(0, 4), loop=st.booleans()),
)


def shots_of(counts: list[int], start: int = 3) -> list[Shot]:
    shots = []
    for count in counts:
        shots.append(Shot(start, start + count))
        start += count
    return shots


@given(schedules, lengths)
def test_every_node_comes_after_all_it_needs_and_only_once(schedule: ScheduleConfig, counts: list[int]) -> None:
    seen: set[NodeId] = set()
    for node in plan_of_shots(schedule, shots_of(counts)):
        assert node.id not in seen
        assert seen.issuperset(node.needs)
        seen.add(node.id)


@given(schedules, lengths)
def test_uses_count_the_nodes_that_need_a_node(schedule: ScheduleConfig, counts: list[int]) -> None:
    nodes = list(plan_of_shots(schedule, shots_of(counts)))
    needed = Counter(need for node in nodes for need in node.needs)
    assert {node.id: node.uses for node in nodes} == {node.id: needed[node.id] for node in nodes}


@given(schedules, lengths)
def test_every_frame_has_exactly_one_final_node(schedule: ScheduleConfig, counts: list[int]) -> None:
    shots = shots_of(counts)
    finals = [node.id.frame for node in plan_of_shots(schedule, shots) if node.final]
    assert sorted(finals) == list(range(shots[0].start, shots[-1].end))


@given(schedules, lengths)
def test_shots_share_no_node_and_read_no_frame_of_another(schedule: ScheduleConfig, counts: list[int]) -> None:
    shots = shots_of(counts)
    for node in plan_of_shots(schedule, shots):
        shot = shots[node.shot]
        read = {*node.frames, *(need.frame for need in node.needs), node.id.frame}
        assert all(shot.start <= frame < shot.end for frame in read)


@given(schedules, lengths)
def test_roles_say_what_a_node_reads(schedule: ScheduleConfig, counts: list[int]) -> None:
    for node in plan_of_shots(schedule, shots_of(counts)):
        assert isinstance(node.id, FlowId) == (node.role is Role.FLOW) == (node.lane is Lane.FLOW)
        assert bool(node.stored_needs) == (node.role not in (Role.FLOW, Role.COLD, Role.PAINT))
        assert node.frames[0] == node.id.frame
        assert set(node.stored_needs) == {source.state for source in node.sources}


trainings = st.builds(
    TrainingConfig,
    steps=st.integers(1, 300),
    stage_steps=st.just(10),
    pairs=st.integers(1, 5),
    apart=st.integers(1, 7),
)


@given(trainings, lengths)
def test_stages_of_a_training_follow_each_other(training: TrainingConfig, counts: list[int]) -> None:
    shots = shots_of(counts)
    nodes = list(training_plan(shots, training))
    stages = [node for node in nodes if node.role is Role.TRAIN]
    assert [node.id for node in stages] == [NetworkId(3, stage) for stage in range(1, training.stages + 1)]
    assert sum(training.steps_of(stage) for stage in range(1, training.stages + 1)) == training.steps
    assert [node.stored_needs for node in stages] == [(), *((node.id,) for node in stages[:-1])]
    seen: Counter[NodeId] = Counter()
    for node in nodes:
        assert seen.keys() >= set(node.needs)
        seen[node.id] += 1
    needed = Counter(need for node in nodes for need in node.needs)
    assert all(seen[node.id] == 1 and node.uses == needed[node.id] for node in nodes)


@given(trainings, lengths)
def test_pairs_of_a_training_are_near_and_far_and_within_shots(training: TrainingConfig, counts: list[int]) -> None:
    shots = shots_of(counts)
    for node in training_plan(shots, training):
        flows = [need for need in node.needs if isinstance(need, FlowId)]
        read = {frame for flow in flows for frame in (flow.frame, flow.reference)}
        assert node.role is Role.FLOW or read <= set(node.frames)
        for flow in flows:
            shot = next(shot for shot in shots if shot.start <= flow.frame < shot.end)
            assert shot.start <= flow.reference < flow.frame
            assert flow.frame - flow.reference in (1, min(training.apart, len(shot) - 1))


@given(st.integers(1, 60))
def test_a_training_reads_all_parts_of_a_clip(count: int) -> None:
    pairs = [training_pairs([Shot(5, 5 + count)], TrainingConfig(), stage) for stage in range(1, 11)]
    fourths = {(frame - 5) * 4 // count for stage in pairs for pair in stage for frame in pair}
    assert len(fourths) == min(4, count)


def test_flows_of_a_training_do_not_wait_for_the_window() -> None:
    nodes = list(training_plan([Shot(0, 100)], TrainingConfig(steps=64)))
    assert {node.window_frame for node in nodes if isinstance(node.id, FlowId)} == {None}
    assert {node.window_frame for node in nodes if node.role is Role.TRAIN} == {0}


@given(schedules, lengths)
def test_flow_of_a_start_joins_its_frame_and_the_nodes(schedule: ScheduleConfig, counts: list[int]) -> None:
    for node in plan_of_shots(schedule, shots_of(counts)):
        for source in node.sources:
            if source.flow is None:
                assert source.state.frame == node.id.frame
            else:
                assert source.flow in node.needs
                assert {source.flow.frame, source.flow.reference} == {source.state.frame, node.id.frame}


@given(schedules, lengths)
def test_refined_flow_composes_the_two_it_needs(schedule: ScheduleConfig, counts: list[int]) -> None:
    for node in plan_of_shots(schedule, shots_of(counts)):
        if isinstance(node.id, FlowId) and node.needs:
            first, second = node.needs
            assert isinstance(first, FlowId)
            assert isinstance(second, FlowId)
            assert (first.frame, second.reference) == (node.id.frame, node.id.reference)
            assert first.reference == second.frame


@given(st.integers(1, 60), st.integers(1, 9), st.booleans())
def test_keys_are_evenly_spread_within_the_spacing(count: int, spacing: int, loop: bool) -> None:
    shot = Shot(7, 7 + count)
    key_places = key_frames(shot, spacing=spacing, loop=loop)
    assert key_places[0] == 7
    closed = [*key_places, shot.end] if loop else key_places
    gaps = [right - left for left, right in pairwise(closed)]
    assert all(1 <= gap <= spacing for gap in gaps)
    assert not gaps or max(gaps) - min(gaps) <= 1
    assert loop or key_places[-1] == shot.end - 1


@given(st.integers(2, 40), st.integers(1, 9), st.integers(0, 3), st.booleans())
def test_only_the_keys_wait_for_each_other(count: int, spacing: int, passes: int, loop: bool) -> None:
    """With workers without end a shot takes its keys in a row, one in-between, and the passes."""
    shot = Shot(0, count)
    depth: dict[NodeId, int] = {}
    for node in keys(shot, spacing=spacing, passes=passes, loop=loop):
        depth[node.id] = max((depth[need] for need in node.needs), default=0) + (node.role is not Role.FLOW)
    chain_length = len(key_frames(shot, spacing=spacing, loop=loop))
    between = int(spacing > 1 and count > (1 if loop else 2))
    assert max(depth.values()) <= chain_length + between + passes


@given(st.integers(2, 40), st.integers(1, 9), st.integers(1, 3), st.booleans())
def test_pass_reads_frame_and_neighbours_of_pass_before(count: int, spacing: int, passes: int, loop: bool) -> None:
    for node in keys(Shot(0, count), spacing=spacing, passes=passes, loop=loop):
        if node.role is not Role.RELAX:
            continue
        assert isinstance(node.id, StateId)
        around = {node.id.frame + step for step in (-1, 0, 1)}
        around = {frame % count for frame in around} if loop else {frame for frame in around if 0 <= frame < count}
        assert set(node.stored_needs) == {StateId(frame, node.id.pass_index - 1) for frame in around}


@given(st.integers(3, 40), st.integers(1, 9))
def test_nearer_key_weighs_more_in_between(count: int, spacing: int) -> None:
    shot = Shot(0, count)
    key_places = key_frames(shot, spacing=spacing)
    for node in keys(shot, spacing=spacing, passes=0):
        if node.role is Role.BETWEEN:
            left, right = node.sources
            frame = node.id.frame
            assert left.state.frame == max(key for key in key_places if key < frame)
            assert right.state.frame == min(key for key in key_places if key > frame)
            assert left.weight + right.weight == pytest.approx(1)
            assert (left.weight > right.weight) == (frame - left.state.frame < right.state.frame - frame)


@given(st.integers(3, 40), st.integers(1, 9), st.integers(1, 3))
def test_in_a_loop_the_first_frame_follows_the_last(count: int, spacing: int, passes: int) -> None:
    nodes = list(keys(Shot(0, count), spacing=spacing, passes=passes, loop=True))
    assert FlowId(0, count - 1) in {node.id for node in nodes}
    first = next(node for node in nodes if node.id == StateId(0, 1))
    assert StateId(count - 1) in first.stored_needs


def test_a_clip_of_several_shots_is_no_loop() -> None:
    schedule = ScheduleConfig(loop=True)
    shots = shots_of([9, 9])
    flows = {node.id for node in plan_of_shots(schedule, shots) if isinstance(node.id, FlowId)}
    assert all(flow.reference < flow.frame for flow in flows)


def test_a_shot_of_one_frame_is_one_cold_node() -> None:
    for loop in (False, True):
        (node,) = keys(Shot(4, 5), loop=loop)
        assert (node.role, node.final, node.uses) == (Role.COLD, True, 0)


@given(schedules, lengths)
def test_by_shot_gives_each_shot_a_plan_of_its_own(schedule: ScheduleConfig, counts: list[int]) -> None:
    parts = [list(part) for part in by_shot(schedule, shots_of(counts))]
    assert [{node.shot for node in part} for part in parts] == [{number} for number in range(len(counts))]


def test_plan_of_keys_for_a_hundred_hours_begins_at_once() -> None:
    assert next(keys(Shot(0, 8 * 10**6 + 1))).uses == 10  # seven in-betweens, a key, and two nodes of the first pass


def test_uses_are_counted_right_far_into_a_long_shot() -> None:
    nodes = list(islice(keys(Shot(0, 10**6), spacing=16, passes=6), 6_000))
    needed = Counter(need for node in nodes for need in node.needs)
    assert all(node.uses == needed[node.id] for node in nodes[:4_000])


def test_rank_puts_keys_first_and_states_after_needs() -> None:
    nodes = sorted((node for node in keys(Shot(0, 40)) if node.role is not Role.FLOW), key=lambda node: node.rank)
    first = [node.role in (Role.COLD, Role.KEY) for node in nodes]
    assert first == sorted(first, reverse=True)
    places = {node.id: place for place, node in enumerate(nodes)}
    assert all(places[need] < place for place, node in enumerate(nodes) for need in node.stored_needs)


def test_rank_finishes_frames_before_the_first_pass_ends() -> None:
    nodes = sorted((node for node in keys(Shot(0, 400)) if node.role is not Role.FLOW), key=lambda node: node.rank)
    frames = [node.id.frame for node in nodes if node.final]
    assert frames == sorted(frames)
    ahead, furthest = [], 0
    for node in nodes:
        furthest = max(furthest, node.id.frame if node.role is Role.BETWEEN else 0)
        if node.final:
            ahead.append(furthest - node.id.frame)
    assert max(ahead) < 20


def test_a_plan_for_a_hundred_hours_begins_at_once() -> None:
    nodes = list(islice(chain(Shot(0, 10**9)), 5))
    assert [str(node.id) for node in nodes] == ["0.0", "1<0", "1.0", "2<1", "2.0"]


def test_flow_ranks_just_before_the_state_that_needs_it() -> None:
    nodes = list(chain(Shot(0, 4)))
    assert sorted(nodes, key=lambda node: node.rank) == nodes


def after(nodes: list[Node], finished: set[int], stored: set[int]) -> set[int]:
    done = finished_nodes(
        nodes,
        finished=lambda node: node.id.frame in finished,
        stored=lambda name: isinstance(name, StateId) and name.frame in stored,
    )
    return {state.frame for state in done}


def test_chain_resumes_from_its_last_stored_state() -> None:
    nodes = list(chain(Shot(0, 6)))
    assert after(nodes, {0, 1, 2}, {2}) == {0, 1, 2}


def test_deleted_frame_reruns_from_nearest_stored_state() -> None:
    nodes = list(chain(Shot(0, 8)))
    assert after(nodes, set(range(8)) - {5}, {2, 7}) == {0, 1, 2, 6, 7}


def test_lost_state_sends_a_chain_back_to_a_stored_one() -> None:
    nodes = list(chain(Shot(0, 6)))
    assert after(nodes, {0, 1, 2, 3}, {1}) == {0, 1}
    assert after(nodes, {0, 1, 2, 3}, set()) == set()


def test_finished_nodes_keeps_no_nodes() -> None:
    def bytes_for(frames: int) -> int:
        nodes = keys(Shot(0, frames), passes=7)
        tracemalloc.start()
        try:
            finished_nodes(nodes, finished=lambda node: False, stored=lambda name: False)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    bytes_for(40)
    assert (bytes_for(400) - bytes_for(200)) / 200 < 5000  # 3.2 kB of names for each frame; with the nodes it was 8.7


@given(schedules, lengths, st.data())
def test_nodes_that_run_again_can_read_their_needs(
    schedule: ScheduleConfig, counts: list[int], data: st.DataObject
) -> None:
    nodes = plan_of_shots(schedule, shots_of(counts))
    states = [node.id for node in nodes if isinstance(node.id, StateId)]
    finished = set(data.draw(st.lists(st.sampled_from(states))))
    stored = set(data.draw(st.lists(st.sampled_from(states))))
    done = finished_nodes(nodes, finished=lambda node: node.id in finished, stored=lambda name: name in stored)
    assert done <= finished
    for node in nodes:
        if node.role is not Role.FLOW and node.id not in done:
            assert all(state not in done or state in stored for state in node.stored_needs)


def test_frames_of_a_shot_must_be_in_order() -> None:
    with pytest.raises(ValueError, match="a shot needs"):
        Shot(4, 4)
