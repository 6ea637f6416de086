"""Layers of configuration, and what is said about wrong ones."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidnst.config import RenderConfig, ScheduleConfig
from vidnst.config.loader import build_config, load_config
from vidnst.errors import ConfigError


def test_later_layers_override_earlier_ones(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("losses: {style_weight: 3, content_weight: 4}\noptimize: {iterations: 7}\n")
    config = load_config(
        preset="draft",
        file=file,
        assignments=["losses.style_weight=5"],
        options={"optimize.iterations": 9, "input.size": None},
    )
    draft = load_config(preset="draft")
    assert config.losses.content_weight == 4
    assert config.losses.style_weight == 5
    assert config.optimize.iterations == 9
    assert config.input.size == draft.input.size


def test_tables_are_replaced_not_merged(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("losses: {style_layers: {relu1_1: 1}}\n")
    assert load_config(file=file).losses.style_layers == {"relu1_1": 1}


def test_frame_rates_stay_fractions() -> None:
    assert load_config(options={"input.fps": "24000/1001"}).input.fps == Fraction(24000, 1001)
    config = load_config(assignments=["input.fps=12.5"])
    assert RenderConfig.model_validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("losses.style_wieght=3", ["losses.style_wieght", "did you mean style_weight"]),
        ("lossses.style_weight=3", ["lossses", "did you mean losses"]),
        ("losses.style_weight=-1", ["losses.style_weight", "-1", "at least 0;"]),
        ("losses.style_weight=.nan", ["losses.style_weight", "finite"]),
        ("losses.style_layers={relu9_1: 1}", ["relu9_1", "relu1_1 to relu5_4"]),
        ("optimize.optimizer=sgd", ["optimize.optimizer", "'adam' or 'lbfgs'"]),
        ("input.size=3", ["input.size", "16"]),
        ("colour.keep=all", ["colour.keep", "'matched'"]),
        ("colour={keep: matched, transfer: moments}", ["colour", "transfer moments"]),
        ("photo.steadiness=1", ["photo.steadiness", "less than 1"]),
        ("photo.cell=3", ["photo.cell", "did you mean cells"]),
        ("filters.after=[palete:7]", ["filters.after.0", "palete", "palette and superpixels"]),
        ("filters.after=['palette:many']", ["filters.after.0", "palette:COLOURS"]),
        ("filters.before=['palette:3', 'superpixels:1']", ["filters.before.1", "cells", "4"]),
        ("filters.after=[{kind: palette, colors: 7}]", ["filters.after.0", "did you mean colours"]),
        ("filters.after=[{kind: oils}]", ["filters.after.0", "oils", "'superpixels'"]),
        ("filters.after=[{kind: superpixels, compactness: .inf}]", ["compactness", "finite"]),
        ("style_weight", ["key.sub=value"]),
        ("losses=[", ["not YAML"]),
        ("regions.masks={rest: a.png}", ["regions.masks", "that no mask covers"]),
        ("regions.masks={a b: a.png}", ["regions.masks", "a b"]),
        ("regions.feather=0.7", ["regions.feather", "0.7", "0.5"]),
        ("losses.style_weight.x=1", ["losses.style_weight"]),
        ("input.background=reddish", ["input.background", "it should be white, black", "or #rrggbb"]),
        ("input.transform=linear", ["input.transform", "auto, srgb, cineon, none, or ocio:"]),
        ("output.speed='-x'", ["output.speed", "lower-case letters and digits"]),
    ],
)
def test_error_names_key_value_and_remedy(assignment: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(assignments=[assignment])
    for word in words:
        assert word in str(caught.value)


def test_unknown_preset_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean draft"):
        load_config(preset="drat")


def test_yaml_aliases_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "bomb.yaml"
    file.write_text("a: &a [1, 1]\nb: [*a, *a]\n")
    with pytest.raises(ConfigError, match="aliases"):
        load_config(file=file)


def test_yaml_code_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "code.yaml"
    file.write_text("input: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(ConfigError, match="not YAML"):
        load_config(file=file)


@given(st.text(max_size=60))
def test_any_assignment_is_valid_or_a_config_error(text: str) -> None:
    try:
        load_config(assignments=[text])
    except ConfigError as error:
        said = str(error)
    else:
        said = ""
    assert "\n" not in said


def test_look_excludes_workers_encoding_and_paths() -> None:
    options = {"farm.workers": 3, "output.quality": 20, "model.weights": "random", "motion.raft_weights": "a.pth"}
    same = load_config(options=options | {"regions.masks": {"sky": "a.png"}})
    assert same.look() == RenderConfig().look()
    assert not {"farm", "backbone"} & (same.look().keys() | same.look()["model"])


@pytest.mark.parametrize(
    "assignment",
    [
        *("losses.tv_weight=0.5", "losses.edges_cells={2: 1}", "motion.method=raft", "regions.feather=0.1"),
        *("styles.scale=0.5", "model.padding=reflect", "filters.after=[palette]", "output.bits=16"),
    ],
)
def test_look_contains_what_changes_a_frame(assignment: str) -> None:
    assert load_config(assignments=[assignment]).look() != RenderConfig().look()


@pytest.mark.parametrize(("kind", "counts"), [("keys", False), ("network", True)])
def test_learning_of_painted_keys_counts_where_a_network_learns(kind: str, counts: bool) -> None:
    given = {"schedule.kind": kind, "keys.pictures": {4: "a.png"}}
    other = load_config(options=given | {"keys.clip_share": 0.3})
    assert (other.look() != load_config(options=given).look()) == counts


def test_frame_numbers_may_be_integers() -> None:
    assert build_config({"input": {"start": 20, "end": 30}}).input.start == "20"


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("losses.style_kinds={grams: 1}", ["losses.style_kinds.grams", "'gram', 'moments'", "'sliced'"]),
        ("losses.style_kinds={gram: 0}", ["losses.style_kinds", "above 0"]),
        ("losses.edges_weight=-1", ["losses.edges_weight", "-1"]),
        ("losses.edges_cells={0: 1}", ["losses.edges_cells", "0"]),
        ("losses.edges_cells={}", ["losses.edges_cells", "above 0"]),
        ("model.padding=mirror", ["model.padding", "'replicate' or 'reflect'"]),
        ("styles.scale=5", ["styles.scale", "5", "4"]),
        ("styles={scale: 3, scales: [0.5, 2]}", ["styles", "scale 3 times the largest of scales, 2"]),
        ("styles.scales=[]", ["styles.scales", "one value"]),
        ("styles.turns=[90, 90]", ["styles.turns", "different"]),
        ("styles.turns=[45]", ["styles.turns", "45", "90"]),
        ("optimize.stop_at_loss=0", ["optimize.stop_at_loss", "greater than 0"]),
        ("optimize.init=styles", ["optimize.init", "'style'"]),
    ],
)
def test_style_setting_errors_name_key_and_value(assignment: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(assignments=[assignment])
    for word in words:
        assert word in str(caught.value)


def test_edges_cells_survive_json() -> None:
    config = load_config(assignments=["losses.edges_cells={2: 1, 16: 3}"])
    assert config.losses.edges_cells == {2: 1, 16: 3}
    assert RenderConfig.model_validate(config.model_dump(mode="json")) == config


def test_engines_are_short_for_several_settings() -> None:
    config = load_config(engine="instant")
    assert (config.schedule.kind, config.schedule.passes, config.schedule.training.steps) == ("network", 0, 0)
    assert config.model.backbone == "slim"
    network = load_config(engine="network").schedule
    assert (network.passes, network.relax.share, network.settle.share) == (4, 0.04, 0.0134)
    given = load_config(engine="network", options={"schedule.passes": 1, "schedule.relax.share": 0.1}).schedule
    assert (given.passes, given.relax.share, given.settle.share) == (1, 0.1, 0.0134)
    assert load_config(engine="instant", options={"model.backbone": "vgg19"}).model.backbone == "vgg19"


def test_settings_of_one_render_do_not_reach_the_next() -> None:
    changes = {"schedule.training.steps": 7, "model.backbone": "vgg19"}
    assert load_config(engine="instant", options=changes).schedule.training.steps == 7
    assert load_config(engine="instant").schedule.training.steps == 0
    assert load_config(engine="instant").model.backbone == "slim"


def test_noise_cannot_paint_without_training() -> None:
    with pytest.raises(ConfigError, match="give steps, or start pretrained"):
        load_config(engine="network", assignments=["schedule.training.steps=0"])


def test_texts_that_look_like_numbers_need_no_quotes() -> None:
    output = load_config(assignments=["output.chroma=444", "output.speed=6"]).output
    assert (output.chroma, output.speed) == ("444", "6")
    with pytest.raises(ConfigError, match=r"output\.chroma = '411'"):
        load_config(assignments=["output.chroma=411"])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: RenderConfig(lossses={}), "unknown key lossses; did you mean losses?"),
        (lambda: RenderConfig(schedule={"spacing": "x"}), "schedule.spacing = 'x': it should be a whole number;"),
        (lambda: ScheduleConfig(spacin=3), "unknown key spacin; did you mean spacing?"),
        (lambda: ScheduleConfig(kind="sheets"), "it should be 'keys', 'chain', 'independent' or 'network';"),
        (lambda: ScheduleConfig(loop="maybe"), "loop = 'maybe': it should be true or false;"),
        (lambda: RenderConfig(losses=3), "losses = 3: it should be a section with keys;"),
    ],
)
def test_sections_of_programs_are_refused_in_a_sentence(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        make()
    assert words in str(refused.value)
    assert "input should" not in str(refused.value).lower()
