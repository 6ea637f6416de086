"""The samples: what ships is what the script draws, and it is fit to be shown and to be rendered."""

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import cv2
import imageio_ffmpeg
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
DAYS = {"street": "Street", "garden": "Garden"}
"""Clips of a day, and the class that draws each."""

STYLES = ("swirls", "mosaic", "woodcut")
BURST = [SAMPLES / "burst" / f"IMG_{number:04}.jpg" for number in range(1, 9)]

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def draw() -> Iterator[ModuleType]:
    """The script, imported as it finds its own modules."""
    sys.path.insert(0, str(SAMPLES))
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield import_module("make_samples")
    cv2.setNumThreads(threads)
    sys.path.remove(str(SAMPLES))


@pytest.fixture(scope="module")
def clip() -> list[Pixels]:
    """The frames of the time-lapse, RGB."""
    return _frames("timelapse")


def _frames(name: str) -> list[Pixels]:
    capture = cv2.VideoCapture(str(SAMPLES / f"{name}.mp4"))
    frames = []
    while (read := capture.read())[0]:
        frames.append(np.asarray(read[1][..., ::-1], np.uint8))
    capture.release()
    return frames


def _picture(path: Path) -> Pixels:
    picture = cv2.imread(str(path))
    assert picture is not None, path
    return np.asarray(picture[..., ::-1], np.uint8)


