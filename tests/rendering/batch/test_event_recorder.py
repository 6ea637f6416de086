"""What a run's log keeps of warnings and stages, in a batch and before the first frame."""

from pathlib import Path
from typing import Any

import pytest
from support.batches import write_jobs
from support.media import write_burst, write_style
from support.renders import QUICK

import vidnst
from vidnst.config.loader import build_config
from vidnst.errors import CancelledError, RunError
from vidnst.events import Event, Stage, Warned, ignore
from vidnst.rendering import run_setup
from vidnst.rendering.batch.run import run_batch
from vidnst.runs import read_events
from vidnst.runs.event_recorder import EventRecorder


def log_of(folder: Path) -> list[dict[str, Any]]:
    return list(read_events(folder / "events.jsonl"))


def told(folder: Path, kind: str, fact: str) -> list[str]:
    return [event[fact] for event in log_of(folder) if event["kind"] == kind]


def test_a_job_of_a_batch_keeps_its_stages_and_its_warnings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_jobs(tmp_path, clips=2, styles=1, frames=3)

    def suspicious(folder: Path, on_event: Any) -> None:
        on_event(Warned(f"look at {folder.name}"))

    monkeypatch.setattr("vidnst.rendering.pipeline.report_suspects", suspicious)
    heard: list[str] = []
    run_batch(path, on_event=lambda event: heard.append(str(event)) if isinstance(event, Warned) else None)
    for name in ("clip0-style0", "clip1-style0"):
        folder = tmp_path / "out" / f"{name}.vidnst"
        assert told(folder, "warned", "message") == [f"look at {name}.vidnst"]
        assert told(folder, "stage", "stage")[-1] == "encoding"
        (started,) = [event for event in log_of(folder) if event["kind"] == "started"]
        assert (started["frames"], started["frames_done"]) == (3, 0)
        assert started["workers"]
        kinds = [event["kind"] for event in log_of(folder)]
        assert kinds.index("started") < kinds.index("done")
        assert "ended" not in kinds
    assert sorted(heard) == [f"clip{n}-style0: look at clip{n}-style0.vidnst" for n in range(2)]


def test_a_batch_that_is_stopped_says_so_in_the_runs_it_had_in_work(tmp_path: Path) -> None:
    path = write_jobs(tmp_path, clips=2, styles=1)
    logs = [tmp_path / "out" / f"clip{n}-style0.vidnst" for n in range(2)]

    def stop() -> bool:
        return sum(len(told(log, "done", "node")) for log in logs if (log / "events.jsonl").exists()) > 3

    with pytest.raises(CancelledError):
        run_batch(path, cancelled=stop)
    assert [how for log in logs for how in told(log, "ended", "how")] == ["stopped", "stopped"]


def test_a_job_that_fails_says_so_in_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_jobs(tmp_path, clips=1, styles=1)

    def fail(*_: object, **__: object) -> None:
        raise RunError("no room for it", "make some")

    monkeypatch.setattr("vidnst.rendering.pipeline.encode_output", fail)
    assert run_batch(path).failed == 1
    folder = tmp_path / "out" / "clip0-style0.vidnst"
    assert told(folder, "ended", "how") == ["failed"]
    assert "no room for it" in told(folder, "ended", "message")[0]


def test_what_is_told_before_the_first_frame_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before there is a run folder, while the run is begun, and that it ended there."""
    source, style = write_burst(tmp_path / "clip", 3, seed=1), write_style(tmp_path / "style.png", seed=1)
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
            vidnst.render(source, style=style, output=tmp_path / "out", config=build_config(QUICK))
        except RunError:
            assert broken
    folder = tmp_path / "out.vidnst"
    assert told(folder, "warned", "message") == ["early", "dark"] * 2
    assert told(folder, "stage", "stage").count("looking") == 2
    assert told(folder, "ended", "how") == ["failed"]
    assert told(folder, "ended", "message")[0].startswith("too dark")


class Notebook:
    """Stands for a run folder."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def record(self, kind: str, **facts: Any) -> None:
        self.lines.append(f"{kind} {facts.get('message', facts.get('stage', ''))}")


def test_the_order_of_early_events_is_kept_and_a_stage_is_told_once() -> None:
    seen: list[Event] = []
    recorder, store = EventRecorder(seen.append), Notebook()
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


def test_nothing_is_written_after_the_folder_is_left() -> None:
    recorder, store = EventRecorder(ignore), Notebook()
    recorder.keep_in(store)  # type: ignore[arg-type]
    recorder.close()
    recorder(Warned("late"))
    recorder.end("failed", "late, too")
    assert store.lines == []
