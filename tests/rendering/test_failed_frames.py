"""Frames that fail, frames that look wrong, and frames that are made again."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.media import write_burst, write_style
from support.renders import frame_files, logged_events
from typer.testing import CliRunner

import vidnst
from vidnst.cli.app import app
from vidnst.config import RenderConfig
from vidnst.config.loader import build_config
from vidnst.errors import (
    BadFrameError,
    ConfigError,
    DiskFullError,
    FramesFailedError,
    OutputError,
    RangeError,
    RunError,
)
from vidnst.events import Event, FrameDone, NodeGivenUp, Suspected, Warned
from vidnst.farm.jobs import Stylized, StylizeJob
from vidnst.farm.plan import StateId
from vidnst.farm.workers import StyleWorker
from vidnst.frames import State
from vidnst.media.input.frame_cache import FrameCache
from vidnst.motion.quality_gate import thumbnail_luma
from vidnst.rendering.pipeline import run
from vidnst.runs.redo import failed_before, parse_frames, spans
from vidnst.runs.request import recall_request

FRAMES = 8
LOOK = {
    "losses": {"style_layers": {"relu1_1": 1, "relu2_1": 1}, "content_layers": {"relu2_1": 1}},
    "optimize": {"iterations": 10, "scales": 1},
    "schedule": {"spacing": 4, "passes": 1},
    "model": {"weights": "random"},
    "farm": {"executor": "inline", "threads": 1, "workers": 2},
    "output": {"keep_frames": True},
}


@pytest.fixture(scope="module")
def burst(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_burst(tmp_path_factory.mktemp("burst"), FRAMES, size=(96, 64), cells=(9, 12))


@pytest.fixture(scope="module")
def style(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_style(tmp_path_factory.mktemp("style") / "style.png")


def config(kind: str = "keys", **farm: object) -> RenderConfig:
    return build_config(
        {**LOOK, "schedule": {**LOOK["schedule"], "kind": kind}, "farm": {**LOOK["farm"], **farm}}  # type: ignore[dict-item]
    )


@pytest.fixture(scope="module")
def undisturbed(burst: Path, style: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, bytes]:
    """The frames of a render that nothing happened to."""
    output = tmp_path_factory.mktemp("undisturbed") / "out"
    events: list[Event] = []
    vidnst.render(burst, style=style, output=output, config=config(), on_event=events.append)
    assert not [event for event in events if isinstance(event, (Suspected, Warned))]
    return frame_files(output.with_name("out.vidnst"))


def failing(node: StateId) -> Callable[..., Stylized]:
    whole = StyleWorker.run

    def run(self: StyleWorker, job: StylizeJob, **options: object) -> Stylized:
        if job.node == node:
            raise MemoryError("no room for it")
        return whole(self, job, **options)  # type: ignore[arg-type]

    return run


def test_what_fails_is_told_by_frame_and_cause_and_retried_to_the_same_bytes(
    burst: Path, style: Path, undisturbed: dict[int, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, events = tmp_path / "out.vidnst", list[Event]()
    with monkeypatch.context() as patch:
        patch.setattr(StyleWorker, "run", failing(StateId(5, 0)))
        with pytest.raises(FramesFailedError) as caught:
            vidnst.render(burst, style=style, output=tmp_path / "out", config=config(), on_event=events.append)
    assert caught.value.exit_code == 9
    assert caught.value.frames == (4, 5, 6)
    text = str(caught.value)
    assert "3 of 8 frames failed (4-6) because frame 5 did: MemoryError: no room for it" in text
    assert f"vidnst retry {folder}" in text
    assert not (tmp_path / "out").exists()
    assert frame_files(folder) == {number: data for number, data in undisturbed.items() if number not in (4, 5, 6)}
    assert {(one["node"], one["because"]) for one in logged_events(folder, "given_up")} == {
        ("5.0", None),
        *((f"{frame}.1", "5.0") for frame in (4, 5, 6)),
    }
    assert len([event for event in events if isinstance(event, NodeGivenUp)]) == 4
    assert failed_before(folder) == ([4, 5, 6], False)

    before = len(logged_events(folder, "done"))
    retried = CliRunner().invoke(app, ["retry", str(folder)])
    assert retried.exit_code == 0, retried.output
    assert "retrying frames 4-6" in retried.stderr
    assert frame_files(folder) == undisturbed
    assert len(logged_events(folder, "done")) == before + 4
    again = CliRunner().invoke(app, ["retry", str(folder)])
    assert again.exit_code == 0
    assert "nothing failed" in again.stderr
    assert len(logged_events(folder, "session")) == 2


def test_a_frame_of_the_source_that_cannot_be_read_fails_its_shot_with_its_own_error(
    burst: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = FrameCache.get

    def get(self: FrameCache, shot: int, index: int) -> object:
        if index == 6:
            raise BadFrameError("frame 6 does not decode", "repeat it")
        return whole(self, shot, index)

    monkeypatch.setattr(FrameCache, "get", get)
    with pytest.raises(BadFrameError, match="frame 6 does not decode"):
        vidnst.render(burst, style=style, output=tmp_path / "out", config=config("independent"))
    assert logged_events(tmp_path / "out.vidnst", "given_up")


@pytest.mark.parametrize(("kind", "again"), [("independent", {5}), ("chain", {5, 6, 7}), ("keys", {4, 5, 6})])
def test_redone_frames_are_made_again_with_what_depends_on_them_and_no_others(
    kind: str, again: set[int], burst: Path, style: Path, tmp_path: Path
) -> None:
    vidnst.render(burst, style=style, output=tmp_path / "out", config=config(kind))
    folder = tmp_path / "out.vidnst"
    right, stamps = frame_files(folder), {path: path.stat().st_mtime_ns for path in (folder / "frames").iterdir()}
    damaged = folder / "frames" / "00000005.png"
    damaged.write_bytes(right[0])
    with pytest.raises(OutputError, match="exists already"):
        run(recall_request(folder, {}), redo=(5,))
    events: list[Event] = []
    run(recall_request(folder, {}), redo=(5,), overwrite=True, on_event=events.append)
    assert frame_files(folder) == right
    assert {event.frame for event in events if isinstance(event, FrameDone)} == again
    assert {int(path.stem) for path, stamp in stamps.items() if path.stat().st_mtime_ns != stamp} == again
    assert any(isinstance(event, Warned) and "frames 5 are rendered again" in str(event) for event in events)


def test_frames_that_cannot_be_redone_are_refused_with_what_to_do(burst: Path, style: Path, tmp_path: Path) -> None:
    kept_none = config("independent")
    kept_none = kept_none.model_copy(update={"output": kept_none.output.model_copy(update={"keep_frames": False})})
    vidnst.render(burst, style=style, output=tmp_path / "out", config=kept_none)
    request = recall_request(tmp_path / "out.vidnst", {})
    with pytest.raises(RunError, match=r"has kept no frames.*--restart.*--keep-frames"):
        run(request, redo=(3,), overwrite=True)
    with pytest.raises(RunError, match="no frames to redo"):
        run(replace(request, work_dir=tmp_path / "other"), redo=(3,), overwrite=True)
    vidnst.render(burst, style=style, output=tmp_path / "kept", config=config("independent"))
    with pytest.raises(RangeError, match="frame 8 cannot be redone: the run has frames 0 to 7"):
        run(recall_request(tmp_path / "kept.vidnst", {}), redo=(3, 8), overwrite=True)


def test_states_that_are_gone_are_made_again_first_and_told(
    burst: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **options: object) -> None:
        raise DiskFullError("no space left", "make room")

    look = config("chain")
    look = look.model_copy(update={"output": look.output.model_copy(update={"keep_frames": False})})
    with monkeypatch.context() as patch:
        patch.setattr("vidnst.media.output.encode.encode", fail)
        with pytest.raises(DiskFullError):
            vidnst.render(burst, style=style, output=tmp_path / "out", config=look)
        folder, events = tmp_path / "out.vidnst", list[Event]()
        right = frame_files(folder)
        with pytest.raises(DiskFullError):
            run(recall_request(folder, {}), redo=(3,), on_event=events.append)
    (told,) = (str(event) for event in events if isinstance(event, Warned))
    assert "frames 3 are rendered again, 5 pieces of work" in told
    assert "and 3 more whose states are no longer there" in told
    assert len([event for event in events if isinstance(event, FrameDone)]) == FRAMES
    assert frame_files(folder) == right


def test_lists_of_frames_are_read_and_written() -> None:
    assert parse_frames("7, 30-32,31") == (7, 30, 31, 32)
    assert spans((32, 7, 30, 31, 9)) == "7, 9, 30-32"
    for wrong in ("", "a", "5-3", "1,,2", "-4", "1-", "0-999999999"):
        with pytest.raises(ConfigError, match="no list of frames"):
            parse_frames(wrong)


def spoil(kind: str, state: State) -> State:
    """A defect as machines make them."""
    if kind == "black":
        return np.zeros_like(state)
    if kind == "flat":
        return np.full_like(state, 30_000)
    if kind == "noise":
        return np.random.default_rng(3).integers(0, 65536, state.shape, np.uint16)
    return np.clip(state.astype(np.int64) + 20 * 257, 0, 65535).astype(np.uint16)


@pytest.mark.parametrize(
    ("kind", "lasting"), [("black", False), ("flat", False), ("noise", False), ("bright", False), ("noise", True)]
)
def test_a_spoilt_frame_is_made_again_and_listed_whatever_the_workers(
    kind: str,
    lasting: bool,
    burst: Path,
    style: Path,
    undisturbed: dict[int, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = StyleWorker._stylize
    seeds: list[int] = []

    def spoilt(self: StyleWorker, stylizer: object, job: StylizeJob, **options: object) -> Stylized:
        result = whole(self, stylizer, job, **options)  # type: ignore[arg-type]
        if job.node != StateId(6, 1):
            return result
        seeds.append(job.seed)
        return replace(result, state=spoil(kind, result.state)) if lasting or len(seeds) % 2 else result

    monkeypatch.setattr(StyleWorker, "_stylize", spoilt)
    events: list[Event] = []
    made = []
    for workers in (1, 2):
        output = tmp_path / f"out{workers}"
        vidnst.render(burst, style=style, output=output, config=config(workers=workers), on_event=events.append)
        made.append(frame_files(output.with_name(f"{output.name}.vidnst")))
    assert made[0] == made[1]
    assert (made[0] == undisturbed) is not lasting  # nothing random is in this look, so another seed mends it
    assert len(seeds) == 4
    assert len(set(seeds)) == 2
    told = [event for event in events if isinstance(event, Suspected)]
    assert [(event.node, event.mended) for event in told] == [("6.1", not lasting)] * 2
    measured = json.loads((tmp_path / "out1.vidnst" / "measure.json").read_text())
    assert list(measured["suspects"]) == (["6"] if lasting else [])
    assert len([event for event in events if isinstance(event, Warned) and "looks wrong" in str(event)]) == 2 * lasting


def test_without_the_gate_a_spoilt_frame_is_taken_unseen(
    burst: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = StyleWorker._stylize

    def black(self: StyleWorker, stylizer: object, job: StylizeJob, **options: object) -> Stylized:
        result = whole(self, stylizer, job, **options)  # type: ignore[arg-type]
        return replace(result, state=spoil("black", result.state))

    monkeypatch.setattr(StyleWorker, "_stylize", black)
    events: list[Event] = []
    vidnst.render(burst, style=style, output=tmp_path / "out", config=config(gate=False), on_event=events.append)
    assert not [event for event in events if isinstance(event, Suspected)]


def test_every_state_is_looked_at_once_and_frames_redone_come_out_the_same(
    burst: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[bytes] = []

    def looking(picture: State) -> NDArray[np.float32]:
        if picture.dtype == np.uint16:
            looked.append(picture.tobytes())
        return thumbnail_luma(picture)

    monkeypatch.setattr("vidnst.farm.workers.thumbnail_luma", looking)
    vidnst.render(burst, style=style, output=tmp_path / "out", config=config())
    assert len(looked) == len(set(looked)) == 2 * FRAMES  # a pass after the first
    before = frame_files(tmp_path / "out.vidnst")
    run(recall_request(tmp_path / "out.vidnst", {}), redo=(5,), overwrite=True)
    assert len(looked) > 2 * FRAMES
    assert frame_files(tmp_path / "out.vidnst") == before


def test_frames_to_redo_are_checked_on_the_command_line(burst: Path, style: Path, tmp_path: Path) -> None:
    arguments = ["render", str(burst), "-s", str(style), "-o", str(tmp_path / "out")]
    assert isinstance(CliRunner().invoke(app, [*arguments, "--redo", "3-1"]).exception, ConfigError)
    both = CliRunner().invoke(app, [*arguments, "--redo", "3", "--restart"]).exception
    assert "--redo and --restart exclude one another" in str(both)
    assert isinstance(CliRunner().invoke(app, [*arguments, "--backbone", "slim", "--redo", "3"]).exception, RunError)
    assert not list(tmp_path.iterdir())
