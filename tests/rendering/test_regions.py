"""Renders with styles over time, per shot and in regions, and with moving styles: the frames, and resuming."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.media import soft_noise, write_picture, write_pictures
from support.renders import TWO_LAYERS, quick_config, quick_settings, stop_after, warnings_in

import vidnst
from vidnst.config import OutputConfig
from vidnst.config.style import Style
from vidnst.errors import CancelledError, ConfigError, RunError, VidnstError
from vidnst.events import Event, Warned
from vidnst.media.images import read_image
from vidnst.rendering.measure_output import MeasureRequest, measure_output
from vidnst.rendering.pipeline import run
from vidnst.runs.request import Request, load_request
from vidnst.tools.forecast.render_plan import describe_render, plan_render

WIDTH, HEIGHT, FRAMES = 96, 64, 6
SETTINGS = quick_settings(losses=TWO_LAYERS, optimize={"iterations": 16}, farm={"workers": 2})


def blocks(seed: int, tint: tuple[int, int, int]) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).integers(-60, 61, (8, 8, 1))
    return np.kron(np.clip(np.array(tint) + noise, 0, 255).astype(np.uint8), np.ones((8, 8, 1), np.uint8))


@pytest.fixture(scope="module")
def muted_burst(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures without strong colours, so that those of the styles show."""
    texture = soft_noise((WIDTH, HEIGHT), (12, 16), low=60, high=190)
    folder = tmp_path_factory.mktemp("burst")
    write_pictures(folder, [np.roll(texture, 2 * number, axis=1) for number in range(FRAMES)])
    return folder


