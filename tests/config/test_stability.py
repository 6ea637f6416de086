"""The dial from boiling to locked."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import media
from support.moving_clip import MovingClip

import vidnst
from vidnst.config import RenderConfig, Role
from vidnst.config.loader import build_config, load_config
from vidnst.config.stability import stability_settings
from vidnst.errors import ConfigError
from vidnst.rendering.measure_output import MeasureRequest, measure_output


def at(dial: float) -> RenderConfig:
    return build_config(stability_settings(dial))


def test_middle_of_the_dial_is_the_default() -> None:
    assert at(0.5) == RenderConfig()


def test_zero_renders_frames_independently() -> None:
    assert at(0).schedule.kind == "independent"


@given(st.floats(0.01, 1), st.floats(0.01, 1))
def test_stability_is_monotonic_in_weight_and_passes(one: float, two: float) -> None:
    low, high = at(min(one, two)), at(max(one, two))
    assert low.losses.temporal_weight <= high.losses.temporal_weight
    assert low.schedule.passes <= high.schedule.passes
    assert low.motion.static_lock <= high.motion.static_lock


@given(st.floats(0.07, 1))
def test_stability_keeps_the_work_per_frame(dial: float) -> None:
    def work(config: RenderConfig) -> float:
        passes = sum(config.evaluations(Role.RELAX, index) for index in range(1, config.schedule.passes + 1))
        return passes + config.evaluations(Role.BETWEEN) + config.evaluations(Role.KEY) / config.schedule.spacing

    assert work(at(dial)) == pytest.approx(work(RenderConfig()), rel=0.15)


@given(st.floats(0.5, 1))
def test_last_steps_shrink_as_the_temporal_weight_grows(dial: float) -> None:
    def undone(config: RenderConfig) -> float:
        return config.schedule.settle.rate * config.losses.temporal_weight

    assert undone(at(dial)) == pytest.approx(undone(RenderConfig()), rel=1e-3)


def test_only_full_stability_locks_static_areas() -> None:
    assert at(1).motion.static_lock > 0
    assert at(0.99).motion.static_lock == 0


def test_more_stability_means_less_warping_error(tmp_path: Path) -> None:
    scene = MovingClip(count=5, width=64, height=48, pan_px=(1.3, 0.4), square_px=0)
    media.write_pictures(tmp_path / "source", [pixels // 6 + 100 for pixels in scene.all_pixels()])
    (style,) = media.write_pictures(tmp_path, [media.numbered_picture(9)], "style.png")
    usual = {"model.backbone": "slim", "farm.executor": "inline", "farm.workers": 1, "farm.threads": 1}
    kept = {"output.keep_frames": True, "output.measure": False, "output.report": False}
    errors = []
    for dial in (0.5, 0.9):
        config = load_config(stability=dial, options=usual | kept)
        output = tmp_path / f"{dial}.mp4"
        vidnst.render(tmp_path / "source", style=style, output=output, config=config)
        error = measure_output(MeasureRequest(tmp_path / f"{dial}.mp4.vidnst", with_losses=False)).error().output
        assert error is not None
        errors.append(error)
    assert errors == sorted(errors, reverse=True)


def test_stability_overrides_presets_but_not_assignments() -> None:
    config = load_config(preset="timelapse", stability=0.25, assignments=["schedule.passes=7"])
    assert config.losses.temporal_weight == at(0.25).losses.temporal_weight
    assert config.schedule.passes == 7
    assert config.losses.tv_weight == load_config(preset="timelapse").losses.tv_weight


@pytest.mark.parametrize("dial", [-0.1, 1.2, float("nan")])
def test_stability_outside_the_dial_is_refused(dial: float) -> None:
    with pytest.raises(ConfigError, match="between 0 and 1"):
        stability_settings(dial)
