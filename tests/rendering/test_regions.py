"""Whole renders with styles over time, per shot, in regions and that move: what is seen, and that a run goes on."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from support.media import write_pictures

import vidnst
from vidnst.config import OutputConfig, RenderConfig
from vidnst.config.loader import build_config
from vidnst.errors import CancelledError, ConfigError, RunError, VidnstError
from vidnst.events import Event, FrameDone, Warned
from vidnst.media.images import read_image
from vidnst.rendering.measure_output import MeasureRequest, measure_output
from vidnst.rendering.pipeline import run
from vidnst.runs.request import Request, recall_request
from vidnst.tools.forecast.render_plan import describe_render

WIDTH, HEIGHT, FRAMES = 96, 64, 6
LOOK: dict[str, Any] = {
    "losses": {"style_layers": {"relu1_1": 1, "relu2_1": 1}, "content_layers": {"relu2_1": 1}},
    "optimize": {"iterations": 16, "scales": 1},
    "schedule": {"passes": 2},
    "model": {"weights": "random"},
    "farm": {"executor": "inline", "threads": 1, "workers": 2},
    "output": {"keep_frames": True, "measure": False},
}


def config_of(**sections: dict[str, Any]) -> RenderConfig:
    return build_config({name: {**LOOK.get(name, {}), **sections.get(name, {})} for name in {*LOOK, *sections}})


def blocks(seed: int, tint: tuple[int, int, int]) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).integers(-60, 61, (8, 8, 1))
    return np.kron(np.clip(np.array(tint) + noise, 0, 255).astype(np.uint8), np.ones((8, 8, 1), np.uint8))


@pytest.fixture(scope="module")
def burst(tmp_path_factory: pytest.TempPathFactory) -> Path:
    noise = np.random.default_rng(0).integers(60, 190, (12, 16, 3), np.uint8)
    wide = cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    folder = tmp_path_factory.mktemp("burst")
    write_pictures(folder, [np.roll(wide, 2 * number, axis=1) for number in range(FRAMES)])
    return folder


@pytest.fixture(scope="module")
def red(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("red"), [blocks(1, (190, 70, 60))], "red.png")[0]


@pytest.fixture(scope="module")
def blue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("blue"), [blocks(2, (60, 80, 190))], "blue.png")[0]


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    mask = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    mask[:, : WIDTH // 2] = 255
    return write_pictures(tmp_path_factory.mktemp("mask"), [mask], "left.png")[0]


def rendered(burst: Path, styles: list[str], output: Path, **sections: dict[str, Any]) -> list[NDArray[Any]]:
    vidnst.render(burst, style=styles, output=output, config=config_of(**sections))
    return [read_image(path) for path in sorted(output.glob("*.png"))]


def redness(pixels: NDArray[Any]) -> float:
    mean = pixels.astype(float).mean(axis=(0, 1))
    return float(mean[0] - mean[2])


def test_a_clip_goes_over_from_one_style_into_another(burst: Path, red: Path, blue: Path, tmp_path: Path) -> None:
    frames = rendered(burst, [f"{red}@1", f"{blue}@5"], tmp_path / "out", schedule={"kind": "independent"})
    found = [redness(frame) for frame in frames]
    assert found[0] > 20
    assert found[5] < -20
    assert abs(found[0] - found[1]) < 5
    assert found[1] > found[2] > found[3] > found[4] > found[5]
    alone = rendered(burst, [str(blue)], tmp_path / "alone", schedule={"kind": "independent"})
    np.testing.assert_array_equal(frames[5], alone[5])


@pytest.mark.parametrize("kind", ["keys", "chain"])
def test_a_sudden_change_inside_a_shot_arrives_and_leaves_nothing_of_the_style_before(
    kind: str, burst: Path, red: Path, blue: Path, tmp_path: Path
) -> None:
    settings: dict[str, dict[str, Any]] = {"schedule": {"kind": kind, "spacing": 3}}
    frames = rendered(burst, [f"{red}@2", f"{blue}@3"], tmp_path / "out", **settings)
    alone = [rendered(burst, [str(style)], tmp_path / style.stem, **settings) for style in (red, blue)]
    for number, frame in enumerate(frames):
        before, after = (redness(clip[number]) for clip in alone)
        own, foreign = (before, after) if number < 3 else (after, before)
        assert abs(redness(frame) - own) < 0.35 * abs(foreign - own)


def test_each_shot_has_its_own_style(burst: Path, red: Path, blue: Path, tmp_path: Path) -> None:
    frames = rendered(burst, [str(red), f"{blue}@shot1"], tmp_path / "out", input={"shots": [2, 4]})
    assert [redness(frame) > 0 for frame in frames] == [True, True, False, False, True, True]


def test_a_shot_without_style_is_refused_before_anything_is_rendered(
    burst: Path, red: Path, blue: Path, tmp_path: Path
) -> None:
    styles, config = (f"{red}@shot0", f"{blue}@shot2"), config_of(input={"shots": [2, 4]})
    for refuse in (
        lambda: rendered(burst, list(styles), tmp_path / "out", input={"shots": [2, 4]}),
        lambda: describe_render(Request(str(burst), styles, tmp_path / "out", config)),
    ):
        with pytest.raises(ConfigError, match="shot 1 has no style"):
            refuse()
    assert not (tmp_path / "out").exists()
    assert not list((tmp_path / "out.vidnst").glob("frames/*"))


def test_a_style_that_moves_gives_each_frame_its_own_picture(
    burst: Path, red: Path, blue: Path, tmp_path: Path
) -> None:
    write_pictures(tmp_path / "styles", [blocks(1, (190, 70, 60)), blocks(2, (60, 80, 190))])
    told: list[Event] = []
    alone = {"schedule": {"kind": "independent"}}
    output = tmp_path / "out"
    vidnst.render(burst, style=tmp_path / "styles", output=output, config=config_of(**alone), on_event=told.append)
    frames = [read_image(path) for path in sorted(output.glob("*.png"))]
    assert any("styles has 2 frames" in event.message for event in told if isinstance(event, Warned))
    reds, blues = (rendered(burst, [str(style)], tmp_path / style.stem, **alone) for style in (red, blue))
    for number, frame in enumerate(frames):
        np.testing.assert_array_equal(frame, (reds, blues)[number % 2][number])


def test_regions_have_their_own_styles(burst: Path, red: Path, blue: Path, left: Path, tmp_path: Path) -> None:
    frames = rendered(
        burst,
        [f"{red}#west", str(blue)],
        tmp_path / "out",
        regions={"masks": {"west": str(left)}, "follow": False},
    )
    for frame in frames:
        assert redness(frame[:, :36]) > 20
        assert redness(frame[:, 60:]) < -20


@pytest.mark.parametrize("feather", [0.0, 0.1])
@pytest.mark.parametrize("kind", ["keys", "chain"])
def test_a_region_without_style_shows_the_source(
    feather: float, kind: str, burst: Path, red: Path, left: Path, tmp_path: Path
) -> None:
    regions = {"masks": {"west": str(left)}, "follow": False, "feather": feather}
    frames = rendered(burst, [str(red)], tmp_path / "out", regions=regions, schedule={"kind": kind})
    edge = WIDTH // 2 - round(feather * WIDTH / 2)
    for number, frame in enumerate(frames):
        source = read_image(burst / f"{number:04d}.png")
        np.testing.assert_array_equal(frame[:, :edge], source[:, :edge])
        assert np.abs(frame[:, 60:].astype(int) - source[:, 60:]).mean() > 10


def test_what_no_mask_covers_shows_the_source_where_no_style_is_for_it(
    burst: Path, red: Path, left: Path, tmp_path: Path
) -> None:
    regions = {"masks": {"west": str(left)}, "follow": False, "feather": 0.0}
    frames = rendered(burst, [f"{red}#west"], tmp_path / "out", regions=regions)
    for number, frame in enumerate(frames):
        np.testing.assert_array_equal(frame[:, 48:], read_image(burst / f"{number:04d}.png")[:, 48:])


def test_a_mask_of_the_first_frame_follows_the_picture(burst: Path, red: Path, left: Path, tmp_path: Path) -> None:
    masks = {"masks": {"west": str(left)}, "feather": 0.0}
    rendered(burst, [f"{red}#west"], tmp_path / "out", regions=masks)
    folder = tmp_path / "out.vidnst" / "masks" / "west"
    found = [read_image(path)[..., 0] for path in sorted(folder.iterdir())]
    assert len(found) == FRAMES
    np.testing.assert_array_equal(found[0], read_image(left)[..., 0])
    for number, mask in enumerate(found):
        middle = int((mask[HEIGHT // 2, 20:80] > 127).sum()) + 20
        assert middle == pytest.approx(WIDTH // 2 + 2 * number, abs=2)
    rendered(burst, [f"{red}#west"], tmp_path / "two", regions=masks, input={"shots": [3]})
    again = read_image(tmp_path / "two.vidnst" / "masks" / "west" / "00000003.png")[..., 0]
    np.testing.assert_array_equal(again, found[0])  # at a cut it begins anew


def stop_after(count: int) -> tuple[Callable[[Event], None], Callable[[], bool]]:
    seen: list[Event] = []
    return lambda event: seen.append(event) if isinstance(event, FrameDone) else None, lambda: len(seen) >= count


def frames_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.glob("[fm]*/**/*.png"))}


def test_a_stopped_run_goes_on_to_the_same_bytes_from_any_folder(
    burst: Path, red: Path, blue: Path, left: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(left.parent)
    write_pictures(tmp_path / "styles", [blocks(seed, (60, 80, 190)) for seed in range(3)])
    styles = [f"{red}:2@0#west", f"{os.path.relpath(blue)}@5#west", str(tmp_path / "styles")]
    config = config_of(regions={"masks": {"west": "left.png"}})
    vidnst.render(burst, style=styles, output=tmp_path / "whole", config=config)
    listen, stop = stop_after(2)
    with pytest.raises(CancelledError):
        vidnst.render(burst, style=styles, output=tmp_path / "out", config=config, on_event=listen, cancelled=stop)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out.vidnst" / "masks" / "west" / "00000004.png").unlink()
    request = recall_request(tmp_path / "out.vidnst", {})
    assert request.styles[1] == f"{blue}:1@5#west"
    run(request)
    assert frames_of(tmp_path / "out.vidnst") == frames_of(tmp_path / "whole.vidnst")


def test_a_changed_moment_region_or_mask_is_another_render_and_is_named(
    burst: Path, red: Path, blue: Path, left: Path, tmp_path: Path
) -> None:
    def render(styles: list[str], mask: Path, **regions: Any) -> None:
        listen, stop = stop_after(1)
        config = config_of(regions={"masks": {"west": str(mask)}, "follow": False, **regions})
        vidnst.render(burst, style=styles, output=tmp_path / "out", config=config, on_event=listen, cancelled=stop)

    styles = [f"{red}@0#west", f"{blue}@3#west", str(blue)]
    with pytest.raises(CancelledError):
        render(styles, left)
    other = write_pictures(tmp_path / "mask", [255 - read_image(left)], "left.png")[0]
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


def test_a_finished_run_keeps_no_masks(burst: Path, red: Path, left: Path, tmp_path: Path) -> None:
    config = config_of(regions={"masks": {"west": str(left)}}).model_copy(update={"output": OutputConfig()})
    vidnst.render(burst, style=f"{red}#west", output=tmp_path / "out", config=config)
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
    burst: Path,
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
        rendered(burst, named, tmp_path / "out", **full)
    assert not (tmp_path / "out.vidnst").exists()


def test_a_measurement_counts_styles_where_and_when_they_hold(
    burst: Path, red: Path, blue: Path, left: Path, tmp_path: Path
) -> None:
    config = config_of(regions={"masks": {"west": str(left)}}).model_copy(
        update={"output": OutputConfig(keep_frames=True)}
    )
    styles = [f"{red}@0#west", f"{blue}@5#west", str(blue)]
    vidnst.render(burst, style=styles, output=tmp_path / "out", config=config)
    told: list[Event] = []
    found = measure_output(MeasureRequest(tmp_path / "out"), on_event=told.append)
    recorded = measure_output(MeasureRequest(tmp_path / "out.vidnst"))
    assert not [event for event in told if isinstance(event, Warned)]
    assert found.losses["style"] == pytest.approx(recorded.losses["style"], rel=0.05)
    shutil.rmtree(tmp_path / "out.vidnst" / "masks")
    without = measure_output(MeasureRequest(tmp_path / "out"), on_event=told.append)
    (warning,) = [event.message for event in told if isinstance(event, Warned)]
    assert "all styles everywhere" in warning
    assert without.losses["style"] != pytest.approx(recorded.losses["style"], rel=0.05)
