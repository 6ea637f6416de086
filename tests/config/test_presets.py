"""The presets that ship: they load, they say what they change, and the file of defaults tells the truth."""

from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from vidnst.config import OutputConfig, RenderConfig
from vidnst.config.loader import load_config, preset_folder, preset_names, preset_summary, read_yaml
from vidnst.farm.plan import evaluations
from vidnst.farm.schedules import plan_shot
from vidnst.frames import Shot
from vidnst.media.output.formats import choose_format

RECIPES = ("early_layers", "gatys2015", "noisemix", "slices", "tvmix", "two_styles")
"""Published settings, with their raw losses."""
PRESETS = ("burst", "default", "draft", "film", "photo", "timelapse", *RECIPES)
DEFAULTS = RenderConfig().model_dump(mode="json")


def _text(name: str) -> str:
    return (preset_folder() / f"{name}.yaml").read_text("utf-8")


def _keys(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for section, keys in values.items():
        for key in keys:
            yield section, key


def test_bundled_presets() -> None:
    assert preset_names() == sorted(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_preset_loads_and_has_a_summary(name: str) -> None:
    assert isinstance(load_config(preset=name), RenderConfig)
    assert _text(name).startswith("# ")
    assert 30 < len(preset_summary(name)) < 140
    assert preset_summary(name).endswith((".", ")"))


def test_default_yaml_has_every_key_and_default() -> None:
    written = read_yaml(preset_folder() / "default.yaml")
    assert list(written) == list(DEFAULTS)
    for section, keys in DEFAULTS.items():
        assert list(written[section]) == list(keys), f"default.yaml: the keys of {section} differ"
    config = load_config(preset="default").model_dump(mode="json")
    for section, key in _keys(DEFAULTS):
        assert config[section][key] == DEFAULTS[section][key], f"default.yaml: {section}.{key} is not the default"


def test_default_yaml_explains_every_key() -> None:
    """Each key, or the one right before it, has a comment above it."""
    lines = _text("default").splitlines()
    keys = [number for number, line in enumerate(lines) if line.startswith("  ") and not line.strip().startswith("#")]
    assert len(keys) == sum(1 for _ in _keys(DEFAULTS))
    for before, number in zip([-9, *keys], keys, strict=False):
        above = lines[number - 1].strip()
        paired = before == number - 1 and lines[before - 1].strip().startswith("#")
        assert above.startswith("#") or paired, f"default.yaml, line {number + 1}: {lines[number].strip()}"


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "default"])
def test_presets_contain_only_explained_changes(name: str) -> None:
    written = read_yaml(preset_folder() / f"{name}.yaml")
    changed = [pair for pair in _keys(written) if written[pair[0]][pair[1]] != DEFAULTS[pair[0]][pair[1]]]
    assert len(changed) >= 3
    comments = [line for line in _text(name).splitlines() if line.startswith("  #")]
    assert len(comments) >= len(changed) - 1


def test_work_of_draft_default_and_film() -> None:
    draft, default, film = (work_of_a_second(load_config(preset=name)) for name in ("draft", "default", "film"))
    assert draft * 10 <= default
    assert default <= film / 1.9
    assert load_config(preset="draft").input.size is not None
    assert load_config(preset="film").input.size is None


def work_of_a_second(config: RenderConfig) -> int:
    """Evaluations of the loss for 25 frames, without the training of a network."""
    return sum(evaluations(config, node) for node in plan_shot(config.schedule, Shot(0, 25)))


def test_draft_keeps_the_weights_of_default() -> None:
    draft, usual = load_config(preset="draft"), RenderConfig()
    assert draft.losses == usual.losses
    assert draft.model.backbone == "slim"


def test_timelapse_settings() -> None:
    config = load_config(preset="timelapse")
    assert config.losses.temporal_weight > RenderConfig().losses.temporal_weight
    assert config.input.shots == "none"
    assert config.motion.follow_light
    assert config.motion.static_lock > 0


def test_burst_settings() -> None:
    config = load_config(preset="burst")
    assert config.input.fps == Fraction(8)
    assert config.schedule.loop
    assert config.motion.follow_light
    assert config.input.shots == "none"


@pytest.mark.parametrize("name", PRESETS)
def test_presets_leave_the_farm_alone(name: str) -> None:
    assert load_config(preset=name).farm == RenderConfig().farm


@pytest.mark.parametrize(
    ("name", "output"),
    [(name, output) for name in PRESETS for output in ("out.mp4", "out.webm", "frames")]
    + [
        (name, output) for name in PRESETS if name != "film" for output in ("out.mov", "out.mkv", "out.gif", "out.webp")
    ],
)
def test_preset_suits_its_outputs(name: str, output: str) -> None:
    settings = load_config(preset=name).output
    assert choose_format(Path(output), settings, frames=8, width=640, height=360).path == Path(output)


def test_film_can_write_masters() -> None:
    settings = load_config(preset="film", assignments=["output.quality=null"]).output
    for output in ("out.mov", "out.mkv"):
        assert choose_format(Path(output), settings, frames=8, width=640, height=360).path == Path(output)


def test_presets_leave_the_codec_to_the_suffix() -> None:
    for name in PRESETS:
        if name != "film":
            assert load_config(preset=name).output == OutputConfig()


def test_presets_have_different_looks() -> None:
    looks = [str(load_config(preset=name).look()) for name in PRESETS]
    assert len(set(looks)) == len(PRESETS)


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_has_raw_losses_and_names_deviations(name: str) -> None:
    config = load_config(preset=name)
    assert config.losses.scale != "relative"
    assert config.model.unit
    assert config.optimize.scales == 1
    assert config.optimize.tolerance == 0
    assert "Followed" in _text(name)
    assert "eviations" in _text(name)


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_takes_at_most_four_times_the_work_of_film(name: str) -> None:
    assert work_of_a_second(load_config(preset=name)) <= 4 * work_of_a_second(load_config(preset="film"))


def test_two_styles_equals_early_layers_but_for_weights() -> None:
    one, two = (load_config(preset=name) for name in ("early_layers", "two_styles"))
    assert two.losses.style_weight == pytest.approx(one.losses.style_weight * 1.45)
    alike = {"style_weight": 1.0, "temporal_weight": 1.0}
    assert one.losses.model_copy(update=alike) == two.losses.model_copy(update=alike)
    assert (one.optimize, one.schedule, one.model) == (two.optimize, two.schedule, two.model)


def test_recipes_have_their_published_numbers() -> None:
    adam = {name: load_config(preset=name).optimize for name in ("noisemix", "tvmix", "early_layers")}
    assert (adam["noisemix"].learning_rate, adam["noisemix"].iterations) == (0.1, 3000)
    assert adam["tvmix"].learning_rate == pytest.approx(5 / 255, abs=1e-4)
    assert (adam["early_layers"].learning_rate, adam["early_layers"].iterations) == (0.003, 2000)
    first = load_config(preset="gatys2015")
    assert (first.optimize.optimizer, first.optimize.init, first.model.pooling) == ("lbfgs", "noise", "average")
