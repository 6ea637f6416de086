"""What a measurement says of clips with known faults: flicker, drift, seams at keys, standing still, blur."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from support.media import write_pictures, write_style
from support.moving_clip import MovingClip
from support.renders import TWO_LAYERS, quick_config, quick_settings

import vidnst
from vidnst.cli.tables.measurement import write_measurement
from vidnst.config import RenderConfig
from vidnst.errors import BadFrameError, CancelledError, OutputError, RangeError, RunError, SourceError, StyleError
from vidnst.events import Event, Measured, RunFinished, Stage, Warned
from vidnst.farm.plan import StateId
from vidnst.farm.schedules import plan_shot
from vidnst.frames import ClipInfo, Shot
from vidnst.media.input.probe import probe
from vidnst.rendering.measure_output import MeasureRequest, measure_output
from vidnst.report.measure.clip_pair import ClipPair
from vidnst.report.measure.measurement import FrameMeasurement, Measurement
from vidnst.report.measure.meter import Meter
from vidnst.runs import RunLog
from vidnst.steadiness import steadiness_in_words

Picture = NDArray[np.uint8]
STILL = MovingClip(count=20, width=64, height=48, square_px=0)
PAN = MovingClip(count=20, width=96, height=64, pan_px=(1, 0), square_px=16, square_step_px=(-1, 0))


def measured(
    source: Sequence[Picture], output: Sequence[Picture], *, shots: Sequence[Shot] = (), keys: Sequence[int] = ()
) -> Measurement:
    meter = Meter(shots or [Shot(0, len(source))], keys=keys)
    for index, (before, after) in enumerate(zip(source, output, strict=True)):
        meter.add(index, before, after)
    return meter.result()


def lighter(picture: Picture, by: int) -> Picture:
    """Half the contrast, so that nothing saturates, and `by` levels more."""
    return (picture // 2 + 50 + by).astype(np.uint8)


def test_the_source_itself_has_the_source_s_numbers() -> None:
    pictures = PAN.all_pixels()
    found = measured(pictures, pictures)
    for errors in found.errors:
        assert errors.pairs == PAN.count - errors.gap
        for numbers in (errors.ruder, errors.huang, errors.lai):
            assert numbers.ratio == 1
    assert found.sharpness.ratio == 1
    assert found.drift_difference == 0
    assert found.error().output is not None
    assert found.error().output < 1e-3
    assert [row.frame for row in found.rows] == list(range(PAN.count))


def test_motion_with_the_source_is_steady_and_boiling_is_not() -> None:
    source = PAN.all_pixels()
    steady = [(255 - picture).astype(np.uint8) for picture in source]
    random = np.random.default_rng(1)
    boiling = [np.clip(p + random.normal(0, 20, p.shape), 0, 255).astype(np.uint8) for p in steady]
    calm, wild = measured(source, steady), measured(source, boiling)
    for gap in (1, 5, 15):
        assert calm.error(gap).ratio == pytest.approx(1, rel=0.01)
        # Noise of both frames, the fetched one's averaged at most over four pixels.
        assert (20 / 255) ** 2 * 0.9 < (wild.error(gap).output or 0) < 2 * (20 / 255) ** 2 * 1.2


def test_alternating_brightness_is_flicker_in_levels() -> None:
    source = STILL.all_pixels()
    output = [lighter(picture, 8 * (index % 2)) for index, picture in enumerate(source)]
    found = measured(source, output)
    assert found.static_share == 1
    assert found.flicker.output == pytest.approx(8, abs=0.01)
    assert found.flicker.source == 0
    assert found.flicker.ratio is None
    assert found.error().output == pytest.approx((8 / 255) ** 2, rel=0.01)
    huang = found.at_gap(1)
    assert huang is not None
    assert huang.huang.output == pytest.approx(8 / 255 * math.sqrt(huang.valid_share or 0), rel=0.01)


def test_only_what_stands_still_counts_for_flicker() -> None:
    clip = MovingClip(count=6, width=96, height=64, square=(0, 16), square_px=32, square_step_px=(8, 0))
    source = clip.all_pixels()
    output = [picture.copy() for picture in source]
    for index in range(0, 6, 2):
        output[index][:8] = np.clip(output[index][:8].astype(int) + 10, 0, 255)
    found = measured(source, output)
    touched = 40 * 32  # pixels that the square is on, in one frame or the next
    assert 1 - touched / (96 * 64) - 0.06 < (found.static_share or 0) < 1 - touched / (96 * 64) * 0.6
    assert found.flicker.output == pytest.approx(10 * 8 * 96 / (96 * 64 * (found.static_share or 0)), rel=0.05)
    assert found.flicker.source is not None
    assert found.flicker.source < 0.5


def test_a_creeping_brightness_is_a_drift_of_just_that_slope() -> None:
    source = STILL.all_pixels()
    output = [lighter(picture, index) for index, picture in enumerate(source)]
    found = measured(source, output)
    assert found.drift.output == pytest.approx(100, rel=0.01)
    assert found.drift.source == pytest.approx(0, abs=1e-6)
    assert found.drift_difference == pytest.approx(100, rel=0.01)


def test_a_drift_of_the_source_is_not_blamed_on_the_output() -> None:
    source = [lighter(picture, index) for index, picture in enumerate(STILL.all_pixels())]
    found = measured(source, source)
    assert found.drift.output == pytest.approx(100, rel=0.01)
    assert found.drift_difference == 0


def test_distant_frames_show_the_error_that_neighbours_hide() -> None:
    source = STILL.all_pixels()
    creeping = measured(source, [lighter(picture, index) for index, picture in enumerate(source)])
    for gap in (1, 5, 15):
        assert creeping.error(gap).output == pytest.approx((gap / 255) ** 2, rel=0.02)


def test_nothing_is_measured_across_a_cut() -> None:
    other = MovingClip(count=10, width=64, height=48, square_px=0, seed=9)
    source = [*STILL.all_pixels()[:10], *other.all_pixels()]
    found = measured(source, source, shots=[Shot(0, 10), Shot(10, 20)])
    assert [errors.pairs for errors in found.errors] == [18, 10, 0]
    assert found.error(15).output is None
    assert found.error().output == 0
    assert found.rows[10].pairs == ()
    assert found.rows[10].static_share is None
    assert found.drift.output == pytest.approx(0, abs=1e-6)
    assert [(shot.start, shot.end) for shot in found.shots] == [(0, 10), (10, 20)]
    uncut = measured(source, source)
    assert (uncut.error().output or 0) > 1e-4


def test_a_seam_at_each_key_frame_shows_at_keys_and_nowhere_else() -> None:
    source = STILL.all_pixels()
    keys = (0, 5, 10, 15, 19)
    output = [lighter(picture, 6 * (index in keys) + index % 2) for index, picture in enumerate(source)]
    found = measured(source, output, keys=keys)
    assert found.keys is not None
    assert (found.keys.pairs_at_keys, found.keys.pairs_elsewhere) == (8, 11)
    assert found.keys.elsewhere.output == pytest.approx((1 / 255) ** 2, rel=0.05)
    assert (found.keys.ratio or 0) > 20
    assert found.shots[0].keys == found.keys
    assert [row.frame for row in found.rows if row.key] == list(keys)


def test_keys_of_one_shot_are_told_apart_from_another_s() -> None:
    source = STILL.all_pixels()
    output = [lighter(picture, index % 2 + 9 * (index == 15)) for index, picture in enumerate(source)]
    found = measured(source, output, shots=[Shot(0, 10), Shot(10, 20)], keys=(5, 15))
    first, second = (shot.keys for shot in found.shots)
    assert first is not None
    assert second is not None
    assert first.ratio == pytest.approx(1, rel=0.1)
    assert (second.ratio or 0) > 20


def test_table_shows_key_frame_ratio_of_clip_and_shots(capsys: pytest.CaptureFixture[str]) -> None:
    source = STILL.all_pixels()
    output = [lighter(picture, index % 2 + 9 * (index == 15)) for index, picture in enumerate(source)]
    found = measured(source, output, shots=[Shot(0, 10), Shot(10, 20)], keys=(5, 15))
    write_measurement(found, as_json=False, per_frame=True)
    said = capsys.readouterr().out
    for words in ("20 frames of 64x48, 2 shots", "at key frames over elsewhere", "frames 0 to 9", "frames 10 to 19"):
        assert words in said
    assert "15 key" in said
    assert "15 frames apart" not in said  # no shot is that long


def test_a_clip_without_known_keys_has_no_key_numbers() -> None:
    assert measured(STILL.all_pixels()[:3], STILL.all_pixels()[:3]).keys is None


def test_a_blurred_output_is_steady_but_not_sharp() -> None:
    random = np.random.default_rng(2)
    source = [np.clip(p + random.normal(0, 8, p.shape), 0, 255).astype(np.uint8) for p in PAN.all_pixels()]
    blurred = [np.asarray(cv2.GaussianBlur(picture, (0, 0), 3), np.uint8) for picture in source]
    found = measured(source, blurred)
    assert (found.error().ratio or 9) < 0.5
    assert (found.sharpness.ratio or 9) < 0.1


def test_sixteen_bit_frames_measure_like_their_eight_bit_selves() -> None:
    source = PAN.all_pixels()[:3]
    narrow = measured(source, source)
    meter = Meter([Shot(0, 3)])
    for index, picture in enumerate(source):
        meter.add(index, picture, picture.astype(np.uint16) * np.uint16(257))
    wide = meter.result()
    assert wide.error().output == pytest.approx(narrow.error().output, rel=1e-3)
    assert wide.flicker.output == pytest.approx(narrow.flicker.output, rel=1e-4)


def test_meter_remembers_only_the_longest_gap() -> None:
    meter = Meter([Shot(0, 40)])
    small = np.zeros((16, 16, 3), np.uint8)
    for index in range(40):
        meter.add(index, small, small)
        assert len(meter._past) <= 15


def test_one_frame_has_no_pairs_and_still_a_sharpness() -> None:
    found = measured(STILL.all_pixels()[:1], STILL.all_pixels()[:1])
    assert found.error() == found.error(5)
    assert found.error().output is None
    assert found.flicker.output is None
    assert found.drift.output is None
    assert found.sharpness.ratio == 1


def test_a_measurement_is_plain_json_with_or_without_its_frames() -> None:
    found = measured(STILL.all_pixels()[:3], STILL.all_pixels()[:3], keys=(0, 2))
    whole = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert len(whole["rows"]) == 3
    assert whole["errors"][0]["lai"] == {"output": 0.0, "source": 0.0, "ratio": None}
    assert whole["keys"]["pairs_at_keys"] == 2
    assert "rows" not in found.to_dict(per_frame=False)


def test_meter_refuses_unexpected_frames() -> None:
    small = np.zeros((16, 16, 3), np.uint8)
    meter = Meter([Shot(4, 8)])
    with pytest.raises(ValueError, match="no shot"):
        meter.add(3, small, small)
    meter.add(4, small, small)
    with pytest.raises(ValueError, match="does not follow"):
        meter.add(6, small, small)
    with pytest.raises(ValueError, match="the source is"):
        meter.add(5, small, small[:8])


SETTINGS = quick_settings(losses=TWO_LAYERS, output={"keep_frames": False, "measure": True})


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a source of six frames, `burst`, and a style."""
    folder = tmp_path_factory.mktemp("media")
    clip = MovingClip(count=6, width=64, height=48, pan_px=(1, 0), square_px=12, square_step_px=(2, 0))
    write_pictures(folder / "burst", clip.all_pixels())
    write_style(folder / "style.png")
    return folder