def _psnr(one: NDArray[np.generic], other: NDArray[np.generic]) -> float:
    error = np.mean((one.astype(np.float64) - other.astype(np.float64)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def test_samples_are_small() -> None:
    shown = ("readme", "gallery")
    media = [path for path in SAMPLES.rglob("*") if path.suffix in (".mp4", ".jpg") and path.parent.name not in shown]
    assert sum(path.stat().st_size for path in media) < 2_500_000
    assert (SAMPLES / "timelapse.mp4").stat().st_size < 1_000_000
    for day in DAYS:
        assert (SAMPLES / f"{day}.mp4").stat().st_size < 700_000


def test_gallery_shows_all_its_pictures_and_is_small() -> None:
    folder = SAMPLES / "gallery"
    named = re.findall(r"\]\(([^)]+\.jpg)\)", (folder / "README.md").read_text("utf-8"))
    assert sorted(named) == sorted(path.name for path in folder.glob("*.jpg"))
    assert len(named) > 50
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2_500_000


def test_readme_shows_pictures_that_exist() -> None:
    shown = re.findall(r"\]\((samples/[\w/.-]+\.(?:jpg|webp))\)", (SAMPLES.parent / "README.md").read_text("utf-8"))
    for path in shown:
        assert (SAMPLES.parent / path).is_file(), path
    assert shown[0] == "samples/readme/evening.webp"
    drawn = {f"samples/readme/{path.name}" for path in (SAMPLES / "readme").iterdir()}
    assert drawn <= set(shown), "README shows these no more"
    told = (SAMPLES / "README.md").read_text("utf-8")
    assert all(path.removeprefix("samples/") in told for path in drawn)


def test_moving_picture_is_small_and_repeats() -> None:
    path = SAMPLES / "readme" / "evening.webp"
    assert path.stat().st_size < 2_000_000
    with Image.open(path) as picture:
        assert picture.n_frames == 42
        assert picture.size == (800, 224)
        assert picture.info["loop"] == 0


def test_samples_readme_names_existing_files() -> None:
    text = (SAMPLES / "README.md").read_text("utf-8")
    for path in re.findall(r"\| `([\w/.]+)`", text) + re.findall(r"`(studio/\w+\.py)`", text):
        assert (SAMPLES / path).is_file(), path
    for style in STYLES:
        assert f"styles/{style}.jpg" in text


def test_clip_has_expected_format(clip: list[Pixels], draw: ModuleType) -> None:
    assert len(clip) == draw.timelapse.FRAMES
    assert {frame.shape for frame in clip} == {(360, 640, 3)}
    reader = imageio_ffmpeg.read_frames(str(SAMPLES / "timelapse.mp4"))
    meta = next(reader)
    reader.close()
    assert meta["codec"] == "h264"
    assert meta["fps"] == 24
    assert meta["audio_codec"] == "aac"
    assert meta["duration"] == pytest.approx(len(clip) / 24, abs=0.05)


def test_clip_darkens_and_clouds_drift(clip: list[Pixels]) -> None:
    light = np.array([frame.mean() for frame in clip])
    assert light[0] > 2 * light[-1] > 20
    swings = np.diff(light)
    assert (swings > 0).any(), "the light only falls: no cloud leaves the sun"
    assert np.abs(swings).max() < 4
    first, later = (cv2.cvtColor(clip[index][:150], cv2.COLOR_RGB2GRAY) for index in (40, 43))
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST).calc(first, later, None)
    assert 1 < abs(float(np.median(flow[..., 0]))) < 24


def test_clip_sound_is_stereo_quiet_and_faded(draw: ModuleType) -> None:
    sound = draw.shore_sound(np.random.default_rng(7), seconds=1.5)
    assert sound.shape == (72_000, 2)
    assert np.abs(sound[:40]).max() < 200
    assert np.abs(sound[-40:]).max() < 200
    loudness = np.sqrt(np.mean((sound / 32768.0) ** 2, axis=0))
    assert (loudness > 0.01).all()
    assert (loudness < 0.15).all()
    assert not np.array_equal(sound[:, 0], sound[:, 1])


def test_script_reproduces_clip(clip: list[Pixels], draw: ModuleType) -> None:
    _, seed = draw.SAMPLES["timelapse"]
    bay = draw.timelapse.Bay(seed)
    for index in (0, 60):
        drawn = np.rint(bay.at(index) * 255)
        assert _psnr(drawn, clip[index]) > 30


def test_moments_span_the_clip_in_any_count(draw: ModuleType) -> None:
    moments = import_module("studio.movie").moments
    assert list(moments(84, 84)) == list(range(84))
    many = np.array(list(moments(400, 84)))
    assert (many[0], many[-1]) == (0, 83)
    np.testing.assert_allclose(np.diff(many), 83 / 399)


@pytest.mark.parametrize("name", DAYS)
def test_day_has_expected_format(name: str, draw: ModuleType) -> None:
    frames = _frames(name)
    assert len(frames) == getattr(draw, name).FRAMES
    assert {frame.shape for frame in frames} == {(360, 640, 3)}
    reader = imageio_ffmpeg.read_frames(str(SAMPLES / f"{name}.mp4"))
    meta = next(reader)
    reader.close()
    assert meta["codec"] == "h264"
    assert meta["fps"] == 24
    assert "audio_codec" not in meta


@pytest.mark.parametrize("name", DAYS)
def test_day_changes_its_light_and_keeps_detail(name: str) -> None:
    frames = _frames(name)
    light = np.array([frame.mean() for frame in frames])
    assert light.max() > 125
    assert light[-1] < 50
    assert np.abs(np.diff(light)).max() < 6
    for frame in frames[::20]:
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        assert np.abs(cv2.Laplacian(grey, cv2.CV_32F)).mean() > 4, "no edges"


@pytest.mark.parametrize("name", DAYS)
def test_script_reproduces_day_in_any_count(name: str, draw: ModuleType) -> None:
    _, seed = draw.SAMPLES[name]
    module, clip = getattr(draw, name), _frames(name)
    first, second = (np.rint(frame * 255) for frame, _ in zip(module.frames(seed, 400), range(2), strict=False))
    assert _psnr(first, clip[0]) > 27
    step = np.abs(first - second).mean()
    assert 0 < step < 0.6 * np.abs(clip[1].astype(float) - clip[0]).mean()


def test_script_reproduces_burst(draw: ModuleType) -> None:
    _, seed = draw.SAMPLES["burst"]
    drawn = np.rint(next(draw.burst.pictures(seed)) * 255)
    assert _psnr(drawn, _picture(BURST[0])) > 32


def test_burst_is_hand_held_and_has_motion() -> None:
    pictures = [_picture(path) for path in BURST]
    assert sorted(path.name for path in (SAMPLES / "burst").iterdir()) == [path.name for path in BURST]
    assert len({picture.shape for picture in pictures}) == 1
    grey = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32) for picture in pictures]
    window = cv2.createHanningWindow(grey[0].shape[::-1], cv2.CV_32F)
    shifts = [np.hypot(*cv2.phaseCorrelate(grey[0], other, window)[0]) for other in grey[1:]]
    assert 1 < max(shifts) < 25
    assert np.mean(shifts) > 1
    smooth = cv2.GaussianBlur(grey[0][5:40, 400:], (0, 0), 2)
    assert 0.5 < float(np.std(grey[0][5:40, 400:] - smooth)) < 8, "noise of the clear sky"


