"""Frames that do not decode: named before anything is painted, and a policy that may change while a run goes on."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support.command_line import Vidnst
from support.media import damage_packets, numbered_pictures, write_pictures, write_style, write_video
from support.renders import QUICK, done_nodes, frame_files, quick_settings, run_folder, stop_after, warnings_in

import vidnst
from vidnst.errors import BadFrameError, CancelledError, RunError
from vidnst.events import Event
from vidnst.rendering import prepare
from vidnst.runs import Manifest

FRAMES = 10
BAD = 6
REPEAT = {"input": {"on_bad_frame": "repeat"}}


@pytest.fixture(params=["video", "pictures"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A clip whose frame 6 of 10 does not decode."""
    if request.param == "video":
        whole = write_video(tmp_path / "whole.mp4", numbered_pictures(FRAMES), options=("-g", "1"))
        return damage_packets(whole, tmp_path / "damaged.mp4", [BAD])
    return damaged_pictures(tmp_path / "damaged", FRAMES, [BAD])


def damaged_pictures(folder: Path, count: int, bad: Sequence[int]) -> Path:
    """Write pictures of which some end after the header, and return their folder."""
    paths = write_pictures(folder, numbered_pictures(count), "{:04d}.bmp")
    for index in bad:
        paths[index].write_bytes(paths[index].read_bytes()[:60])
    return folder


def render(source: Path, output: Path, *changes: Any, **options: Any) -> Path:
    style = write_style(output.parent / "style.png")
    vidnst.render(source, style=style, output=output, config=quick_settings(*changes), **options)
    return run_folder(output)


def test_default_policy_refuses_before_anything_is_painted(source: Path, tmp_path: Path) -> None:
    with pytest.raises(
        BadFrameError, match=r"1 of 10 frames does not decode \(frame 6 of .*--on-bad-frame repeat.*--end"
    ):
        render(source, tmp_path / "out")
    assert not run_folder(tmp_path / "out").exists()


def test_advice_works(source: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    repeated = frame_files(render(source, tmp_path / "repeated", REPEAT, on_event=events.append))
    assert len(repeated) == FRAMES
    assert any("1 of 10 frames does not decode (frame 6 of " in text for text in warnings_in(events))
    assert len(frame_files(render(source, tmp_path / "cut", {"input": {"end": str(BAD)}}))) == BAD
    assert len(frame_files(render(source, tmp_path / "later", {"input": {"start": str(BAD + 1)}}))) == FRAMES - BAD - 1


def test_frame_without_one_before_it_is_refused_with_start(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4", numbered_pictures(5), options=("-g", "1"))
    clip = damage_packets(whole, tmp_path / "clip.mp4", [0, 1])
    with pytest.raises(BadFrameError, match=r"no frame before frame 0 .* --start 2"):
        render(clip, tmp_path / "out", REPEAT)
    with pytest.raises(BadFrameError, match=r"no frame before frame 1 .* --start 2"):
        render(clip, tmp_path / "out", REPEAT, {"input": {"start": "1"}})
    assert len(frame_files(render(clip, tmp_path / "out", {"input": {"start": "2"}}))) == 3


@pytest.mark.parametrize("kind", ["independent", "chain", "keys"])
def test_changed_policy_goes_on_with_run(
    kind: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = {"schedule": {"kind": kind, "spacing": 2}}
    whole = frame_files(render(source, tmp_path / "whole", schedule, REPEAT))
    with monkeypatch.context() as patch:  # as if the damage had not shown when the source was probed
        patch.setattr(prepare, "check_frames_decode", lambda *_: None)
        with pytest.raises(BadFrameError, match=r"frame 6 .*does not decode"):
            render(source, tmp_path / "out", schedule)
    begun = frame_files(run_folder(tmp_path / "out"))
    assert len(begun) < FRAMES
    assert done_nodes(run_folder(tmp_path / "out"))
    events: list[Event] = []
    run = render(source, tmp_path / "out", schedule, REPEAT, on_event=events.append)
    assert frame_files(run) == whole
    assert {index: whole[index] for index in begun} == begun
    assert len(done_nodes(run)) == len(set(done_nodes(run)))
    assert Manifest.read(run).config["input"]["on_bad_frame"] == "repeat"


def test_stopped_run_is_refused_with_other_policy_but_kept(tmp_path: Path, source: Path) -> None:
    with pytest.raises(CancelledError):
        render(source, tmp_path / "out", REPEAT, **stop_after(3))
    begun = frame_files(run_folder(tmp_path / "out"))
    if source.is_file():  # a resumed session does not decode pictures in advance once more
        with pytest.raises(BadFrameError, match=r"1 of 10 frames"):
            render(source, tmp_path / "out")
    assert frame_files(run_folder(tmp_path / "out")) == begun
    assert frame_files(render(source, tmp_path / "out", REPEAT)).items() >= begun.items()


def test_record_of_earlier_version_is_the_same_render(tmp_path: Path) -> None:
    write_pictures(tmp_path / "clip", numbered_pictures(4))
    with pytest.raises(CancelledError):
        render(tmp_path / "clip", tmp_path / "out", **stop_after(2))
    file = run_folder(tmp_path / "out") / "run.json"
    record = json.loads(file.read_text())
    record["look"]["config"]["input"]["on_bad_frame"] = "error"
    file.write_text(json.dumps(record))
    assert len(frame_files(render(tmp_path / "clip", tmp_path / "out"))) == 4


def test_resume_takes_policy(vidnst: Vidnst, source: Path, tmp_path: Path) -> None:
    with pytest.raises(CancelledError):
        render(source, tmp_path / "out", REPEAT, **stop_after(3))
    run = run_folder(tmp_path / "out")
    if source.is_file():
        status, _, err = vidnst("resume", run, "--on-bad-frame", "error")
        assert (status, err.count("\n")) == (3, 1)
    status, _, err = vidnst("resume", run, "--on-bad-frame", "repeat")
    assert status == 0, err
    assert len(frame_files(run)) == FRAMES


def test_damaged_mask_is_named_before_anything_is_painted(tmp_path: Path) -> None:
    write_pictures(tmp_path / "clip", numbered_pictures(4))
    mask = damaged_pictures(tmp_path / "mask", 4, [2])
    style = write_style(tmp_path / "style.png")
    config = quick_settings(regions={"masks": {"sky": str(mask)}})
    styles = [style, f"{style}#sky"]
    with pytest.raises(BadFrameError, match=r"mask .* of region sky does not decode at frame 2"):
        vidnst.render(tmp_path / "clip", style=styles, output=tmp_path / "out", config=config)
    assert not run_folder(tmp_path / "out").exists()


def test_another_look_is_still_refused(tmp_path: Path) -> None:
    write_pictures(tmp_path / "clip", numbered_pictures(4))
    with pytest.raises(CancelledError):
        render(tmp_path / "clip", tmp_path / "out", **stop_after(2))
    with pytest.raises(RunError, match=r"optimize.iterations: 4 -> 5"):
        render(
            tmp_path / "clip",
            tmp_path / "out",
            REPEAT,
            {"optimize": {"iterations": QUICK["optimize"]["iterations"] + 1}},
        )