@pytest.fixture(scope="module")
def rendered(media: Path) -> tuple[Path, list[Event]]:
    """An output whose run kept its frames, and the events of the render."""
    config = quick_config(SETTINGS, output={"keep_frames": True})
    return render(media, media / "out", config)


def render(media: Path, output: Path, config: RenderConfig) -> tuple[Path, list[Event]]:
    events: list[Event] = []
    vidnst.render(
        media / "burst", style=media / "style.png", output=output, config=config, overwrite=True, on_event=events.append
    )
    return output, events


def test_render_writes_a_measurement_with_a_row_per_frame(rendered: tuple[Path, list[Event]]) -> None:
    output, events = rendered
    found = json.loads((output.with_name("out.vidnst") / "measure.json").read_text())
    assert [row["frame"] for row in found["rows"]] == list(range(6))
    assert all(set(row["losses"]) == {"content", "style"} for row in found["rows"])
    nodes = (node.id for node in plan_shot(quick_config(SETTINGS).schedule, Shot(0, 6)) if isinstance(node.id, StateId))
    log = (output.with_name("out.vidnst") / "events.jsonl").read_text().splitlines()
    done = [event for event in map(json.loads, log) if event["kind"] == "done"]
    assert {event["node"] for event in done} == {str(node) for node in nodes}
    assert found["evaluations"] == sum(event["evaluations"] for event in done)
    event = next(event for event in events if isinstance(event, Measured))
    assert event.error == found["errors"][0]["lai"]["output"]
    assert event.losses == found["losses"]
    assert isinstance(events[-1], RunFinished)
    assert "warping error" in str(event)


