"""Settings, styles, records and weights with anything in them: used, or refused with an error of ours."""

import json
import random
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from safetensors.torch import save_file
from support import media
from support.renders import quick_config

from vidnst.cli.commands.render_options import mask_settings
from vidnst.config import RenderConfig
from vidnst.config.loader import build_config, load_config, read_yaml
from vidnst.config.style import parse_style
from vidnst.errors import ConfigError, RunError, StyleError, VidnstError, WeightsError
from vidnst.rendering.pipeline import run
from vidnst.runs import RunLog
from vidnst.runs.record import find_record
from vidnst.runs.request import Request, load_request
from vidnst.style.network.random_filters import random_features
from vidnst.style.network.weights import load_features

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -1, 0, 2**63])
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=4)
    | st.sampled_from(["auto", "none", "keys", "1/0", "-1/2", "9" * 5000, "relu1_1", "palette:9999999999", "\0"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9) | st.integers(), inner, max_size=4),
    max_leaves=8,
)


def _keys(model: type[BaseModel], before: str = "") -> list[str]:
    found = []
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found += [before + name, *_keys(inner, f"{before}{name}.")]
        else:
            found.append(before + name)
    return found


KEYS = _keys(RenderConfig)


@settings(max_examples=400)
@given(st.dictionaries(st.sampled_from(KEYS), PLAIN, min_size=1, max_size=3))
def test_any_value_of_any_key_is_a_setting_or_a_config_error(values: dict[str, Any]) -> None:
    refusal = ""
    try:
        config = load_config(options=values)
        assert build_config(config.model_dump(mode="json")) == config
    except ConfigError as error:
        refusal = str(error)
    assert len(refusal) < 4000


@settings(max_examples=100)
@given(PLAIN)
def test_any_mapping_is_a_configuration_or_a_config_error(values: Any) -> None:
    with suppress(ConfigError):
        build_config(values if isinstance(values, dict) else {"losses": values})


@settings(max_examples=150)
@given(st.text(alphabet="[]{}:,-?&*!|>#%@`'\" \n\ta1.~<=", max_size=60) | st.text(max_size=30))
def test_any_assignment_is_a_setting_or_a_config_error(text: str) -> None:
    with suppress(ConfigError):
        load_config(assignments=[f"losses.style_weight={text}"])
    with suppress(ConfigError):
        load_config(assignments=[text])


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "{a: " * 50_000,
        "a: &x [1]\nb: *x",
        "- " * 100_000,
        "a: " + "9" * 10_000,
        "!!python/name:os.system",
    ],
)
def test_a_yaml_bomb_is_a_config_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        build_config(read_yaml(path))


def test_huge_settings_file_is_refused_with_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("#" * 1_000_001)
    with pytest.raises(ConfigError, match="1000000 bytes"):
        read_yaml(path)


@settings(max_examples=300)
@given(
    st.builds(
        lambda *parts: "".join(parts),
        st.text(max_size=12) | st.sampled_from(["a.png", "x" * 5000, "~nobody/a"]),
        st.sampled_from(["", ":", ":1", ":nan", ":-1", ":1e999", ":0x1", "::"]) | st.text(max_size=5),
        st.sampled_from(["", "@", "@1s", "@shot", "@shot1,2", "@0:61", "@99999999999999", "@shot" + "9" * 5000]),
        st.sampled_from(["", "#", "#sky", "#1", "#a b"]) | st.text(max_size=5),
    )
)
def test_any_style_text_is_a_style_or_an_error(text: str) -> None:
    try:
        style = parse_style(text)
    except (ConfigError, StyleError):
        return
    assert np.isfinite(style.weight)
    assert style.weight > 0


