"""Renders whose soundtrack is restyled: length, loudness, borders, silence, resumption, and what is refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.media import numbered_pictures, write_pictures, write_style, write_video
from support.renders import quick_config, quick_settings
from support.sound_clips import read_sound, write_clip, write_gap, write_sound
from support.sounds import RATE, band_curves, click_places, clicks, level_curve, rain, syllables

from vidnst.cli.commands.render_options import RenderOptions
from vidnst.config import RenderConfig
from vidnst.config.loader import with_settings
from vidnst.errors import CancelledError, ConfigError, SourceError, StyleError
from vidnst.events import Event, NodeStarted, Warned
from vidnst.farm.provisioning import WorkerCounts
from vidnst.media.input.container import read_container
from vidnst.media.input.sound import RawSound, loudness
from vidnst.media.output.audio import restyled_encoder_for
from vidnst.media.output.restyled_audio import made_stream
from vidnst.rendering.batch.run import run_batch
from vidnst.rendering.pipeline import run
from vidnst.runs.layout import run_folder_of
from vidnst.runs.request import Request
from vidnst.runs.status import RunMonitor
from vidnst.tools.forecast.render_plan import plan_render
from vidnst.tools.forecast.sound_time import chunk_seconds
from vidnst.tools.forecast.timing import WorkTimings, estimate_seconds

Make = Callable[..., RenderConfig]
HOP = 64


@pytest.fixture
def config(tmp_path: Path) -> Make:
    """Return a function that makes the settings of a quick render without painting, after the sound of rain."""
    style = write_sound(tmp_path / "rain.wav", rain(4))

    def make(**audio: Any) -> RenderConfig:
        settings = {"style": str(style), "filters": 16, "iterations": 12, **audio}
        return quick_config(optimize={"iterations": 0}, farm={"workers": 1}, audio=settings)

    return make


def render(source: Path | list[str], output: Path, config: RenderConfig, **options: Any) -> list[Event]:
    events: list[Event] = []
    listen = options.pop("on_event", events.append)
    name = str(source) if isinstance(source, Path) else source
    run(Request(name, (), output, config), on_event=listen, **options)
    return events


def lufs(path: Path, sound: np.ndarray[Any, np.dtype[np.float32]]) -> float | None:
    raw = RawSound(path.with_suffix(".raw"), RATE, sound.shape[0])
    raw.write(iter([sound]))
    return loudness(raw)


@pytest.mark.parametrize(("suffix", "codec", "encoder"), [(".mkv", "pcm_s16le", "flac"), (".mp4", "pcm_s16le", "alac")])
def test_every_sample_and_the_loudness_stay(
    tmp_path: Path, config: Make, suffix: str, codec: str, encoder: str
) -> None:
    clip = write_clip(tmp_path / "clip.mkv", syllables(3, channels=2)[:, :-7], codec=codec)
    output = tmp_path / f"out{suffix}"
    render(clip, output, config())
    before, after = read_sound(clip, channels=2), read_sound(output, channels=2)
    assert [stream.codec for stream in read_container(output).audio] == [encoder]
    assert after.shape == before.shape
    wanted, found = lufs(tmp_path / "a", before), lufs(tmp_path / "b", after)
    assert wanted is not None
    assert found == pytest.approx(wanted, abs=1)
    assert np.corrcoef(level_curve(before), level_curve(after))[0, 1] > 0.8
    assert not np.allclose(before, after, atol=0.01)


def test_clicks_stay_within_a_hop_in_the_file(tmp_path: Path, config: Make) -> None:
    clip = write_clip(tmp_path / "clip.mkv", clicks(3))
    render(clip, tmp_path / "out.mkv", config())
    after = np.abs(read_sound(tmp_path / "out.mkv")[0])
    for place in click_places():
        around = after[place - 800 : place + 800]
        assert abs(int(np.flatnonzero(around > 0.25 * around.max())[0]) - 800) <= HOP


def test_lossy_sound_stays_lossy(tmp_path: Path, config: Make) -> None:
    clip = write_clip(tmp_path / "clip.mkv", syllables(2), codec="libmp3lame")
    render(clip, tmp_path / "out.mkv", config(iterations=2))
    assert [stream.codec for stream in read_container(tmp_path / "out.mkv").audio] == ["aac"]


def test_webm_gets_opus_that_is_as_long(tmp_path: Path, config: Make) -> None:
    clip = write_clip(tmp_path / "clip.mkv", syllables(2))
    render(clip, tmp_path / "out.webm", config(iterations=2))
    assert [stream.codec for stream in read_container(tmp_path / "out.webm").audio] == ["opus"]
    after = read_sound(tmp_path / "out.webm")
    assert after.shape[1] == 2 * 48_000  # the rate of all Opus
    assert np.corrcoef(level_curve(after[:, ::6]), level_curve(syllables(2)))[0, 1] > 0.8


def test_any_number_of_workers_gives_the_same_sound(tmp_path: Path, config: Make) -> None:
    clip = write_clip(tmp_path / "clip.mkv", syllables(22))
    sounds = []
    for workers in (1, 3):
        settings = with_settings(config(iterations=3), {"farm.workers": workers})
        render(clip, tmp_path / f"{workers}.mkv", settings)
        sounds.append(read_sound(tmp_path / f"{workers}.mkv").tobytes())
    assert sounds[0] == sounds[1]


def test_every_track_is_restyled(tmp_path: Path, config: Make) -> None:
    clip = write_clip(tmp_path / "clip.mkv", syllables(2), clicks(2, channels=2))
    render(clip, tmp_path / "out.mkv", config(iterations=2))
    streams = read_container(tmp_path / "out.mkv").audio
    assert [stream.channels for stream in streams] == [1, 2]
    first, second = read_sound(tmp_path / "out.mkv"), read_sound(tmp_path / "out.mkv", track=1)
    assert np.corrcoef(level_curve(first), level_curve(syllables(2)))[0, 1] > 0.8
    assert np.corrcoef(level_curve(second), level_curve(clicks(2)))[0, 1] > 0.8


def test_chunks_have_no_seam(tmp_path: Path, config: Make) -> None:
    source = rain(22, seed=11)
    clip = write_clip(tmp_path / "clip.mkv", source)
    render(clip, tmp_path / "out.mkv", config(strength=0.9))
    after = read_sound(tmp_path / "out.mkv")
    before = read_sound(clip)
    change = 20 * np.log10(level_curve(after, 250) / level_curve(before, 250))
    borders = [round(number * (source.shape[1] - RATE // 2) / 3 / RATE * 4) for number in (1, 2)]
    near = np.concatenate([change[border - 1 : border + 4] for border in borders])
    elsewhere = np.delete(change, [border + step for border in borders for step in range(-1, 4)])
    assert abs(near.mean() - elsewhere.mean()) < 0.5
    assert np.abs(near - elsewhere.mean()).max() < np.abs(elsewhere - elsewhere.mean()).max() + 1
    at_borders = [border + step for border in borders for step in range(-1, 4)]
    for band in 20 * np.log10(band_curves(after, 250, 6) / band_curves(before, 250, 6)):
        assert abs(band[at_borders].mean() - np.delete(band, at_borders).mean()) < 1


def test_a_silent_source_stays_silent(tmp_path: Path, config: Make) -> None:
    clip = write_clip(tmp_path / "clip.mkv", np.zeros((1, 2 * RATE), np.float32))
    render(clip, tmp_path / "out.mkv", config())
    after = read_sound(tmp_path / "out.mkv")
    assert after.shape == (1, 2 * RATE)
    assert not after.any()


def test_a_part_of_the_clip_has_its_part_of_the_sound(tmp_path: Path) -> None:
    style = write_sound(tmp_path / "rain.wav", rain(2))
    clip = write_clip(tmp_path / "clip.mkv", syllables(4))
    audio = {"style": str(style), "filters": 16, "iterations": 2}
    cut = {"start": "2", "end": "6"}
    part = quick_config(optimize={"iterations": 0}, farm={"workers": 1}, audio=audio, input=cut)
    render(clip, tmp_path / "out.mkv", part)
    after = read_sound(tmp_path / "out.mkv")
    assert after.shape[1] == pytest.approx(2 * RATE, abs=RATE // 100)
    whole = level_curve(syllables(4))[50 : 50 + level_curve(after).size]
    assert np.corrcoef(level_curve(after)[: whole.size], whole)[0, 1] > 0.8


def test_a_stopped_render_resumes_to_the_same_bytes(tmp_path: Path, config: Make) -> None:
    clip = write_clip(tmp_path / "clip.mkv", syllables(22))
    settings = config(iterations=3)
    render(clip, tmp_path / "whole.mkv", settings)
    begun: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, NodeStarted) and event.node.startswith("sound"):
            begun.append(event.node)

    with pytest.raises(CancelledError):
        render(clip, tmp_path / "out.mkv", settings, on_event=listen, cancelled=lambda: len(begun) == 2)
    kept = {path.name for path in (run_folder_of(tmp_path / "out.mkv") / "state").glob("sound*")}
    assert "sound0.0.npy" in kept
    assert len(kept) < 3
    begun.clear()
    render(clip, tmp_path / "out.mkv", settings, on_event=listen)
    assert "sound0.0" not in begun
    assert read_sound(tmp_path / "out.mkv").tobytes() == read_sound(tmp_path / "whole.mkv").tobytes()


def test_temporary_sound_is_removed(tmp_path: Path, config: Make) -> None:
    clip = write_clip(tmp_path / "clip.mkv", syllables(2))
    render(clip, tmp_path / "out.mkv", config(iterations=2))
    assert not [path for path in run_folder_of(tmp_path / "out.mkv").iterdir() if ".part" in path.name]


def test_pictures_get_a_soundtrack_of_the_style_alone(tmp_path: Path, config: Make) -> None:
    paths = write_pictures(tmp_path / "pictures", numbered_pictures(5, (64, 48)))
    settings = config(fill=True, iterations=4)
    settings = settings.model_copy(update={"input": settings.input.model_copy(update={"fps": 2})})
    render([str(path) for path in paths], tmp_path / "out.mkv", settings)
    (stream,) = read_container(tmp_path / "out.mkv").audio
    assert (stream.sample_rate, stream.channels) == (48_000, 1)
    after = read_sound(tmp_path / "out.mkv")
    assert after.shape[1] == pytest.approx(2.5 * 48_000, abs=2048)
    assert after.std() > 0.005


def test_a_source_without_sound_is_said(tmp_path: Path, config: Make) -> None:
    write_pictures(tmp_path / "pictures", numbered_pictures(2, (64, 48)))
    events = render(tmp_path / "pictures", tmp_path / "out.mkv", config())
    assert any(
        "to restyle; --set audio.fill=true makes one" in event.message for event in events if isinstance(event, Warned)
    )
    assert not read_container(tmp_path / "out.mkv").audio


def test_no_strength_copies_the_sound(tmp_path: Path, config: Make) -> None:
    clip = write_clip(tmp_path / "clip.mkv", syllables(2))
    render(clip, tmp_path / "out.mkv", config(strength=0))
    np.testing.assert_array_equal(read_sound(tmp_path / "out.mkv"), read_sound(clip))


def test_outputs_without_sound_are_refused(tmp_path: Path, config: Make) -> None:
    clip = write_clip(tmp_path / "clip.mkv", syllables(2))
    with pytest.raises(ConfigError, match="has no sound"):
        render(clip, tmp_path / "out.gif", config())


def test_styles_without_sound_are_refused(tmp_path: Path, config: Make) -> None:
    clip = write_clip(tmp_path / "clip.mkv", syllables(2))
    silence = write_sound(tmp_path / "silence.wav", np.zeros((1, RATE), np.float32))
    wrong = rain(1)
    wrong[0, 100] = np.nan
    text = tmp_path / "text.wav"
    text.write_text("no sound")
    for path, words in (
        (silence, "is silent"),
        (text, "text.wav has no sound that can be read"),
        (write_style(tmp_path / "style.png"), "style.png has no sound that can be read"),
        (write_video(tmp_path / "mute.mkv", numbered_pictures(2, (64, 48))), "mute.mkv has no sound;"),
        (write_sound(tmp_path / "wrong.wav", wrong, "-c:a", "pcm_f32le"), "NaN or infinite"),
        (".", "there is no sound at"),
        ("/", "there is no sound at"),
        ("", "there is no sound at"),
        (tmp_path / "none.wav", "there is no sound"),
        ("n" * 5000, "there is no sound"),
        ("\0", "there is no sound"),
    ):
        with pytest.raises(StyleError, match=words):
            render(clip, tmp_path / "out.mkv", config(style=str(path)))


def test_hours_of_silence_by_time_stamps_are_refused(tmp_path: Path, config: Make) -> None:
    clip = write_clip(tmp_path / "clip.mkv", syllables(1))
    gap = write_gap(tmp_path / "gap.mkv", clip, seconds=5000)
    with pytest.raises(SourceError, match="lasts 5001 s by its time stamps, and 1 s of it are there"):
        render(gap, tmp_path / "out.mkv", config())
    request = Request(str(write_gap(tmp_path / "short.mkv", clip, seconds=600)), (), tmp_path / "out.mkv", config())
    sound = plan_render(request).checked.sound
    assert sound is not None
    assert sound.seconds == 601


def test_wrong_samples_of_the_source_become_silence(tmp_path: Path, config: Make) -> None:
    sound = syllables(2)
    sound[0, 3000:3004] = [np.nan, np.inf, -np.inf, np.nan]
    clip = write_clip(tmp_path / "clip.mkv", sound, codec="pcm_f32le", inner="pcm_f32le")
    events = render(clip, tmp_path / "out.mkv", config(iterations=2))
    assert any("4 samples of the soundtrack" in event.message for event in events if isinstance(event, Warned))
    after = read_sound(tmp_path / "out.mkv")
    assert np.corrcoef(level_curve(after), level_curve(syllables(2)))[0, 1] > 0.8


def test_layouts_that_alac_lacks_get_aac(tmp_path: Path, config: Make) -> None:
    clip = write_clip(tmp_path / "clip.mkv", np.repeat(syllables(2), 8, axis=0), codec="flac")
    render(clip, tmp_path / "out.mp4", config(iterations=2))
    (before,), (after,) = read_container(clip).audio, read_container(tmp_path / "out.mp4").audio
    assert before.layout == "7.1"
    assert (after.codec, after.channels, after.layout) == ("aac", 8, "7.1")
    wanted = lufs(tmp_path / "a", read_sound(clip))
    assert lufs(tmp_path / "b", read_sound(tmp_path / "out.mp4")) == pytest.approx(wanted, abs=1)


def test_alac_keeps_six_channels_without_a_layout() -> None:
    stream = replace(made_stream(RATE, 6), codec="pcm_s16le", layout="6 channels")
    assert restyled_encoder_for(".mp4", stream) == "alac"
    assert restyled_encoder_for(".mp4", replace(stream, channels=8, layout="8 channels")) == "aac"
    assert restyled_encoder_for(".mkv", replace(stream, channels=8, layout="7.1")) == "flac"


def test_another_style_is_another_render(tmp_path: Path, config: Make) -> None:
    clip = write_clip(tmp_path / "clip.mkv", syllables(2))
    render(clip, tmp_path / "out.mkv", config(iterations=2))
    other = write_sound(tmp_path / "other.wav", rain(3, seed=8))
    said = render(clip, tmp_path / "out.mkv", config(iterations=2, style=str(other)), overwrite=True)
    assert any("sound other.wav has other bytes" in event.message for event in said if isinstance(event, Warned))
    said = render(clip, tmp_path / "out.mkv", config(iterations=2, style=str(other), strength=1), overwrite=True)
    assert any("audio.strength: 0.5 -> 1" in event.message for event in said if isinstance(event, Warned))


def test_plans_and_tables_know_the_sound(tmp_path: Path, config: Make) -> None:
    clip = write_clip(tmp_path / "clip.mkv", syllables(22))
    plan = plan_render(Request(str(clip), (), tmp_path / "out.mkv", config()))
    assert plan.nodes_by_role["sound"] == 3
    assert plan.evaluations == 3 * 12
    assert not plan.checked.has_independent_frames  # the range decides where chunks begin
    assert any("in the texture of rain.wav, encoded with flac" in row.note for row in plan.checked.fates)
    assert not any(row.is_notable for row in plan.checked.fates if "audio" in row.name)


def test_a_failed_chunk_is_named_and_retried(tmp_path: Path, config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = write_clip(tmp_path / "clip.mkv", syllables(2))
    from vidnst.errors import FramesFailedError, NumericalError
    from vidnst.farm.sound_work import SoundWorker

    def fail(self: SoundWorker, job: object) -> None:
        raise NumericalError("the restyled sound is not finite")

    with monkeypatch.context() as patch:
        patch.setattr(SoundWorker, "run", fail)
        with pytest.raises(FramesFailedError, match="lacks chunk 1 of audio track 1") as failed:
            render(clip, tmp_path / "out.mkv", config(iterations=2))
    assert failed.value.frames == ()
    assert RunMonitor().status(run_folder_of(tmp_path / "out.mkv")).state == "failed"
    render(clip, tmp_path / "out.mkv", config(iterations=2))
    assert read_sound(tmp_path / "out.mkv").any()


def test_the_report_shows_spectrograms(tmp_path: Path, config: Make) -> None:
    clip = write_clip(tmp_path / "clip.mkv", syllables(2))
    settings = config(iterations=2)
    settings = settings.model_copy(update={"output": settings.output.model_copy(update={"report": True})})
    render(clip, tmp_path / "out.mkv", settings)
    page = (run_folder_of(tmp_path / "out.mkv") / "report.html").read_text("utf-8")
    for name in ("source: clip.mkv, 2.0 s", "style: rain.wav, 4.0 s", "result: out.mkv, 2.0 s"):
        assert f"Spectrogram of the {name}" in page


@pytest.mark.parametrize("executor", ["inline", pytest.param("ray", marks=pytest.mark.ray)])
def test_a_batch_restyles_the_sound_of_each_clip(tmp_path: Path, executor: str) -> None:
    style = write_sound(tmp_path / "rain.wav", rain(2))
    for number in range(2):
        write_clip(tmp_path / f"clip{number}.mkv", syllables(2 + number))
    settings = quick_settings(
        optimize={"iterations": 0},
        farm={"executor": executor, "workers": 1},
        audio={"style": str(style), "filters": 16, "iterations": 2},
    )
    write_style(tmp_path / "style.png")
    entry = {"sources": ["clip0.mkv", "clip1.mkv"], "styles": ["style.png"]}
    jobs = {"defaults": {"set": settings, "folder": "out", "output": "{source}-{style}.mkv"}, "jobs": [entry]}
    (tmp_path / "jobs.yaml").write_text(json.dumps(jobs))
    run_batch(tmp_path / "jobs.yaml")
    for number in range(2):
        after = read_sound(tmp_path / "out" / f"clip{number}-style.mkv")
        assert after.shape[1] == (2 + number) * RATE
        assert not np.allclose(after, syllables(2 + number), atol=0.01)


def test_forecasts_count_the_sound(tmp_path: Path, config: Make) -> None:
    clip = write_clip(tmp_path / "clip.mkv", syllables(22))
    write_style(tmp_path / "style.png")
    painting = config().model_copy(update={"optimize": quick_config().optimize})
    plan = plan_render(Request(str(clip), (str(tmp_path / "style.png"),), tmp_path / "out.mkv", painting))
    assert chunk_seconds(plan.checked, 1) > 0
    timings = WorkTimings(evaluation=0.0, fixed=0.0, cold=0.0, flow=0.0, frame=0.0, sound=2.0)
    found = [
        estimate_seconds(plan.checked, plan.nodes, WorkerCounts(style=count, flow=1, threads=1), timings, cores=8)
        for count in (1, 3)
    ]
    assert found == [6.0, 2.0]


def test_the_option_names_the_style_of_the_sound() -> None:
    assert RenderOptions(style_audio="rain.wav").settings().audio.style == "rain.wav"
    assert RenderOptions().settings().audio.style is None