def test_encoded_file_is_measured_next_to_its_frames(media: Path, tmp_path: Path) -> None:
    output, events = render(media, tmp_path / "out.mp4", quick_config(SETTINGS, output={"report": True}))
    event = next(event for event in events if isinstance(event, Measured))
    found = json.loads((tmp_path / "out.mp4.vidnst" / "measure.json").read_text())
    assert event.file_error is not None
    assert event.file_error != event.error == found["errors"][0]["lai"]["output"]
    assert event.file_error == found["file"]["error"]["output"]
    assert measure_output(MeasureRequest(output, with_losses=False)).error().output == pytest.approx(event.file_error)
    assert f"warping error {event.file_error:.3g}" in str(event)
    assert f"{event.error:.3g} before encoding" in str(event)
    report = (tmp_path / "out.mp4.vidnst" / "report.html").read_text("utf-8")
    assert "warping error in the encoded file" in report
    done = str(events[-1])
    assert done.startswith(f"made {output}: 6 frames in ")
    end = next(found for found in events if isinstance(found, RunFinished))
    assert (end.flicker_levels, end.source_flicker_levels) == (event.file_flicker_levels, event.source_flicker_levels)
    assert done.endswith(f"; report: {tmp_path / 'out.mp4.vidnst' / 'report.html'}")


