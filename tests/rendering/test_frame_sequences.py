"""Renders from and to numbered EXR, DPX, TIFF and PNG files, by the command line's own way."""

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import OpenEXR
import pytest
from support import media
from support.exr import from_pixels, read_values, to_display, write_exr, write_shot
from support.renders import quick_config, run_folder, stop_after, warnings_in

from vidnst.errors import BadFrameError, CancelledError, ConfigError, OutputError, SourceError
from vidnst.events import Event
from vidnst.frames import to_bits
from vidnst.media.images import read_image
from vidnst.media.input.frame_reader import FrameReader
from vidnst.media.input.masks import open_mask
from vidnst.media.input.probe import probe
from vidnst.rendering.batch.job_file import read_jobs
from vidnst.rendering.batch.stages import frames_finished_before
from vidnst.rendering.measure_output import MeasureRequest, measure_output
from vidnst.rendering.pipeline import run
from vidnst.report.server.thumbnails import Thumbnails
from vidnst.runs import RunPlan
from vidnst.runs.request import Request, load_request
from vidnst.runs.status import RunMonitor


def request(source: Path, output: Path, style: Path | None = None, **sections: Any) -> Request:
    stylizes = {} if style else {"optimize": {"iterations": 0}}
    return Request(str(source), (str(style),) if style else (), output, quick_config(stylizes, **sections))


def names(folder: Path, pattern: str) -> list[str]:
    return sorted(path.name for path in folder.glob(pattern) if path.is_file())


def test_exr_passes_through_with_its_numbers_and_values(tmp_path: Path) -> None:
    write_shot(tmp_path / "in", range(1001, 1005))
    events: list[Event] = []
    run(
        request(tmp_path / "in" / "shot_####.exr", tmp_path / "out.####.exr"),
        on_event=events.append,
    )
    assert names(tmp_path, "out.*") == [f"out.{number}.exr" for number in range(1001, 1005)]
    assert np.array_equal(read_values(tmp_path / "out.1003.exr"), from_pixels(media.numbered_picture(3)))
    assert warnings_in(events) == []


def test_stylized_frames_are_the_states_in_linear_light(tmp_path: Path) -> None:
    write_shot(tmp_path / "in", (1, 2))
    style = media.write_style(tmp_path / "style.png")
    output = tmp_path / "out_%02d.exr"
    run(request(tmp_path / "in", output, style, input={"size": 48}))
    kept = read_image(run_folder(output) / "frames" / "00000001.png")
    assert kept.dtype == np.uint16
    assert len(np.unique(kept & 255)) > 100  # more than 8 bits
    assert np.abs(read_image(tmp_path / "out_02.exr").astype(int) - kept).max() <= 40  # half floats near white


def test_clipped_values_are_said_before_painting(tmp_path: Path) -> None:
    values = np.full((32, 48, 3), 0.5, np.float16)
    write_exr(tmp_path / "a_1.exr", values)
    values[:4] = 12
    write_exr(tmp_path / "a_2.exr", values)
    events: list[Event] = []
    run(request(tmp_path / "a_%d.exr", tmp_path / "b_%d.exr"), on_event=events.append)
    [said] = warnings_in(events)
    assert said == "values over white (1 of 2 frames has some, 6.2% of all pixels, up to 12): changed, painted as white"


def write_clear(folder: Path) -> Path:
    """Two EXR files, half transparent in the middle, their colours multiplied by alpha."""
    for number in range(2):
        light = from_pixels(media.numbered_picture(number))
        alpha = np.ones((*light.shape[:2], 1), np.float16)
        alpha[20:40, 30:60] = 0.5
        write_exr(folder / f"a_{number}.exr", {"RGBA": np.concatenate([light * alpha, alpha], axis=2)})
    return folder / "a_%d.exr"


def test_painted_alpha_goes_into_exr_multiplied(tmp_path: Path) -> None:
    style, events = media.write_style(tmp_path / "style.png"), list[Event]()
    run(request(write_clear(tmp_path / "in"), tmp_path / "o_%d.exr", style), on_event=events.append)
    planes = OpenEXR.File(str(tmp_path / "o_1.exr")).channels()["RGBA"].pixels.astype(float)
    assert warnings_in(events) == []
    assert (planes[25:35, 35:55, 3] == 0.5).all()
    assert (planes[:15, :, 3] == 1).all()
    painted = read_image(run_folder(tmp_path / "o_%d.exr") / "frames" / "00000001.png") / 65535
    straight = to_display(planes[25:35, 35:55, :3] / 0.5)
    assert np.abs(straight * 0.5 + 0.5 - np.maximum(painted[25:35, 35:55], 0.5)).max() < 2e-3


