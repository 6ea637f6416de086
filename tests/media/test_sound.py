"""Sound as samples: raw files, excerpts, loudness, and the picture of a sound."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from support.sound_clips import write_clip, write_gap, write_sound
from support.sounds import RATE, rain, syllables

from vidnst.errors import SourceError, StyleError
from vidnst.media.draw.spectrogram import draw_spectrogram
from vidnst.media.input.container import INPUT_OPTIONS
from vidnst.media.input.sound import RawSound, decode_track, loudness, read_excerpt, read_style_sound


def test_raw_files_give_back_their_samples(tmp_path: Path) -> None:
    sound = syllables(1, channels=2)
    raw = RawSound(tmp_path / "a.raw", RATE, 2)
    raw.write(iter([sound[:, :100], sound[:, 100:]]))
    assert raw.samples == RATE
    np.testing.assert_array_equal(raw.read(90, 130), sound[:, 90:130])
    np.testing.assert_array_equal(np.concatenate(list(raw.pieces()), 1), sound)
    with pytest.raises(SourceError, match="cut off"):
        raw.read(RATE - 1, RATE + 1)


def test_tracks_decode_to_the_sample(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", syllables(2)[:, :-3], codec="pcm_f32le")
    raw = RawSound(tmp_path / "a.raw", RATE, 1, "mono")
    decode_track([*INPUT_OPTIONS, "-i", str(clip)], 1, raw, most_seconds=Fraction(60))
    np.testing.assert_allclose(raw.read(0, raw.samples), syllables(2)[:, :-3], atol=2e-5)


def test_loudness_is_that_of_ebu_r128(tmp_path: Path) -> None:
    time = np.arange(48_000 * 3) / 48_000
    raw = RawSound(tmp_path / "a.raw", 48_000, 2)
    raw.write(iter([np.tile(0.1 * np.sin(2 * np.pi * 997 * time), (2, 1)).astype(np.float32)]))
    assert loudness(raw) == pytest.approx(-20, abs=0.11)  # -23 dB of each channel, and 3 dB for two of them


def test_silence_has_no_loudness(tmp_path: Path) -> None:
    raw = RawSound(tmp_path / "a.raw", RATE, 1)
    raw.write(iter([np.zeros((1, RATE), np.float32)]))
    assert loudness(raw) is None


def test_short_sounds_have_their_plain_level(tmp_path: Path) -> None:
    raw = RawSound(tmp_path / "a.raw", RATE, 1)
    raw.write(iter([np.full((1, 800), 0.1, np.float32)]))
    assert loudness(raw) == pytest.approx(-20.69, abs=0.01)


def test_styles_with_equal_channels_are_mono(tmp_path: Path) -> None:
    one = rain(1)
    alike = write_sound(tmp_path / "alike.wav", np.concatenate([one, one]))
    sides = write_sound(tmp_path / "sides.wav", np.concatenate([one, rain(1, seed=9)]))
    assert read_style_sound(alike, RATE).shape == (1, RATE)
    assert read_style_sound(sides, RATE).shape == (2, RATE)


def test_excerpts_begin_where_they_should(tmp_path: Path) -> None:
    sound = syllables(3)
    path = write_sound(tmp_path / "a.wav", sound)
    part = read_excerpt(path, RATE, channels=1, seconds=1, start=1)
    np.testing.assert_allclose(part, sound[:, RATE : 2 * RATE], atol=1e-4)
    with pytest.raises(StyleError, match="there is no sound"):
        read_excerpt(tmp_path / "none.wav", RATE, channels=1, seconds=1)


def test_playlists_are_no_sound(tmp_path: Path) -> None:
    write_sound(tmp_path / "a.wav", rain(1))
    playlist = tmp_path / "list.m3u8"
    playlist.write_text("#EXTM3U\n#EXTINF:1,\na.wav\n#EXT-X-ENDLIST\n")
    with pytest.raises(StyleError, match="no sound that can be read"):
        read_style_sound(playlist, RATE)


def test_silence_of_any_length_is_not_written(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", syllables(1))
    gap = write_gap(tmp_path / "gap.mkv", clip, seconds=100)
    raw = RawSound(tmp_path / "a.raw", RATE, 1, "mono")
    decode_track([*INPUT_OPTIONS, "-i", str(gap)], 1, raw, most_seconds=Fraction(5))
    assert raw.samples == 5 * RATE


def test_wrong_samples_of_a_track_become_silence(tmp_path: Path) -> None:
    sound = syllables(1)
    sound[0, [5, 6000]] = np.nan, -np.inf
    clip = write_clip(tmp_path / "clip.mkv", sound, codec="pcm_f32le", inner="pcm_f32le")
    raw = RawSound(tmp_path / "a.raw", RATE, 1, "mono")
    assert decode_track([*INPUT_OPTIONS, "-i", str(clip)], 1, raw, most_seconds=Fraction(60)) == 2
    np.testing.assert_array_equal(raw.read(0, raw.samples), np.where(np.isfinite(sound), sound, 0))


@pytest.mark.filterwarnings("error")
def test_spectrograms_take_wrong_samples_as_silence() -> None:
    wrong = np.zeros(8000, np.float32)
    wrong[[10, 500, 4000]] = np.nan, np.inf, -np.inf
    np.testing.assert_array_equal(draw_spectrogram(wrong, 8000), draw_spectrogram(np.zeros(8000, np.float32), 8000))


def test_spectrograms_show_pitch_and_time() -> None:
    time = np.arange(44_100) / 44_100
    low_then_high = np.sin(2 * np.pi * np.where(time < 0.5, 200, 5000) * time).astype(np.float32)
    picture = draw_spectrogram(low_then_high, 44_100).astype(int).sum(2)
    brightest = picture.argmax(0)
    assert brightest[5] > picture.shape[0] / 2 > brightest[-5]
    assert draw_spectrogram(np.zeros(10, np.float32), 8000).shape == (200, 1, 3)