def test_exact_file_is_as_steady_as_its_frames(media: Path, tmp_path: Path) -> None:
    _, events = render(media, tmp_path / "out.mkv", quick_config(SETTINGS))
    event = next(event for event in events if isinstance(event, Measured))
    assert event.file_error is None
    assert event.shown_error_ratio == event.error_ratio


@pytest.mark.parametrize(
    ("ratio", "flicker", "words"),
    [
        (0.3, (2.0, 2.0), "steadier than the source"),
        (0.9, (2.9, 2.0), "about as steady as the source"),
        (3, (12.0, 11.0), "a little less steady than the source"),
        (9, (None, None), "restless"),
        (26, (None, 1.0), "it flickers"),
        (0.3, (6.0, 2.5), "steadier than the source, but what stands still flickers 2.4 times as much"),
        (3, (6.0, 0.0), "a little less steady than the source, and what stands still flickers by 6 levels of 255"),
    ],
)
def test_steadiness_is_said_in_words(ratio: float, flicker: tuple[float | None, float | None], words: str) -> None:
    assert steadiness_in_words(ratio, *flicker) == words


def test_an_output_beside_its_run_folder_needs_nothing_else(rendered: tuple[Path, list[Event]]) -> None:
    output, events = rendered
    found = measure_output(MeasureRequest(output))
    event = next(event for event in events if isinstance(event, Measured))
    assert found.error().output == pytest.approx(event.error, rel=1e-6)
    # Evaluated again on 8-bit frames, and recorded by the optimiser: the same losses.
    for name in ("content", "style"):
        assert found.losses[name] == pytest.approx(event.losses[name], rel=0.02)


def test_run_folder_is_measured_by_kept_frames_and_losses(rendered: tuple[Path, list[Event]]) -> None:
    output, events = rendered
    found = measure_output(MeasureRequest(output.with_name("out.vidnst")))
    event = next(event for event in events if isinstance(event, Measured))
    assert found.losses == event.losses
    assert found.error().output == event.error


def test_a_run_folder_without_frames_is_measured_by_its_output(media: Path, tmp_path: Path) -> None:
    output, _ = render(media, tmp_path / "out.mkv", quick_config(SETTINGS))
    assert not (tmp_path / "out.mkv.vidnst" / "frames").exists()
    assert (tmp_path / "out.mkv.vidnst" / "measure.json").is_file()
    found = measure_output(MeasureRequest(tmp_path / "out.mkv.vidnst"))
    assert found.frames == 6
    assert found.to_dict() == measure_output(MeasureRequest(output)).to_dict()