@pytest.mark.parametrize("style", STYLES)
def test_style_has_colour_contrast_and_texture(style: str) -> None:
    picture = _picture(SAMPLES / "styles" / f"{style}.jpg")
    assert picture.shape == (480, 640, 3)
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    assert grey.std() > 40
    assert np.abs(cv2.Laplacian(grey, cv2.CV_32F)).mean() > 15, "no strokes"
    assert np.ptp(picture.reshape(-1, 3).astype(int), axis=1).mean() > 20, "no colour"


def test_styles_differ_from_each_other() -> None:
    histograms = []
    for style in STYLES:
        lab = cv2.cvtColor(_picture(SAMPLES / "styles" / f"{style}.jpg"), cv2.COLOR_RGB2LAB)
        counts = cv2.calcHist([lab], [0, 1, 2], None, [8, 8, 8], [0, 256] * 3)
        histograms.append(counts / counts.sum())
    for index, one in enumerate(histograms):
        for other in histograms[index + 1 :]:
            assert np.minimum(one, other).sum() < 0.6


@pytest.mark.parametrize("style", STYLES)
def test_script_reproduces_style(style: str, draw: ModuleType, tmp_path: Path) -> None:
    make, seed = draw.SAMPLES[style]
    (path,) = make(tmp_path, seed)
    assert _psnr(_picture(path), _picture(SAMPLES / "styles" / f"{style}.jpg")) > 30


def test_noise_repeats_with_seed_and_tiles(draw: ModuleType) -> None:
    texture = import_module("studio.texture")
    noise = texture.tileable_noise(np.random.default_rng(5), 128, slope=2)
    again = texture.tileable_noise(np.random.default_rng(5), 128, slope=2)
    np.testing.assert_array_equal(noise, again)
    assert np.abs(noise[:, 0] - noise[:, -1]).max() < 3 * np.abs(np.diff(noise, axis=1)).max()
    corner = np.zeros((1, 1), np.float32)
    np.testing.assert_allclose(texture.look_up(noise, corner + 1.25, corner - 0.5), noise[64:65, 32:33], atol=0.05)


def test_strokes_follow_their_field(draw: ModuleType) -> None:
    strokes = import_module("studio.strokes")
    y, x = np.mgrid[:200, :200].astype(np.float32)
    directions = strokes.along_contours(np.hypot(x - 100, y - 100))
    directions[:, ::2] *= -1
    (path,) = strokes.trace(directions, np.array([[160.0, 100.0]], np.float32), points=21, step=2.0)
    radii = np.hypot(path[:, 0] - 100, path[:, 1] - 100)
    assert np.abs(radii - 60).max() < 3
    steps = np.diff(path, axis=0)
    assert ((steps[1:] * steps[:-1]).sum(-1) > 0).all()


def test_encode_error_includes_ffmpeg_message(draw: ModuleType, tmp_path: Path) -> None:
    odd = np.zeros((33, 31, 3), np.float32)
    with pytest.raises(RuntimeError, match=r"(?s)ffmpeg could not write .*odd\.mp4.*not divisible by 2"):
        draw.write_mp4(tmp_path / "odd.mp4", [odd] * 3, np.zeros((4800, 2), np.int16), rate=24, crf=22)


def test_script_draws_requested_samples_only(tmp_path: Path) -> None:
    command = [sys.executable, str(SAMPLES / "make_samples.py"), "woodcut", "--seed", "5", "--into", str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")] == ["styles/woodcut.jpg"]
    assert "woodcut.jpg" in said.stdout
    other = _psnr(_picture(tmp_path / "styles/woodcut.jpg"), _picture(SAMPLES / "styles/woodcut.jpg"))
    assert other < 20, "another seed, the same picture"


def test_script_lists_samples_for_unknown_name(tmp_path: Path) -> None:
    command = [sys.executable, str(SAMPLES / "make_samples.py"), "fresco", "--into", str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 2
    assert "'fresco'" in said.stderr
    assert "mosaic" in said.stderr


def test_script_paints_over_a_frame_in_its_own_palette(clip: list[Pixels], tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    cv2.imwrite(str(tmp_path / "keys" / "0000.png"), clip[0][..., ::-1])
    command = [sys.executable, str(SAMPLES / "paint_key.py"), "keys", "painted", "--hue", "0.2"]
    subprocess.run(command, check=True, cwd=tmp_path)
    picture = _picture(tmp_path / "painted" / "0000.png")
    assert picture.shape == clip[0].shape
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) <= 8
