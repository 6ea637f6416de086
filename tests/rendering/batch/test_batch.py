"""Batches: the same bytes as single renders, whatever happens to other jobs or to the batch."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.batches import add_entry, done_nodes_by_job, job_states, output_frames, write_jobs
from support.command_line import Vidnst
from support.killed_batch import kill_and_resume
from support.media import write_burst
from support.worker_utilization import measure_utilization

from vidnst.api import render
from vidnst.errors import BadFrameError, CancelledError, ConfigError, DiskFullError, OutputError, RunError
from vidnst.events import Event, JobChanged, Warned
from vidnst.farm.plan import Node
from vidnst.farm.workers import StyleWorker
from vidnst.media.images import read_image
from vidnst.rendering.batch.job_file import read_jobs
from vidnst.rendering.batch.job_states import ask, read_job_states, state_folder
from vidnst.rendering.batch.run import run_batch
from vidnst.rendering.node_jobs import RenderHost
from vidnst.runs import RunStore, read_events


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidnst.rendering.batch.run.CONTROL_SECONDS", 0.0)


def rows(path: Path) -> dict[str, dict[str, Any]]:
    board = read_job_states(state_folder(path))
    assert board is not None
    return {row["name"]: row for row in board["jobs"]}


class ActOnState:
    """A listener that does something once, when a job enters a state, and keeps the events."""

    def __init__(self, state: str, job: str, act: Callable[[], object]) -> None:
        self._events: list[Event] = []
        self._trigger, self._act = (job, state), act
        self._acted = False

    def __call__(self, event: Event) -> None:
        self._events.append(event)
        if isinstance(event, JobChanged) and (event.job, event.state) == self._trigger and not self._acted:
            self._acted = True
            self._act()

    def states_of(self, job: str) -> list[str]:
        return [event.state for event in self._events if isinstance(event, JobChanged) and event.job == job]


def test_batch_keeps_bytes_of_single_renders(tmp_path: Path, vidnst: Vidnst) -> None:
    path = write_jobs(tmp_path / "batch", clips=3, styles=2)
    status, out, _ = vidnst("batch", path)
    assert (status, out) == (0, "6 done\n")
    assert set(job_states(path).values()) == {"done"}
    for clip in read_jobs(path).clips:
        alone = tmp_path / "alone" / clip.name
        alone.parent.mkdir(exist_ok=True)
        request = clip.request
        render(request.source, style=request.styles, output=alone, config=request.config)
        made = {file.name: file.read_bytes() for file in request.output.iterdir()}
        assert made == {file.name: file.read_bytes() for file in alone.iterdir()}
    nodes, row = done_nodes_by_job(path), rows(path)["clip1-style1"]
    assert (row["frames"], row["frames_done"]) == (5, 5)
    assert row["run_folder"] == f"{row['output']}.vidnst"
    status, out, _ = vidnst("batch", path)
    assert (status, out) == (0, "6 done\n")
    assert done_nodes_by_job(path) == nodes


def test_bad_source_fails_its_job_only(tmp_path: Path, vidnst: Vidnst, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_jobs(tmp_path, clips=2, styles=1)
    (tmp_path / "clips" / "broken.mp4").write_bytes(b"no video" * 100)
    job = RenderHost.job

    def stumble(host: RenderHost, node: Node, *arguments: Any, **options: Any) -> Any:
        if node.id.frame == 3 and "clip0" in host._store.folder.name:
            raise BadFrameError("frame 3 does not decode", "repeat it")
        return job(host, node, *arguments, **options)

    monkeypatch.setattr(RenderHost, "job", stumble)  # fails only when the scheduler comes to it
    add_entry(path, sources=["clips/broken.mp4", "clips/missing.mp4"], styles=["styles/style0.png"])
    status, out, err = vidnst("batch", path)
    assert status == 9
    first, *reasons, last = out.splitlines()
    assert (first, last) == ("1 done, 3 failed", f"see all jobs with: vidnst status {path}")
    failed = {name: row["message"] for name, row in rows(path).items() if row["state"] == "failed"}
    assert reasons == [f"{name} failed: {message}" for name, message in failed.items()]
    assert job_states(path)["clip1-style0"] == "done"
    for name in ("broken", "missing"):
        assert rows(path)[f"{name}-style0"]["state"] == "failed"
        assert f"{name}.mp4" in rows(path)[f"{name}-style0"]["message"]
    assert "frame 3" in rows(path)["clip0-style0"]["message"]
    assert 0 < len(done_nodes_by_job(path)["clip0-style0"]) < len(done_nodes_by_job(path)["clip1-style0"])
    assert "broken-style0: failed: " in err
    status, out, _ = vidnst("batch", path, "--dry-run", "--json")
    assert status == 9
    listed = json.loads(out)
    assert [row["frames"] for row in listed] == [5, 5, None, None]
    assert "missing.mp4" in listed[3]["error"]
    assert listed[1]["evaluations"] > 4


def test_write_error_fails_one_job_full_disk_ends_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, problem = write_jobs(tmp_path, clips=2, styles=1), OutputError("cannot write in frames", "look")
    write = RunStore.write

    def refuse(store: RunStore, *, frames: Any, **options: Any) -> None:
        if "clip0" in store.folder.name and 3 in frames:
            raise problem
        write(store, frames=frames, **options)

    with monkeypatch.context() as patch:
        patch.setattr(RunStore, "write", refuse)
        summary = run_batch(path)
        assert (summary.done, summary.failed) == (1, 1)
        assert "cannot write" in rows(path)["clip0-style0"]["message"]
        problem = DiskFullError("no space left", "make room")
        with pytest.raises(DiskFullError, match="no space left"):
            run_batch(path)
    left = {name: set(nodes) for name, nodes in done_nodes_by_job(path).items()}
    assert run_batch(path).done == 2
    assert len(left["clip0-style0"]) < len(left["clip1-style0"]) == len(set(done_nodes_by_job(path)["clip0-style0"]))
    assert all(len(nodes) == len(set(nodes)) for nodes in done_nodes_by_job(path).values()), "a node was made twice"


def test_running_batch_reloads_job_file(tmp_path: Path) -> None:
    path = write_jobs(tmp_path, clips=1, styles=2)
    write_burst(tmp_path / "clips" / "late", 3, seed=7)
    good, warnings = path.read_text(), []

    def hear(event: Event) -> None:
        if isinstance(event, JobChanged) and (event.job, event.state) == ("clip0-style0", "rendering"):
            path.write_text("jobs: [")
        if isinstance(event, Warned) and "stay as they were" in str(event):
            warnings.append(event)
            path.write_text(good)
            add_entry(path, sources="clips/late", styles="styles/style0.png", priority=5)

    assert run_batch(path, on_event=hear).done == 3
    assert len(warnings) == 1
    assert job_states(path)["late-style0"] == "done"


def test_pause_resume_and_cancel_of_running_jobs(tmp_path: Path) -> None:
    path = write_jobs(tmp_path, clips=3, styles=1, frames=8)
    pause = ActOnState("rendering", "clip0-style0", lambda: ask(path, "pause", "clip0-style0"))
    cancel = ActOnState("rendering", "clip1-style0", lambda: ask(path, "cancel", "clip1-*"))
    resume = ActOnState("done", "clip2-style0", lambda: ask(path, "resume", "all"))
    seen: dict[str, int] = {}

    def hear(event: Event) -> None:
        for one in (pause, cancel, resume):
            one(event)
        if isinstance(event, JobChanged) and event.state in ("paused", "done"):
            seen.setdefault(f"{event.job} {event.state}", len(done_nodes_by_job(path).get("clip0-style0", [])))

    summary = run_batch(path, on_event=hear)
    assert "paused" in pause.states_of("clip0-style0")
    assert pause.states_of("clip0-style0").index("paused") < pause.states_of("clip0-style0").index("encoding")
    # Nodes that workers had when it was paused are still finished; no others are begun.
    assert seen["clip2-style0 done"] <= seen["clip0-style0 paused"] + 3
    assert "cancelled" in cancel.states_of("clip1-style0")
    assert summary.done == 3  # `all` includes the cancelled job, which resumes
    assert len(output_frames(path)) == 24
    done = done_nodes_by_job(path)["clip1-style0"]
    assert len(done) == len(set(done)) == len(done_nodes_by_job(path)["clip2-style0"])


def test_cancelled_job_stays_cancelled_until_resumed(tmp_path: Path) -> None:
    path = write_jobs(tmp_path, clips=2, styles=1)
    with pytest.raises(RunError, match="never been started"):
        ask(path, "pause", "all")
    listen = ActOnState("preparing", "clip0-style0", lambda: ask(path, "cancel", "clip1-style0"))
    assert run_batch(path, on_event=listen).cancelled == 1
    assert run_batch(path).cancelled == 1
    with pytest.raises(ConfigError, match="clip9"):
        ask(path, "cancel", "clip9")
    ask(path, "resume", "jobs[0]")
    assert run_batch(path).done == 2


def test_stopped_batch_resumes_to_same_bytes(tmp_path: Path) -> None:
    undisturbed, path = (write_jobs(tmp_path / name, clips=2, styles=2) for name in ("undisturbed", "stopped"))
    run_batch(undisturbed)
    nodes = 0

    def stop() -> bool:
        nonlocal nodes
        nodes = sum(map(len, done_nodes_by_job(path).values()))
        return nodes > 12

    with pytest.raises(CancelledError, match=r"vidnst batch .*jobs\.yaml"):
        run_batch(path, cancelled=stop)
    assert "queued" in job_states(path).values()
    assert run_batch(path).done == 4
    assert output_frames(path) == output_frames(undisturbed)
    assert {name: sorted(done) for name, done in done_nodes_by_job(path).items()} == {
        name: sorted(done) for name, done in done_nodes_by_job(undisturbed).items()
    }
    kinds = [event["kind"] for event in read_events(state_folder(path) / "events.jsonl")]
    assert kinds.count("session") == 2


def test_changed_settings_do_not_reuse_finished_output(tmp_path: Path) -> None:
    path = write_jobs(tmp_path, clips=1, styles=1)
    run_batch(path)
    path.write_text(path.read_text().replace('"iterations": 4', '"iterations": 5'))
    assert run_batch(path).failed == 1
    assert "exists already" in rows(path)["clip0-style0"]["message"]


@pytest.mark.slow
def test_killed_batch_renders_each_node_once_to_same_bytes(tmp_path: Path) -> None:
    differences = kill_and_resume(tmp_path, kills=4, seed=3)
    assert differences["all_done"]
    assert differences["same_bytes"]
    assert (differences["repeated"], differences["missing"], differences["frames"]) == (0, 0, 40)


def test_batch_keeps_workers_busy(tmp_path: Path) -> None:
    measured = measure_utilization(tmp_path, clips=14, styles=3, workers=8, seconds=8, timeless=True)
    assert (measured["jobs"], measured["nodes"]) == (42, 42 * 12)
    assert measured["looks"] == 3  # clips in the same style share a style set
    assert measured["busy_share"] > 0.97
    assert measured["busy_share_with_the_end"] > 0.96  # chains begun too late would leave workers idle


def test_jobs_start_by_priority_then_by_order(tmp_path: Path) -> None:
    path = write_jobs(tmp_path, clips=2, styles=2)
    write_burst(tmp_path / "clips" / "urgent", 3, seed=7)
    add_entry(path, sources="clips/urgent", styles="styles/style0.png", priority=5)
    begun: list[str] = []

    def hear(event: Event) -> None:
        if isinstance(event, JobChanged) and event.state == "preparing":
            begun.append(event.job)

    run_batch(path, on_event=hear)
    assert begun == ["urgent-style0", "clip0-style0", "clip0-style1", "clip1-style0", "clip1-style1"]


def test_failed_frame_fails_its_job_only_and_is_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_jobs(tmp_path, clips=2, styles=1)
    with monkeypatch.context() as patched:
        run = StyleWorker.run

        def stumble(worker: StyleWorker, job: Any, **options: Any) -> Any:
            if job.node.frame == 3 and job.content.sum() % 1000 == spoilt:
                raise ValueError("spoilt")
            return run(worker, job, **options)

        spoilt = int(read_image(tmp_path / "clips" / "clip0" / "003.png").sum() % 1000)
        patched.setattr(StyleWorker, "run", stumble)
        summary = run_batch(path)
    assert (summary.done, summary.failed) == (1, 1)
    assert "spoilt" in rows(path)["clip0-style0"]["message"]
    before = done_nodes_by_job(path)["clip0-style0"]
    assert run_batch(path).done == 2
    assert done_nodes_by_job(path)["clip0-style0"][: len(before)] == before
    assert sorted(done_nodes_by_job(path)["clip0-style0"]) == sorted(done_nodes_by_job(path)["clip1-style0"])