@settings(max_examples=150)
@given(st.text(max_size=20) | st.builds("{}={}".format, st.text(max_size=8), st.text(max_size=8)))
def test_any_region_text_is_a_mask_or_a_config_error(text: str) -> None:
    with suppress(ConfigError):
        load_config(options=mask_settings([text]))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a small render with all that a plan may keep."""
    folder = tmp_path_factory.mktemp("run")
    media.write_pictures(folder / "burst", media.numbered_pictures(3))
    media.write_pictures(folder, [media.numbered_picture(9)], "style{:.0f}.png")
    config = quick_config(
        optimize={"iterations": 1},
        schedule={"kind": "independent"},
        input={"deflicker": 3, "registration": "ecc", "registration_edges": "fill"},
        colour={"transfer": "moments"},
        farm={"workers": 1},
        motion={"light_share": 0.5},
    )
    request = Request(str(folder / "burst"), (str(folder / "style0.png"),), folder / "out.mkv", config)
    run(request)
    return folder / "out.mkv.vidnst"


def _begin_again(folder: Path) -> dict[str, Any]:
    (folder / "events.jsonl").unlink(missing_ok=True)
    found: dict[str, Any] = json.loads((folder / "plan.json").read_text())
    return found


def _go_on(folder: Path) -> None:
    run(load_request(folder, {}), overwrite=True)


def _look(folder: Path) -> None:
    record = find_record(folder)
    assert record is not None
    assert record.plan is not None
    assert record.plan.shots


NONSENSE: tuple[Any, ...] = (
    [],
    {},
    "x",
    -1,
    0,
    10**30,
    1e999,
    None,
    True,
    [[0]],
    [[0, 1, 2]],
    [[2, 1]],
    {"a": 1},
    [None],
    0.5,
)


@pytest.mark.parametrize(
    "place",
    ["start", "end", "width", "height", "rate", "schedule", "shots", "threads", "adjustments", "daylight", "colours"]
    + [f"adjustments.{key}" for key in ("start", "edges", "crop", "gains", "matrices", "unregistered")]
    + [f"daylight.0.{key}" for key in ("start", "frames", "shape", "samples")]
    + ["colours.sample"],
)
def test_a_plan_with_nonsense_in_it_is_a_run_error_or_harmless(place: str, finished: Path) -> None:
    whole = (finished / "plan.json").read_bytes()
    try:
        for value in NONSENSE:
            plan = _begin_again(finished)
            inner = plan
            *above, last = place.split(".")
            for key in above:
                inner = inner[int(key) if key.isdecimal() else key]
            inner[last] = value
            (finished / "plan.json").write_text(json.dumps(plan))
            refusals = []
            for look in (_go_on, _look):
                try:
                    look(finished)
                except RunError as error:
                    refusals.append(str(error))
            assert all("plan.json" in text for text in refusals)
            (finished / "plan.json").write_bytes(whole)
    finally:
        (finished / "plan.json").write_bytes(whole)


@pytest.mark.parametrize("name", ["run.json", "plan.json", "events.jsonl"])
@pytest.mark.parametrize("seed", range(3))
def test_corrupted_records_are_harmless_or_named_errors(name: str, seed: int, finished: Path) -> None:
    _begin_again(finished)
    run(load_request(finished, {}), overwrite=True)
    whole, dice = (finished / name).read_bytes(), random.Random(seed)
    try:
        for _ in range(12):
            (finished / name).write_bytes(_spoilt(whole, dice))
            with suppress(VidnstError):
                load_request(finished, {})
                find_record(finished)
                RunLog.read(finished)
                run(load_request(finished, {}), overwrite=True)
            (finished / name).write_bytes(whole)
    finally:
        (finished / name).write_bytes(whole)


def _spoilt(data: bytes, dice: random.Random) -> bytes:
    kind = dice.randrange(4)
    at = dice.randrange(len(data))
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + dice.choice([b"null", b"9" * 500, b"[" * 2000, b"\xff", b'"', b"\0", b"NaN"]) + data[at:]
    spoilt = bytearray(data)
    for _ in range(dice.choice([1, 8])):
        spoilt[dice.randrange(len(spoilt))] = dice.choice(b'0129{}[]",:-ea\xff\n')
    return bytes(spoilt)


@pytest.mark.parametrize("section", ["farm", "model", "motion"])
@pytest.mark.parametrize("value", [5, "x", None, [1]])
def test_a_section_of_a_record_that_is_none_is_a_run_error(section: str, value: object, finished: Path) -> None:
    whole = (finished / "run.json").read_text()
    record = json.loads(whole)
    record["config"][section] = value
    (finished / "run.json").write_text(json.dumps(record))
    try:
        with pytest.raises(RunError, match=r"run\.json"):
            load_request(finished, {})
    finally:
        (finished / "run.json").write_text(whole)


def _weights(path: Path) -> Path:
    tensors = {name: torch.from_numpy(array) for name, array in random_features("relu1_2", seed=0).items()}
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path)
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_corrupted_weights_are_weights_or_a_weights_error(suffix: str, tmp_path: Path) -> None:
    whole = _weights(tmp_path / f"whole{suffix}").read_bytes()
    load_features(tmp_path / f"whole{suffix}", "relu1_2")
    dice, path, refused = random.Random(1), tmp_path / f"a{suffix}", 0
    for number in range(60):
        spoilt = bytearray(whole)
        if number % 3 == 0:
            spoilt = spoilt[: dice.randrange(len(spoilt))]
        elif number % 3 == 1:
            for _ in range(4):
                spoilt[dice.randrange(min(400, len(spoilt)))] = dice.randrange(256)
        else:
            at = dice.choice([0, len(spoilt) - 22])
            spoilt[at : at + 8] = struct.pack("<Q", dice.choice([0, 1, 2**40, 2**63, 2**64 - 1]))
        path.write_bytes(spoilt)
        try:
            load_features(path, "relu1_2")
        except WeightsError:
            refused += 1
    assert refused > 30


def test_weights_of_odd_kinds_are_weights_or_a_weights_error(tmp_path: Path) -> None:
    tensors = {name: torch.from_numpy(array) for name, array in random_features("relu1_2", seed=0).items()}
    first = next(iter(tensors))
    path = tmp_path / "a.pth"
    torch.save(tensors | {first: torch.nn.Parameter(tensors[first])}, path)
    assert first in load_features(path, "relu1_2")
    for odd in (tensors[first].to_sparse(), tensors[first].to(torch.complex64), tensors[first].to(torch.int8)):
        torch.save(tensors | {first: odd}, path)
        with pytest.raises(WeightsError):
            load_features(path, "relu1_2")