@pytest.mark.parametrize(("name", "kept"), [("o.mov", True), ("o.mp4", False)])
def test_alpha_of_exr_is_kept_in_videos_or_named(name: str, kept: bool, tmp_path: Path) -> None:
    events: list[Event] = []
    run(request(write_clear(tmp_path / "in"), tmp_path / name), on_event=events.append)
    said = [text for text in warnings_in(events) if text.startswith("transparency: dropped, laid over white")]
    assert bool(said) != kept
    back = probe(tmp_path / name)
    assert back.has_alpha == kept
    middle = read_image(write_clear(tmp_path / "again").with_name("a_0.exr"))[30, 45] / 65535
    shown = to_bits(FrameReader(back).read(0).pixels, 16)[30, 45] / 65535
    assert np.abs(shown - middle).max() < 0.04


def test_damaged_frame_is_found_before_painting_or_repeated(tmp_path: Path) -> None:
    paths = write_shot(tmp_path / "in", range(1, 5))
    paths[2].write_bytes(paths[2].read_bytes()[:-600])
    with pytest.raises(BadFrameError, match=r"frame 2 of .*; .*--on-bad-frame repeat") as caught:
        run(request(tmp_path / "in", tmp_path / "a_%d.png"))
    assert "\n" not in str(caught.value)
    assert not run_folder(tmp_path / "a_%d.png").exists()
    events: list[Event] = []
    run(request(tmp_path / "in", tmp_path / "a_%d.png", input={"on_bad_frame": "repeat"}), on_event=events.append)
    assert media.read_index(read_image(tmp_path / "a_3.png")) == 2


@pytest.mark.parametrize(
    ("missing", "written", "shown"),
    [("skip", [1, 2, 5], [1, 2, 5]), ("repeat", [1, 2, 3, 4, 5], [1, 2, 2, 2, 5])],
)
def test_missing_numbers_by_policy(missing: str, written: list[int], shown: list[int], tmp_path: Path) -> None:
    write_shot(tmp_path / "in", (1, 2, 5))
    source = tmp_path / "in" / "shot_%04d.exr"
    with pytest.raises(SourceError, match="numbers 3 to 4"):
        run(request(source, tmp_path / "o_%d.tif"))
    events: list[Event] = []
    run(request(source, tmp_path / "o_%d.tif", input={"missing": missing}), on_event=events.append)
    assert names(tmp_path, "o_*.tif") == [f"o_{number}.tif" for number in written]
    assert [media.read_index(read_image(tmp_path / f"o_{number}.tif")) for number in written] == shown
    assert "numbers 3 to 4" in warnings_in(events)[0]


def test_range_and_start_number(tmp_path: Path) -> None:
    write_shot(tmp_path / "in", range(1001, 1006))
    config = quick_config(optimize={"iterations": 0}, input={"start": "1", "end": "4"}, output={"start_number": 20})
    run(Request(str(tmp_path / "in"), (), tmp_path / "o_%03d.png", config))
    assert names(tmp_path, "o_*.png") == ["o_020.png", "o_021.png", "o_022.png"]
    assert media.read_index(read_image(tmp_path / "o_020.png")) == 2


def test_video_becomes_a_sequence_from_zero(tmp_path: Path) -> None:
    video = media.write_video(tmp_path / "a.mkv", media.numbered_pictures(3), codec=media.FFV1)
    run(request(video, tmp_path / "o_%04d.exr"))
    for index in range(3):
        wanted = from_pixels(media.numbered_picture(index))
        assert np.array_equal(read_values(tmp_path / f"o_{index:04d}.exr"), wanted)


def test_single_exr_file_is_written(tmp_path: Path) -> None:
    [source] = write_shot(tmp_path / "in", (7,))
    run(request(source, tmp_path / "o.exr"))
    assert np.array_equal(read_values(tmp_path / "o.exr"), from_pixels(media.numbered_picture(7)))


def test_logarithmic_dpx_becomes_linear_exr(tmp_path: Path) -> None:
    path = tmp_path / "in_0001.dpx"
    media.run_ffmpeg("-f", "lavfi", "-i", "color=gray:s=48x32", "-frames:v", "1", "-pix_fmt", "gbrp10be", path)
    data = bytearray(path.read_bytes())
    data[801] = 3  # logarithmic
    path.write_bytes(data)
    run(request(path, tmp_path / "o_%04d.exr"))
    code = read_image(path, transform="none")[4, 4, 0] / 65535  # of 1023
    black = 10 ** ((95 - 685) * 0.002 / 0.6)
    wanted = (10 ** ((code * 1023 - 685) * 0.002 / 0.6) - black) / (1 - black)
    assert read_values(tmp_path / "o_0001.exr")[4, 4] == pytest.approx([wanted] * 3, rel=1e-3)
    assert measure_output(MeasureRequest(tmp_path / "o_%04d.exr", path, with_losses=False)).frames == 1