@pytest.fixture(scope="module")
def red(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_picture(tmp_path_factory.mktemp("red") / "red.png", blocks(1, (190, 70, 60)))


@pytest.fixture(scope="module")
def blue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_picture(tmp_path_factory.mktemp("blue") / "blue.png", blocks(2, (60, 80, 190)))


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    mask = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    mask[:, : WIDTH // 2] = 255
    return write_picture(tmp_path_factory.mktemp("mask") / "left.png", mask)


def rendered(muted_burst: Path, styles: list[str], output: Path, **sections: dict[str, Any]) -> list[NDArray[Any]]:
    vidnst.render(muted_burst, style=styles, output=output, config=quick_config(SETTINGS, sections))
    return [read_image(path) for path in sorted(output.glob("*.png"))]


def redness(pixels: NDArray[Any]) -> float:
    mean = pixels.astype(float).mean(axis=(0, 1))
    return float(mean[0] - mean[2])


def test_clip_blends_from_one_style_to_another(muted_burst: Path, red: Path, blue: Path, tmp_path: Path) -> None:
    frames = rendered(muted_burst, [f"{red}@1", f"{blue}@5"], tmp_path / "out", schedule={"kind": "independent"})
    reds = [redness(frame) for frame in frames]
    assert reds[0] > 20
    assert reds[5] < -20
    assert abs(reds[0] - reds[1]) < 5
    assert reds[1] > reds[2] > reds[3] > reds[4] > reds[5]
    alone = rendered(muted_burst, [str(blue)], tmp_path / "alone", schedule={"kind": "independent"})
    np.testing.assert_array_equal(frames[5], alone[5])


@pytest.mark.parametrize("kind", ["keys", "chain"])
def test_sudden_style_change_leaves_no_old_style(
    kind: str, muted_burst: Path, red: Path, blue: Path, tmp_path: Path
) -> None:
    settings: dict[str, dict[str, Any]] = {"schedule": {"kind": kind, "spacing": 3}}
    frames = rendered(muted_burst, [f"{red}@2", f"{blue}@3"], tmp_path / "out", **settings)
    alone = [rendered(muted_burst, [str(style)], tmp_path / style.stem, **settings) for style in (red, blue)]
    for number, frame in enumerate(frames):
        before, after = (redness(clip[number]) for clip in alone)
        own, foreign = (before, after) if number < 3 else (after, before)
        assert abs(redness(frame) - own) < 0.35 * abs(foreign - own)


def test_each_shot_has_its_own_style(muted_burst: Path, red: Path, blue: Path, tmp_path: Path) -> None:
    frames = rendered(muted_burst, [str(red), f"{blue}@shot1"], tmp_path / "out", input={"shots": [2, 4]})
    assert [redness(frame) > 0 for frame in frames] == [True, True, False, False, True, True]


def test_mask_that_is_scaled_is_named(muted_burst: Path, red: Path, left: Path, tmp_path: Path) -> None:
    small = write_picture(tmp_path / "small.png", read_image(left)[::2, ::2])
    events: list[Event] = []
    config = quick_config(SETTINGS, regions={"masks": {"sky": str(small)}})
    request = Request(str(muted_burst), (f"{red}#sky",), tmp_path / "out", config)
    plan_render(request, on_event=events.append)
    (said,) = [event.message for event in events if isinstance(event, Warned)]
    assert "small.png of region sky has" in said
    assert "and is scaled to" in said


def test_shot_without_style_is_refused_before_rendering(
    muted_burst: Path, red: Path, blue: Path, tmp_path: Path
) -> None:
    styles, config = (f"{red}@shot0", f"{blue}@shot2"), quick_config(SETTINGS, input={"shots": [2, 4]})
    for refuse in (
        lambda: rendered(muted_burst, list(styles), tmp_path / "out", input={"shots": [2, 4]}),
        lambda: describe_render(Request(str(muted_burst), styles, tmp_path / "out", config)),
    ):
        with pytest.raises(ConfigError, match="shot 1 has no style"):
            refuse()
    assert not (tmp_path / "out").exists()
    assert not list((tmp_path / "out.vidnst").glob("frames/*"))


def test_moving_style_gives_each_frame_its_picture(muted_burst: Path, red: Path, blue: Path, tmp_path: Path) -> None:
    write_pictures(tmp_path / "styles", [blocks(1, (190, 70, 60)), blocks(2, (60, 80, 190))])
    events: list[Event] = []
    alone = {"schedule": {"kind": "independent"}}
    output = tmp_path / "out"
    vidnst.render(
        muted_burst,
        style=tmp_path / "styles",
        output=output,
        config=quick_config(SETTINGS, alone),
        on_event=events.append,
    )
    frames = [read_image(path) for path in sorted(output.glob("*.png"))]
    assert any("styles has 2 frames" in warning for warning in warnings_in(events))
    reds, blues = (rendered(muted_burst, [str(style)], tmp_path / style.stem, **alone) for style in (red, blue))
    for number, frame in enumerate(frames):
        np.testing.assert_array_equal(frame, (reds, blues)[number % 2][number])


def test_regions_have_their_own_styles(muted_burst: Path, red: Path, blue: Path, left: Path, tmp_path: Path) -> None:
    frames = rendered(
        muted_burst,
        [f"{red}#west", str(blue)],
        tmp_path / "out",
        regions={"masks": {"west": str(left)}, "follow": False},
    )
    for frame in frames:
        assert redness(frame[:, :36]) > 20
        assert redness(frame[:, 60:]) < -20


@pytest.mark.parametrize("feather", [0.0, 0.1])
@pytest.mark.parametrize("kind", ["keys", "chain"])
def test_region_without_style_shows_source(
    feather: float, kind: str, muted_burst: Path, red: Path, left: Path, tmp_path: Path
) -> None:
    regions = {"masks": {"west": str(left)}, "follow": False, "feather": feather}
    frames = rendered(muted_burst, [str(red)], tmp_path / "out", regions=regions, schedule={"kind": kind})
    edge = WIDTH // 2 - round(feather * WIDTH / 2)
    for number, frame in enumerate(frames):
        source = read_image(muted_burst / f"{number:04d}.png")
        np.testing.assert_array_equal(frame[:, :edge], source[:, :edge])
        assert np.abs(frame[:, 60:].astype(int) - source[:, 60:]).mean() > 10


def test_unmasked_rest_without_style_shows_source(muted_burst: Path, red: Path, left: Path, tmp_path: Path) -> None:
    regions = {"masks": {"west": str(left)}, "follow": False, "feather": 0.0}
    frames = rendered(muted_burst, [f"{red}#west"], tmp_path / "out", regions=regions)
    for number, frame in enumerate(frames):
        np.testing.assert_array_equal(frame[:, 48:], read_image(muted_burst / f"{number:04d}.png")[:, 48:])


def test_mask_of_first_frame_follows_motion(muted_burst: Path, red: Path, left: Path, tmp_path: Path) -> None:
    masks = {"masks": {"west": str(left)}, "feather": 0.0}
    rendered(muted_burst, [f"{red}#west"], tmp_path / "out", regions=masks)
    folder = tmp_path / "out.vidnst" / "masks" / "west"
    tracked = [read_image(path)[..., 0] for path in sorted(folder.iterdir())]
    assert len(tracked) == FRAMES
    np.testing.assert_array_equal(tracked[0], read_image(left)[..., 0])
    for number, mask in enumerate(tracked):
        middle = int((mask[HEIGHT // 2, 20:80] > 127).sum()) + 20
        assert middle == pytest.approx(WIDTH // 2 + 2 * number, abs=2)
    rendered(muted_burst, [f"{red}#west"], tmp_path / "two", regions=masks, input={"shots": [3]})
    again = read_image(tmp_path / "two.vidnst" / "masks" / "west" / "00000003.png")[..., 0]
    np.testing.assert_array_equal(again, tracked[0])  # tracking starts again at a cut


def frames_and_masks(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.glob("[fm]*/**/*.png"))}


def test_stopped_run_resumes_to_same_bytes_from_any_folder(
    muted_burst: Path, red: Path, blue: Path, left: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(left.parent)
    write_pictures(tmp_path / "styles", [blocks(seed, (60, 80, 190)) for seed in range(3)])
    styles = [f"{red}:2@0#west", f"{os.path.relpath(blue)}@5#west", str(tmp_path / "styles")]
    config = quick_config(SETTINGS, regions={"masks": {"west": "left.png"}})
    vidnst.render(muted_burst, style=styles, output=tmp_path / "undisturbed", config=config)
    with pytest.raises(CancelledError):
        vidnst.render(muted_burst, style=styles, output=tmp_path / "out", config=config, **stop_after(2))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out.vidnst" / "masks" / "west" / "00000004.png").unlink()
    request = load_request(tmp_path / "out.vidnst", {})
    assert request.styles[1] == Style(str(blue), 1, "5", (), "west")
    run(request)
    assert frames_and_masks(tmp_path / "out.vidnst") == frames_and_masks(tmp_path / "undisturbed.vidnst")


def test_changed_time_region_or_mask_refuses_resume(
    muted_burst: Path, red: Path, blue: Path, left: Path, tmp_path: Path
) -> None:
    def render(styles: list[str], mask: Path, **regions: Any) -> None:
        config = quick_config(SETTINGS, regions={"masks": {"west": str(mask)}, "follow": False, **regions})
        vidnst.render(muted_burst, style=styles, output=tmp_path / "out", config=config, **stop_after(1))

    styles = [f"{red}@0#west", f"{blue}@3#west", str(blue)]
    with pytest.raises(CancelledError):
        render(styles, left)
    other = write_picture(tmp_path / "mask" / "left.png", 255 - read_image(left))
    changed: list[tuple[Callable[[], None], str]] = [
        (lambda: render([styles[0], f"{blue}@4#west", styles[2]], left), r"moment of style blue\.png: 3 -> 4"),
        (lambda: render([*styles[:2], f"{blue}#west"], left), r"region of style blue\.png: rest -> west"),
        (lambda: render([*styles[:2], f"{blue}@shot0"], left), r"shots of style blue\.png: all -> 0"),
        (lambda: render(styles, other), "the mask of region west has other bytes"),
        (lambda: render(styles, left, feather=0.2), r"regions\.feather: 0\.02 -> 0\.2"),
    ]
    for refused, words in changed:
        with pytest.raises(RunError, match=words):
            refused()


def test_a_finished_run_keeps_no_masks(muted_burst: Path, red: Path, left: Path, tmp_path: Path) -> None:
    config = quick_config(SETTINGS, regions={"masks": {"west": str(left)}}).model_copy(
        update={"output": OutputConfig()}
    )
    vidnst.render(muted_burst, style=f"{red}#west", output=tmp_path / "out", config=config)
    assert (tmp_path / "out.vidnst" / "measure.json").exists()
    assert not (tmp_path / "out.vidnst" / "masks").exists()


@pytest.mark.parametrize(
    ("styles", "sections", "words"),
    [
        (["red#sky"], {}, r"style red\.png is for region sky, which has no mask"),
        (["red#sky"], {"regions": {"masks": {"west": "left"}}}, "there are west, rest"),
        (["red"], {"regions": {"masks": {"west": "gone.png"}}}, "of region west cannot be used"),
        (["red"], {"regions": {"masks": {"west": "left"}}, "input": {"registration": "ecc"}}, "do not go together"),
        (["red@4", "blue@2"], {}, r"blue\.png at 0\.08 s comes after red\.png at 0\.16 s"),
        (["red@4", "blue@shot0"], {}, "holds from a moment and blue.png for a shot"),
        (["red@0", "blue@9s", "red@10s"], {}, r"nothing of style red\.png at 10s would be seen"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    styles: list[str],
    sections: dict[str, Any],
    words: str,
    muted_burst: Path,
    red: Path,
    blue: Path,
    left: Path,
    tmp_path: Path,
) -> None:
    named = [
        f"{red if text.startswith('red') else blue}{text.removeprefix('red').removeprefix('blue')}" for text in styles
    ]
    given = sections.get("regions", {}).get("masks", {})
    masks = {name: str(left) if mask == "left" else mask for name, mask in given.items()}
    full = {**sections, **({"regions": {"masks": masks}} if masks else {})}
    with pytest.raises(VidnstError, match=words):
        rendered(muted_burst, named, tmp_path / "out", **full)
    assert not (tmp_path / "out.vidnst").exists()


def test_a_measurement_counts_styles_where_and_when_they_hold(
    muted_burst: Path, red: Path, blue: Path, left: Path, tmp_path: Path
) -> None:
    config = quick_config(SETTINGS, regions={"masks": {"west": str(left)}}).model_copy(
        update={"output": OutputConfig(keep_frames=True)}
    )
    styles = [f"{red}@0#west", f"{blue}@5#west", str(blue)]
    vidnst.render(muted_burst, style=styles, output=tmp_path / "out", config=config)
    events: list[Event] = []
    measured = measure_output(MeasureRequest(tmp_path / "out"), on_event=events.append)
    recorded = measure_output(MeasureRequest(tmp_path / "out.vidnst"))
    assert not warnings_in(events)
    assert measured.losses["style"] == pytest.approx(recorded.losses["style"], rel=0.05)
    shutil.rmtree(tmp_path / "out.vidnst" / "masks")
    without = measure_output(MeasureRequest(tmp_path / "out"), on_event=events.append)
    (warning,) = warnings_in(events)
    assert "all styles everywhere" in warning
    assert without.losses["style"] != pytest.approx(recorded.losses["style"], rel=0.05)
