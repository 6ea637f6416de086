"""What is told of renders while they run, and after: read only, and true."""

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.media import numbered_pictures, write_pictures
from support.renders import quick_config

import vidnst
from vidnst.errors import CancelledError, RunError
from vidnst.runs import LogReader, RunLog, holds_run, lock_holder
from vidnst.runs.discovery import find_runs, read_batch
from vidnst.runs.folder_lock import FolderLock
from vidnst.runs.status import RunMonitor


def render(folder: Path, *, name: str = "out.mp4", stop_after: int | None = None, frames: int = 4) -> Path:
    write_pictures(folder / "in", numbered_pictures(frames, (64, 48)))
    write_pictures(folder / "style", numbered_pictures(1, (64, 48), first=9))
    seen: list[str] = []
    config = quick_config(optimize={"iterations": 2}, schedule={"kind": "independent"}, farm={"workers": 1})
    vidnst.render(
        folder / "in",
        style=folder / "style" / "0000.png",
        output=folder / name,
        config=config,
        on_event=lambda event: seen.append(event.name),
        cancelled=lambda: stop_after is not None and seen.count("frame_done") >= stop_after,
    )
    return folder / f"{name}.vidnst"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the lock of a folder."""
    script = f"""
        import sys
        from pathlib import Path
        from vidnst.runs.folder_lock import FolderLock
        lock = FolderLock(Path({str(tmp_path / "lock")!r}))
        print("locked", flush=True)
        sys.stdin.read()
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.communicate()


def test_lock_holder_is_seen_without_taking_the_lock(tmp_path: Path, elsewhere: "subprocess.Popen[str]") -> None:
    path = tmp_path / "lock"
    before = path.stat().st_mtime_ns
    assert str(elsewhere.pid) in (lock_holder(path) or "")
    elsewhere.kill()
    elsewhere.wait()
    assert lock_holder(path) is None
    assert path.stat().st_mtime_ns == before
    assert lock_holder(tmp_path / "none") is None
    assert not (tmp_path / "none").exists()
    FolderLock(path).release()


def test_status_of_a_finished_render(tmp_path: Path) -> None:
    folder = render(tmp_path)
    files = sorted(folder.rglob("*"))
    found = RunMonitor().status(folder)
    assert (found.state, found.frames, found.frames_done, found.last_frame) == ("finished", 4, 4, 3)
    assert found.bytes == sum(path.stat().st_size for path in files if path.is_file())
    assert found.per_second is not None
    assert found.per_second > 0
    assert [worker.frames for worker in found.workers] == [4]
    assert sorted(folder.rglob("*")) == files


@pytest.mark.usefixtures("immediate_writes")
def test_stopped_and_killed_renders_have_status_stopped(tmp_path: Path) -> None:
    with pytest.raises(CancelledError):
        render(tmp_path, stop_after=2, frames=6)
    folder = tmp_path / "out.mp4.vidnst"
    found = RunMonitor().status(folder)
    assert found.state == "stopped"
    assert "stopped" in found.message
    assert 2 <= found.frames_done < 6
    assert found.eta_seconds is None
    log = folder / "events.jsonl"
    log.write_text("".join(line for line in log.read_text().splitlines(True) if '"ended"' not in line))
    assert RunMonitor().status(folder).state == "stopped"


def test_running_render_has_a_holder_and_a_remaining_time(tmp_path: Path) -> None:
    folder = render(tmp_path)
    log = folder / "events.jsonl"
    lines = [line for line in log.read_text().splitlines(True) if '"finished"' not in line]
    done = [line for line in lines if '"done"' in line]
    log.write_text("".join(line for line in lines if line not in done[2:]))
    lock = FolderLock(folder / "lock")
    try:
        monitor = RunMonitor()
        first = monitor.status(folder)
        assert (first.state, first.frames_done) == ("running", 2)
        assert f"process {os.getpid()}" in first.holder
        assert first.eta_seconds == pytest.approx(2 / (first.per_second or 0))
        with log.open("a") as file:
            file.write(done[2] + done[3][:20])  # the last line is not all there yet
        assert monitor.status(folder).frames_done == 3
        with log.open("a") as file:
            file.write(done[3][20:])
        assert monitor.status(folder).frames_done == 4
    finally:
        lock.release()