def test_a_frozen_clip_is_steady_and_its_content_loss_says_why(
    media: Path, rendered: tuple[Path, list[Event]], tmp_path: Path
) -> None:
    still = cv2.imread(str(media / "burst" / "0000.png"))
    assert still is not None
    write_pictures(tmp_path / "frozen", [np.asarray(still[..., ::-1], np.uint8)] * 6)
    (tmp_path / "frozen.vidnst").mkdir()  # source, style and losses as they were for the render
    run = rendered[0].with_name("out.vidnst") / "run.json"
    (tmp_path / "frozen.vidnst" / "run.json").write_bytes(run.read_bytes())
    found = measure_output(MeasureRequest(tmp_path / "frozen"))
    assert found.flicker.output == 0
    losses = [row.losses["content"] for row in found.rows]
    assert losses[0] == pytest.approx(0, abs=1e-6)
    assert losses == sorted(losses)  # the source moves on, and the picture stays
    assert losses[5] > 0.03


def test_transcodes_and_unwanted_measurements_are_skipped(media: Path, tmp_path: Path) -> None:
    through = quick_config(SETTINGS, optimize={"iterations": 0})
    unasked = quick_config(SETTINGS, optimize={"iterations": 1}, output={"measure": False})
    for name, config in (("through", through), ("unasked", unasked)):
        _, events = render(media, tmp_path / name, config)
        assert not any(isinstance(event, Measured) for event in events)
        assert not (tmp_path / f"{name}.vidnst" / "measure.json").exists()


def test_failed_measurement_is_a_warning(media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **more: Any) -> None:
        raise BadFrameError("frame 3 does not decode")

    monkeypatch.setattr("vidnst.rendering.pipeline.measure_render", fail)
    output, events = render(media, tmp_path / "out", quick_config(SETTINGS))
    assert len(list(output.iterdir())) == 6
    assert any(isinstance(event, Warned) and "frame 3" in event.message for event in events)
    assert isinstance(events[-1], RunFinished)
    assert not (tmp_path / "out.vidnst" / "frames").exists()