def test_resumed_render_is_the_same_and_knows_its_files(tmp_path: Path) -> None:
    write_shot(tmp_path / "in", range(11, 16))
    style = media.write_style(tmp_path / "style.png")
    whole, halves = tmp_path / "a_%d.exr", tmp_path / "b_%d.exr"
    run(request(tmp_path / "in", whole, style))
    with pytest.raises(CancelledError):
        run(request(tmp_path / "in", halves, style), **stop_after(2))
    run(load_request(run_folder(halves), {}))
    for number in range(11, 16):
        assert (tmp_path / f"a_{number}.exr").read_bytes() == (tmp_path / f"b_{number}.exr").read_bytes()
    plan = RunPlan.read(run_folder(halves))
    assert plan is not None
    assert plan.output_files(halves) == tuple(tmp_path / f"b_{number}.exr" for number in range(11, 16))


def test_killed_while_files_were_named_resumes(tmp_path: Path) -> None:
    write_shot(tmp_path / "in", range(3))
    output = tmp_path / "o_%d.png"
    with pytest.raises(CancelledError):
        run(request(tmp_path / "in", output), **stop_after(0, stage="encoding"))
    (tmp_path / "o_0.png").write_bytes(b"half of the files have their names")
    log = run_folder(output) / "events.jsonl"
    entry = {"at": 0.0, "kind": "writing", "output": str(output)}
    known = json.loads(log.read_text().splitlines()[-1])
    log.write_text(log.read_text() + json.dumps(known | entry) + "\n")
    run(load_request(run_folder(output), {}))
    assert media.read_index(read_image(tmp_path / "o_0.png")) == 0


def test_measure_takes_the_files_of_the_run_alone(tmp_path: Path) -> None:
    write_shot(tmp_path / "in", range(3))
    media.write_picture(tmp_path / "o_99.png", media.numbered_picture(9))
    output = tmp_path / "o_%d.png"
    with pytest.raises(OutputError, match="--overwrite"):
        run(request(tmp_path / "in", output))
    events: list[Event] = []
    run(request(tmp_path / "in", output), overwrite=True, on_event=events.append)
    assert "o_99.png match o_%d.png but are not frames of this render" in warnings_in(events)[0]
    assert measure_output(MeasureRequest(output, with_losses=False)).frames == 3
    assert probe(output, missing="skip").frame_count == 4


def test_missing_extra_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PyOpenColorIO", None)
    write_shot(tmp_path / "in", (1,))
    with pytest.raises(ConfigError, match=r"pip install 'vidnst\[ocio\]'"):
        run(request(tmp_path / "in", tmp_path / "o_%d.exr", input={"transform": "ocio:ACES2065-1"}))


def test_batch_knows_finished_sequences(tmp_path: Path) -> None:
    write_shot(tmp_path / "in", (5, 6))
    media.write_style(tmp_path / "style.png")
    quick = quick_config(optimize={"iterations": 0}).model_dump(mode="json")
    entry = {"sources": ["in/shot_####.exr"], "styles": ["style.png"]}
    defaults = {"set": quick, "folder": "out", "output": "a.####.exr"}
    jobs = tmp_path / "jobs.yaml"
    jobs.write_text(json.dumps({"defaults": defaults, "jobs": [entry]}))
    [clip] = read_jobs(jobs).clips
    assert frames_finished_before(clip) is None
    (tmp_path / "out").mkdir()
    run(clip.request)
    assert names(tmp_path / "out", "a.*.exr") == ["a.0005.exr", "a.0006.exr"]
    assert frames_finished_before(clip) == 2
    (tmp_path / "out" / "a.0006.exr").unlink()
    assert frames_finished_before(clip) is None


def test_server_shows_the_files_of_a_finished_sequence(tmp_path: Path) -> None:
    write_shot(tmp_path / "in", (5, 6))
    output = tmp_path / "o_%d.exr"
    config = quick_config(optimize={"iterations": 0}, output={"keep_frames": False})
    run(Request(str(tmp_path / "in"), (), output, config))
    assert not (run_folder(output) / "frames").exists()
    assert RunMonitor().status(run_folder(output)).shown_frame == 0
    shown = Thumbnails().result(run_folder(output), 1)
    assert shown is not None
    pixels = cv2.cvtColor(cv2.imdecode(np.frombuffer(shown, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert media.read_index(pixels) == 6


def test_masks_hold_shares_not_light(tmp_path: Path) -> None:
    write_exr(tmp_path / "mask.exr", np.full((64, 96, 3), 0.5, np.float16))
    source = probe(write_shot(tmp_path / "in", (1,))[0])
    mask = open_mask("sky", str(tmp_path / "mask.exr"), source, start=0, end=1, size=(96, 64))
    with FrameReader(mask.clip) as reader:
        assert abs(int(reader.read(0).pixels[0, 0, 0]) - 32768) < 2
