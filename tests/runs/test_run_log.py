"""The reduction of a run's event log: what counts as done, failed, suspect or complete, event by event."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from vidnst.runs import RunLog
from vidnst.runs.event_log import EventLog


def done(node: str, **facts: Any) -> dict[str, Any]:
    return {"kind": "done", "node": node, "final": True, **facts}


def log_of(*events: dict[str, Any]) -> RunLog:
    log = RunLog()
    for event in events:
        log.add(event)
    return log


def test_missing_log_has_no_events(tmp_path: Path) -> None:
    log = RunLog.read(tmp_path)
    assert (log.sessions, log.done_nodes, log.complete) == (0, {}, False)


def test_run_is_complete_until_something_is_made_again() -> None:
    for event in (done("0.0"), {"kind": "redo", "nodes": ["0.0"]}, {"kind": "given_up", "node": "0.0"}):
        log = log_of(done("0.0"), {"kind": "finished"})
        assert log.complete
        log.add({"kind": "session"})
        assert log.complete
        log.add(event)
        assert not log.complete


def test_given_up_nodes_fail_their_frames_until_they_are_done() -> None:
    log = log_of(
        {"kind": "given_up", "node": "5.0", "error": "no memory"},
        {"kind": "given_up", "node": "5.1", "error": "no memory", "because": "5.0"},
        {"kind": "given_up", "node": "3<2", "error": "no memory"},
    )
    assert log.failed_frames == {5: "no memory"}
    assert [note.node for note in log.failures] == ["5.0", "3<2"]
    log.add(done("5.0", final=False))
    assert log.failed_frames == {5: "no memory"}
    log.add(done("5.1"))
    assert log.failed_frames == {}


def test_suspects_are_frames_as_they_are_now() -> None:
    log = log_of(done("1.0", suspect="flat"), done("2.0", suspect="black"), done("3.0", repaired="noisy"))
    assert log.suspects == {1: "flat", 2: "black"}
    assert "frame 3" in log.warnings[0].text
    log.add(done("1.0"))
    log.add({"kind": "redo", "nodes": ["2.0"]})
    assert log.suspects == {}


def test_output_being_written_is_known_until_the_run_finishes(tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    writing = {"kind": "writing", "output": str(output)}
    assert log_of(writing).was_writing(output)
    assert not log_of(writing).was_writing(tmp_path / "other.mp4")
    assert not log_of(writing, {"kind": "unwritten"}).was_writing(output)
    assert not log_of(writing, {"kind": "finished"}).was_writing(output)


def test_memory_modes_are_those_of_shots_and_of_present_nodes() -> None:
    half = {"half": True}
    log = log_of(
        {"kind": "memory_mode", "shot": 1, "memory_mode": half},
        {"kind": "memory_mode", "shot": 1, "memory_mode": half},
        {"kind": "memory_mode", "shot": "x", "memory_mode": half},
        done("4.0", memory_mode=half),
        done("5.0", memory_mode=half),
        done("6.0", memory_mode=half),
        done("5.0"),
        {"kind": "redo", "nodes": ["6.0"]},
    )
    assert log.shot_memory_modes == {1: [half]}
    assert log.node_memory_modes == {"4.0": half}


def test_spent_evaluations_include_repetitions() -> None:
    log = log_of(done("0.0", evaluations=9, seconds=1.5), done("0.0", evaluations=8, seconds=2.0))
    assert (log.evaluations, log.result_evaluations) == (17, 8)
    assert (log.frames[0].seconds, log.node_seconds) == (3.5, 3.5)


def test_pace_of_a_session_counts_from_its_start() -> None:
    log = log_of({"kind": "session", "time": 100}, {"kind": "started", "time": 110})
    assert log.frames_per_second is None
    for index in range(4):
        log.add(done(f"{index}.0", time=112 + 2 * index, worker="w", seconds=1.0))
    assert log.frames_per_second == pytest.approx(0.5)
    assert log.seconds_per_frame == pytest.approx(2.0)
    assert log.workers["w"].nodes_per_second == pytest.approx(1.0)
    log.add({"kind": "session", "time": 1000})
    assert (log.frames_per_second, log.workers) == (None, {})
    assert log.seconds_per_frame == pytest.approx(2.0)


def test_read_equals_adding_one_by_one(tmp_path: Path) -> None:
    events = [{"kind": "session", "time": 1.0}, done("0.0", time=2.0, losses={"style": 1.0}), done("1.0", time=3.0)]
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    read, added = RunLog.read(tmp_path), log_of(*events)
    assert read.final_losses(("style",)) == added.final_losses(("style",)) == {0: {"style": 1.0}}
    assert (read.done_frames, read.latest_frames, read.last_time) == (added.done_frames, added.latest_frames, 3.0)


def test_clock_that_jumps_moves_no_time_in_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    log.append("session", {})
    for jump in (-10_000_000.0, 500_000_000.0):
        monkeypatch.setattr(time, "time", lambda jump=jump, real=time.time: real() + jump)
        log.append("started", {"workers": []})
    log.close()
    read = RunLog.read(tmp_path)
    assert 0 <= read.session_seconds < 1000