def test_measurement_does_not_depend_on_threads(
    media: Path, rendered: tuple[Path, list[Event]], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for cores in (1, 2, 7):
        monkeypatch.setattr("vidnst.processes.parallel.local_cores", lambda cores=cores: cores)
        events: list[Event] = []
        measured = measure_output(MeasureRequest(rendered[0].with_name("out.vidnst")), on_event=events.append)
        found.append(json.dumps(measured.to_dict()))
        done = [event.done for event in events if isinstance(event, Stage) and event.stage == "measuring"]
        assert done == list(range(7))
    assert found[0] == found[1] == found[2]


def streamed(source: ClipInfo, output: ClipInfo, meter: type[Meter] = Meter, **more: Any) -> Measurement:
    """Measure two clips of one shot."""
    shots = [Shot(0, source.frame_count)]
    return ClipPair(source=source, output=output, shots=shots, on_bad_frame="error").measure(meter(shots), **more)


@pytest.mark.parametrize("cores", [1, 4])
@pytest.mark.parametrize("bad", ["source", "output"])
def test_undecodable_frame_is_named_after_those_before_it(
    bad: str, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vidnst.processes.parallel.local_cores", lambda: cores)
    written = {name: write_pictures(tmp_path / name, STILL.all_pixels()) for name in ("source", "output")}
    found = {name: probe(tmp_path / name) for name in written}
    for path in written[bad][3:5]:
        path.write_bytes(path.read_bytes()[:200])
    events: list[Event] = []
    with pytest.raises(BadFrameError, match=rf"frame 3 .*{bad}/0003\.png does not decode"):
        streamed(found["source"], found["output"], on_event=events.append)
    assert [event.done for event in events if isinstance(event, Stage)] == [0, 1, 2, 3]


def test_few_frames_are_in_memory_and_none_is_begun_after_a_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vidnst.processes.parallel.local_cores", lambda: 3)
    write_pictures(tmp_path, STILL.all_pixels())
    taken, kept, most = 0, 0, 0

    class Counting(Meter):
        def task(self, *arguments: Any) -> Callable[[], FrameMeasurement]:
            nonlocal taken, most
            taken, most = taken + 1, max(most, taken + 1 - kept)
            return super().task(*arguments)

        def collect(self, row: FrameMeasurement) -> None:
            nonlocal kept
            kept += 1
            super().collect(row)

    clip = probe(tmp_path)
    assert streamed(clip, clip, Counting).frames == STILL.count
    assert most <= 5
    taken, kept = 0, 0
    with pytest.raises(CancelledError):
        streamed(clip, clip, Counting, cancelled=lambda: kept == 4)
    assert kept == 4
    assert taken <= 9


def test_the_source_is_brought_to_the_output_s_size(media: Path, tmp_path: Path) -> None:
    clip = MovingClip(count=6, width=64, height=48, pan_px=(1, 0), square_px=12, square_step_px=(2, 0))
    half = [np.asarray(cv2.resize(p, (32, 24), interpolation=cv2.INTER_AREA), np.uint8) for p in clip.all_pixels()]
    write_pictures(tmp_path / "half", half)
    found = measure_output(MeasureRequest(tmp_path / "half", media / "burst"))
    assert (found.width, found.height) == (32, 24)
    assert found.error().ratio == pytest.approx(1)
    assert found.losses == {}


def test_output_of_a_range_is_compared_with_that_range(media: Path, tmp_path: Path) -> None:
    clip = MovingClip(count=6, width=64, height=48, pan_px=(1, 0), square_px=12, square_step_px=(2, 0))
    write_pictures(tmp_path / "part", clip.all_pixels()[2:5])
    found = measure_output(MeasureRequest(tmp_path / "part", media / "burst", start="2", end="5"))
    assert [row.frame for row in found.rows] == [2, 3, 4]
    assert found.sharpness.ratio == 1


def test_what_cannot_be_compared_is_refused_in_one_sentence(media: Path, tmp_path: Path) -> None:
    clip = MovingClip(count=3, width=64, height=48)
    write_pictures(tmp_path / "short", clip.all_pixels())
    write_pictures(tmp_path / "narrow", [picture[:, :40] for picture in clip.all_pixels()] * 2)
    burst = media / "burst"
    for request, error, words in (
        (MeasureRequest(tmp_path / "short", burst), OutputError, "has 3 frames, but the range of .* has 6"),
        (MeasureRequest(tmp_path / "narrow", burst), OutputError, "40x48 pixels, .* proportions .*64x48"),
        (MeasureRequest(tmp_path / "gone.mp4", burst), OutputError, "no .*gone.mp4"),
        (MeasureRequest(tmp_path / "short", tmp_path / "gone.mp4"), SourceError, "no .*gone.mp4"),
        (MeasureRequest(tmp_path / "short"), SourceError, "no run folder next to .*add --source"),
        (MeasureRequest(tmp_path / "short", burst, start="9"), RangeError, "9"),
        (MeasureRequest(burst, burst, styles=("gone.png",)), StyleError, "gone.png"),
    ):
        with pytest.raises(error, match=words):
            measure_output(request)


def test_damaged_plan_is_named(rendered: tuple[Path, list[Event]], tmp_path: Path) -> None:
    output, _ = rendered
    run = tmp_path / "out.vidnst"
    run.mkdir()
    (run / "run.json").write_bytes((output.with_name("out.vidnst") / "run.json").read_bytes())
    whole = (output.with_name("out.vidnst") / "plan.json").read_text()
    for text in (
        "[",
        '{"start": "x"}',
        '{"start": 0, "end": 6}',
        whole.replace('"shots": [[0, 6]]', '"shots": [[4, 2]]'),
        whole.replace('"shots": [[0, 6]]', '"shots": [[0, 5]]'),
    ):
        assert text != whole
        (run / "plan.json").write_text(text)
        with pytest.raises(RunError, match=r"plan\.json is damaged"):
            measure_output(MeasureRequest(run))


def test_last_result_of_a_repeated_node_counts(tmp_path: Path) -> None:
    lines = [
        {"kind": "done", "node": "0.0", "final": True, "losses": {"style": 5.0, "content": 1.0}, "evaluations": 9},
        {"kind": "done", "node": "1.0", "final": False, "losses": {"style": 7.0}, "evaluations": 2},
        {"kind": "done", "node": "1.1", "final": True, "losses": {"style": 4.0, "content": None}, "evaluations": 3},
        {"kind": "done", "node": "0.0", "final": True, "losses": {"style": 2.0, "content": 3.0}, "evaluations": 8},
        {"kind": "done", "node": "x", "losses": 3},
        {"kind": "failed", "node": "0.0"},
    ]
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    log = RunLog.read(tmp_path)
    assert log.final_losses(("content", "style")) == {0: {"style": 2.0, "content": 3.0}, 1: {"style": 4.0}}
    assert log.result_evaluations == 13
