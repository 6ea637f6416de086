"""Renders of time-lapses: painted under an even light, shown in a share of the day's."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.media import write_pictures, write_style
from support.renders import SLIM_BACKBONE, frame_files, logged_events, quick_config, run_folder, stop_after

import vidnst
from vidnst.config import RenderConfig
from vidnst.errors import CancelledError
from vidnst.frames import Shot, luma, to_float
from vidnst.media.images import read_image
from vidnst.report.measure.meter import Meter
from vidnst.runs import RunPlan

COUNT = 12


def evening() -> list[NDArray[np.uint8]]:
    """A still scene whose light falls by half."""
    scene = np.random.default_rng(3).uniform(60, 220, (8, 12, 3)).repeat(6, axis=0).repeat(6, axis=1)
    return [np.rint(scene * light).astype(np.uint8) for light in np.linspace(1, 0.5, COUNT)]


def mean_lumas(pictures: list[NDArray[Any]]) -> NDArray[np.float64]:
    return np.array([float(luma(to_float(picture)).mean()) * 255 for picture in pictures])


def swing(pictures: list[NDArray[Any]]) -> float:
    return float(np.ptp(mean_lumas(pictures)))


def config(share: float | None, **sections: dict[str, Any]) -> RenderConfig:
    return quick_config({"motion": {"light_share": share}, "input": {"shots": "none"}, **sections})


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "evening", evening())[0].parent


@pytest.fixture
def style(tmp_path: Path) -> Path:
    return write_style(tmp_path / "style.png")


def frames_of(output: Path) -> list[NDArray[Any]]:
    return [read_image(path) for path in sorted((run_folder(output) / "frames").glob("*.png"))]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 1.0])
def test_luma_swings_by_the_share(source: Path, style: Path, tmp_path: Path, share: float) -> None:
    vidnst.render(source, style=style, output=tmp_path / "out.mp4", config=config(share))
    assert swing(frames_of(tmp_path / "out.mp4")) / swing(evening()) == pytest.approx(share, abs=0.1)


def test_states_keep_an_even_light(source: Path, style: Path, tmp_path: Path) -> None:
    vidnst.render(source, style=style, output=tmp_path / "out.mp4", config=config(1.0))
    states = sorted((run_folder(tmp_path / "out.mp4") / "state").glob("*.1.npy"))
    assert len(states) == COUNT
    assert swing([np.load(state) for state in states]) < 0.1 * swing(evening())


def test_light_is_kept_in_the_plan_and_resumed(source: Path, style: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    vidnst.render(source, style=style, output=whole, config=config(0.6))
    plan = RunPlan.read(run_folder(whole))
    assert plan is not None
    assert plan.daylight is not None
    with pytest.raises(CancelledError):
        vidnst.render(source, style=style, output=cut, config=config(0.6), **stop_after(5))
    vidnst.render(source, style=style, output=cut, config=config(0.6))
    assert frame_files(run_folder(cut)) == frame_files(run_folder(whole))


def test_regions_without_style_show_the_source(source: Path, style: Path, tmp_path: Path) -> None:
    mask = np.zeros((48, 72, 3), np.uint8)
    mask[:, 36:] = 255
    mask_file = write_pictures(tmp_path / "mask", [mask])[0]
    regions = {"masks": {"right": str(mask_file)}, "feather": 0, "follow": False}
    vidnst.render(source, style=f"{style}#right", output=tmp_path / "out.mp4", config=config(0.5, regions=regions))
    for shown, original in zip(frames_of(tmp_path / "out.mp4"), evening(), strict=True):
        assert np.array_equal(shown[:, :36], original[:, :36])


def test_shots_have_lights_of_their_own(source: Path, style: Path, tmp_path: Path) -> None:
    shots = config(0.0, input={"shots": (6,)})
    vidnst.render(source, style=style, output=tmp_path / "out.mp4", config=shots)
    lumas = mean_lumas(frames_of(tmp_path / "out.mp4"))
    assert max(np.ptp(lumas[:6]), np.ptp(lumas[6:])) < 0.1 * swing(evening())


def test_staleness_of_key_frames_is_logged_and_measured(source: Path, style: Path, tmp_path: Path) -> None:
    renewing = quick_config(
        SLIM_BACKBONE,
        {"losses": {"content_layers": {"relu2_2": 1}}, "motion": {"renew_at": 1.2}, "schedule": {"spacing": 4}},
        output={"measure": True},
    )
    result = vidnst.render(source, style=style, output=tmp_path / "out.mp4", config=renewing)
    logged = {
        event["node"]: event["staleness"]
        for event in logged_events(run_folder(tmp_path / "out.mp4"), "done")
        if "staleness" in event
    }
    assert len(logged) >= 2
    assert all(node.endswith(".0") for node in logged)
    assert result.measurement is not None
    assert result.measurement.staleness is not None
    assert result.measurement.staleness.mean == pytest.approx(np.mean(list(logged.values())))


def test_trend_of_staleness_is_its_slope() -> None:
    frame = np.zeros((32, 32, 3), np.uint8)
    meter = Meter([Shot(0, 5)])
    for index in range(5):
        meter.add(index, frame, frame)
    found = meter.result(staleness={0: 1.0, 2: 1.1, 4: 1.2}).staleness
    assert found is not None
    assert found.mean == pytest.approx(1.1)
    assert found.slope == pytest.approx(5.0)


def test_light_of_one_frame_is_its_own(style: Path, tmp_path: Path) -> None:
    source = write_pictures(tmp_path / "one", evening()[:1])[0].parent
    plain, lit = tmp_path / "plain.mp4", tmp_path / "lit.mp4"
    for output, share in ((plain, None), (lit, 0.6)):
        vidnst.render(source, style=style, output=output, config=config(share))
    difference = to_float(frames_of(plain)[0]) - to_float(frames_of(lit)[0])
    assert np.abs(difference).max() < 2 / 255


def test_network_engine_follows_the_day(source: Path, style: Path, tmp_path: Path) -> None:
    instant = {"kind": "network", "passes": 0, "training": {"start": "pretrained", "steps": 0}}
    lit = config(0.6, schedule=instant, **SLIM_BACKBONE)
    vidnst.render(source, style=style, output=tmp_path / "out.mp4", config=lit)
    assert swing(frames_of(tmp_path / "out.mp4")) / swing(evening()) == pytest.approx(0.6, abs=0.12)