def test_warnings_from_before_the_log_are_recorded(tmp_path: Path) -> None:
    write_pictures(tmp_path / "in", numbered_pictures(2, (64, 48)))
    config = quick_config(optimize={"iterations": 2}, schedule={"kind": "independent"}, input={"size": 1000})
    vidnst.render(tmp_path / "in", style=tmp_path / "in" / "0000.png", output=tmp_path / "o.mp4", config=config)
    assert any(
        "is not enlarged to size 1000" in note.text for note in RunMonitor().status(tmp_path / "o.mp4.vidnst").warnings
    )


def test_log_reader_starts_over_with_a_new_log(tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    reader = LogReader(log)
    assert reader.read_new() == (False, [])
    log.write_text('{"kind":"session"}\nno json\n[1]\n{"kind":"do')
    assert reader.read_new() == (True, [{"kind": "session"}])
    assert reader.read_new() == (False, [])
    log.write_text('{"kind":"x"}\n')
    assert reader.read_new() == (True, [{"kind": "x"}])


def test_redone_frames_count_as_not_done() -> None:
    log = RunLog()
    for index in range(3):
        problem = {"suspect": "flat"} if index == 1 else {}
        log.add({"kind": "done", "node": f"{index}.0", "final": True, "time": 1.0 + index, **problem})
    log.add({"kind": "finished", "time": 5})
    assert (log.done_frames, log.suspects, log.session_end) == ({0, 1, 2}, {1: "flat"}, "finished")
    log.add({"kind": "redo", "nodes": ["1.0"], "time": 6})
    assert (log.done_frames, log.suspects, log.session_end) == ({0, 2}, {}, "")


def test_malformed_events_are_ignored() -> None:
    log = RunLog()
    for event in (
        {"kind": "done", "node": ["x"], "worker": {}, "losses": 3, "seconds": "a", "time": 1e400, "final": True},
        {"kind": "done", "node": "9" * 400 + ".0", "losses": {"a": 10**400}, "time": None, "final": 1},
        {"kind": ["done"]},
        {"kind": "failed", "node": None, "error": "e" * 100_000, "time": -5},
        {"kind": "repeated", "frame": "x"},
        {"kind": "given_up", "node": "4.0", "error": "why"},
        {"time": True},
    ):
        log.add(event)
    assert log.done_frames == set()
    assert log.failed_frames == {4: "why"}
    assert all(len(note.text) <= 2000 for note in log.failures)
    assert log.frames_per_second is None


def test_damaged_run_does_not_hide_others(tmp_path: Path) -> None:
    whole = render(tmp_path)
    broken = tmp_path / "b.mp4.vidnst"
    broken.mkdir()
    (broken / "run.json").write_text("{}")
    (tmp_path / "link.vidnst").symlink_to(whole)
    found = [RunMonitor().status(run) for run in find_runs(tmp_path).runs]
    assert [(status.name, status.state) for status in found] == [("b.mp4", "damaged"), ("out.mp4", "finished")]
    assert find_runs(tmp_path / "out.mp4").runs == (whole,)
    with pytest.raises(RunError, match="there is no"):
        find_runs(tmp_path / "nowhere")


def test_find_runs_lists_jobs_and_runs_of_a_batch(tmp_path: Path) -> None:
    folder = render(tmp_path)
    state = tmp_path / "jobs.batch"
    state.mkdir()
    jobs = [
        {"name": "one", "run_folder": str(folder), "state": "done", "frames": 4, "frames_done": 4},
        {"name": "\x1b[31mtwo", "state": "failed", "message": "there is no x.mp4", "run_folder": "/nowhere"},
        7,
    ]
    (state / "jobs.json").write_text(json.dumps(jobs))
    place = find_runs(state)
    (batch,) = place.batches
    assert [job.name for job in batch.jobs] == ["one", "\x1b[31mtwo"]
    assert find_runs(tmp_path / "jobs.txt") == place
    assert place.runs == (folder,)
    said = subprocess.run(
        [sys.executable, "-m", "vidnst", "status", str(state)], capture_output=True, text=True, check=True
    ).stdout
    assert "there is no x.mp4" in said
    assert "\x1b" not in said
    assert find_runs(Path(os.path.relpath(tmp_path))).runs == (folder,)  # once, however it is named
    (state / "jobs.json").write_text("[")
    with pytest.raises(RunError, match="cannot be read"):
        read_batch(state)
    assert holds_run(find_runs(tmp_path).runs[0])


def test_status_command_prints_json(tmp_path: Path) -> None:
    folder = render(tmp_path)
    command = [sys.executable, "-m", "vidnst", "status", str(folder), "--json"]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert (found["state"], found["frames_done"]) == ("finished", 4)
