"""Warnings and stages in the event log of a run, in a batch and before the first frame."""

from pathlib import Path
from typing import Any

import pytest
from support.batches import write_jobs
from support.media import write_burst
from support.renders import logged_events, quick_config

import vidnst
from vidnst.errors import CancelledError, RunError
from vidnst.events import Event, Stage, Warned, ignore
from vidnst.rendering import run_setup
from vidnst.rendering.batch.run import run_batch
from vidnst.runs import read_events
from vidnst.runs.event_recorder import EventRecorder


def logged(folder: Path, kind: str, key: str) -> list[str]:
    return [event[key] for event in logged_events(folder, kind)]


def test_batch_job_logs_stages_and_warnings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_jobs(tmp_path, clips=2, styles=1, frames=3)

    def suspicious(folder: Path, on_event: Any) -> None:
        on_event(Warned(f"look at {folder.name}"))

    monkeypatch.setattr("vidnst.rendering.pipeline.report_suspects", suspicious)
    heard: list[str] = []
    run_batch(path, on_event=lambda event: heard.append(str(event)) if isinstance(event, Warned) else None)
    for name in ("clip0-style0", "clip1-style0"):
        folder = tmp_path / "out" / f"{name}.vidnst"
        assert logged(folder, "warned", "message") == [f"look at {name}.vidnst"]
        assert logged(folder, "stage", "stage")[-1] == "encoding"
        (started,) = logged_events(folder, "started")
        assert (started["frames"], started["frames_done"]) == (3, 0)
        assert started["workers"]
        kinds = [event["kind"] for event in read_events(folder / "events.jsonl")]
        assert kinds.index("started") < kinds.index("done")
        assert "ended" not in kinds
    assert sorted(heard) == [f"clip{n}-style0: look at clip{n}-style0.vidnst" for n in range(2)]


def test_stopped_batch_logs_end_of_open_runs(tmp_path: Path) -> None:
    path = write_jobs(tmp_path, clips=2, styles=1)
    logs = [tmp_path / "out" / f"clip{n}-style0.vidnst" for n in range(2)]

    def stop() -> bool:
        return sum(len(logged(log, "done", "node")) for log in logs if (log / "events.jsonl").exists()) > 3

    with pytest.raises(CancelledError):
        run_batch(path, cancelled=stop)
    assert [how for log in logs for how in logged(log, "ended", "how")] == ["stopped", "stopped"]


def test_failed_job_logs_its_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_jobs(tmp_path, clips=1, styles=1)

    def fail(*_: object, **__: object) -> None:
        raise RunError("no room for it", "make some")

    monkeypatch.setattr("vidnst.rendering.pipeline.encode_output", fail)
    assert run_batch(path).failed == 1
    folder = tmp_path / "out" / "clip0-style0.vidnst"
    assert logged(folder, "ended", "how") == ["failed"]
    assert "no room for it" in logged(folder, "ended", "message")[0]


def test_events_before_first_frame_are_logged(style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events from before the run folder exists and from its setup, and the error that ended it."""
    source = write_burst(tmp_path / "clip", 3)
    check, study = run_setup.check_request, run_setup.study_source

    def prepare(*arguments: Any, on_event: Any, **options: Any) -> Any:
        on_event(Warned("early"))
        return check(*arguments, on_event=on_event, **options)

    def look(checked: Any, store: Any, shots: Any, on_event: Any, cancelled: Any) -> Any:
        on_event(Stage("looking"))
        on_event(Warned("dark"))
        if broken:
            raise RunError("too dark", "light it")
        return study(checked, store, shots, on_event, cancelled)

    monkeypatch.setattr(run_setup, "check_request", prepare)
    monkeypatch.setattr(run_setup, "study_source", look)
    for broken in (True, False):
        try:
            vidnst.render(source, style=style, output=tmp_path / "out", config=quick_config())
        except RunError:
            assert broken
    folder = tmp_path / "out.vidnst"
    assert logged(folder, "warned", "message") == ["early", "dark"] * 2
    assert logged(folder, "stage", "stage").count("looking") == 2
    assert logged(folder, "ended", "how") == ["failed"]
    assert logged(folder, "ended", "message")[0].startswith("too dark")


class FakeStore:
    """Stands for a run folder and keeps the recorded lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def record(self, kind: str, **facts: Any) -> None:
        self.lines.append(f"{kind} {facts.get('message', facts.get('stage', ''))}")


def test_recorder_keeps_order_and_logs_each_stage_once() -> None:
    seen: list[Event] = []
    recorder, store = EventRecorder(seen.append), FakeStore()
    for event in (Stage("indexing", 0, 9), Stage("indexing", 5, 9), Warned("odd"), Stage("loading")):
        recorder(event)
    recorder.keep_in(store)  # type: ignore[arg-type]
    recorder(Stage("loading", 1, 2))
    recorder(Stage("shots"))
    assert store.lines == ["stage indexing", "warned odd", "stage loading", "stage shots"]
    assert len(seen) == 6
    recorder.end("stopped", "asked to")
    recorder(Warned("late"))
    assert store.lines[4:] == ["ended asked to"]


def test_closed_recorder_writes_nothing() -> None:
    recorder, store = EventRecorder(ignore), FakeStore()
    recorder.keep_in(store)  # type: ignore[arg-type]
    recorder.close()
    recorder(Warned("late"))
    recorder.end("failed", "late, too")
    assert store.lines == []
