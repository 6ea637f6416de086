"""The dial from boiling to locked."""

import math
from itertools import pairwise
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


def work(config: RenderConfig) -> float:
    """Evaluations of a frame by the default schedule, as shares of a cold frame's."""
    schedule = config.schedule
    passes = sum(schedule.work(Role.RELAX, index).share for index in range(1, schedule.passes + 1))
    return passes + schedule.between.share + schedule.key.share / schedule.spacing


@given(st.floats(0.1, 1))
def test_stability_keeps_the_work_per_frame(dial: float) -> None:
    assert work(at(dial)) == pytest.approx(work(RenderConfig()), rel=0.15)


@given(st.floats(0.001, 0.1))
def test_loose_end_works_between_that_and_cold_frames(dial: float) -> None:
    assert work(RenderConfig()) <= work(at(dial)) * 1.001
    assert work(at(dial)) <= 1.1


@given(st.floats(0.001, 0.49), st.floats(0.001, 0.49))
def test_lower_half_is_monotonic_in_holds_and_steps(one: float, two: float) -> None:
    low, high = at(min(one, two)), at(max(one, two))
    assert low.schedule.relax.rate >= high.schedule.relax.rate
    assert low.schedule.settle.rate >= high.schedule.settle.rate
    assert low.schedule.relax.hold <= high.schedule.relax.hold
    assert low.schedule.settle.hold <= high.schedule.settle.hold


def test_last_position_below_the_middle_is_nearly_the_default() -> None:
    near, default = at(0.4999).schedule, RenderConfig().schedule
    assert near.passes == default.passes
    for name in ("relax", "settle"):
        for key in ("share", "hold", "rate"):
            assert getattr(getattr(near, name), key) == pytest.approx(getattr(getattr(default, name), key), rel=0.01)


def test_lower_half_adds_a_single_pass_first() -> None:
    passes = [at(step / 10).schedule.passes for step in range(1, 6)]
    assert passes == sorted(passes)
    assert passes[:3] == [1, 1, 1]
    assert passes[3] < passes[4] / 2


@given(st.floats(0.1, 0.98))
def test_dial_has_no_jump_in_holds_and_steps(dial: float) -> None:
    low, high = at(dial), at(dial + 0.01)
    for one, two in ((low.schedule.relax, high.schedule.relax), (low.schedule.settle, high.schedule.settle)):
        assert 0.7 < one.rate / two.rate < 1.4
        held = low.losses.temporal_weight * one.hold, high.losses.temporal_weight * two.hold
        assert 0.5 < held[0] / held[1] <= 1


@given(st.floats(0.5, 1))
def test_last_steps_shrink_as_the_temporal_weight_grows(dial: float) -> None:
    def undone(config: RenderConfig) -> float:
        return config.schedule.settle.rate * config.losses.temporal_weight

    assert undone(at(dial)) == pytest.approx(undone(RenderConfig()), rel=1e-3)


def test_only_full_stability_locks_static_areas() -> None:
    assert at(1).motion.static_lock > 0
    assert at(0.99).motion.static_lock == 0


def test_error_falls_in_visible_steps_down_the_dial(tmp_path: Path) -> None:
    scene = MovingClip(count=4, width=64, height=48, pan_px=(1.3, 0.4), square_px=0)
    media.write_pictures(tmp_path / "source", [pixels // 6 + 100 for pixels in scene.all_pixels()])
    (style,) = media.write_pictures(tmp_path, [media.numbered_picture(9)], "style.png")
    usual = {
        "model.backbone": "slim",
        "farm.executor": "inline",
        "farm.workers": 1,
        "farm.threads": 1,
        "optimize.iterations": 70,
    }
    kept = {"output.keep_frames": True, "output.measure": False, "output.report": False}
    errors = []
    for dial in (0.1, 0.3, 0.5, 0.9):
        config = load_config(stability=dial, options=usual | kept)
        output = tmp_path / f"{round(10 * dial)}.mp4"
        vidnst.render(tmp_path / "source", style=style, output=output, config=config)
        error = measure_output(MeasureRequest(Path(f"{output}.vidnst"), with_losses=False)).error().output
        assert error is not None
        errors.append(error)
    falls = [math.log(earlier / later) for earlier, later in pairwise(errors)]
    assert min(falls) > 0
    assert errors[0] > 4 * errors[2]
    assert min(falls[:2]) > 0.2 * sum(falls[:2])


def test_stability_overrides_presets_but_not_assignments() -> None:
    config = load_config(preset="timelapse", stability=0.25, assignments=["schedule.passes=7"])
    assert config.losses.temporal_weight == at(0.25).losses.temporal_weight
    assert config.schedule.passes == 7
    assert config.losses.tv_weight == load_config(preset="timelapse").losses.tv_weight


@pytest.mark.parametrize("dial", [-0.1, 1.2, float("nan")])
def test_stability_outside_the_dial_is_refused(dial: float) -> None:
    with pytest.raises(ConfigError, match="between 0 and 1"):
        stability_settings(dial)
