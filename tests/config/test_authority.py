"""Who may decide a setting: every setting has its class, and files get no more than that."""

from pathlib import Path
from typing import Any

import pytest

from vidnst.config import RenderConfig
from vidnst.config.authority import (
    AUTHORITIES,
    PERSONAL,
    Authority,
    Origin,
    admit,
    authority_table,
    may_decide,
    settings_of,
)
from vidnst.config.loader import load_config, preset_folder, preset_names, read_yaml
from vidnst.errors import ConfigError

PAGE = (Path(__file__).resolve().parents[2] / "ARCHITECTURE.md").read_text("utf-8")
ASKING: dict[str, Any] = {
    "model.weights": "/home/other/x.pth",
    "model.network": "/home/other/x.pth",
    "motion.raft_weights": "/home/other/raft.pth",
    "farm.device": "cuda",
    "farm.grows": True,
    "output.hardware": "vaapi",
    "farm.address": "203.0.113.9:6379",
}
"""For each setting that is not for any file a value that asks for something."""


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for rule in AUTHORITIES.values():
        if rule.environment:
            monkeypatch.delenv(rule.environment, raising=False)


def nested(key: str, value: object) -> dict[str, Any]:
    section, name = key.split(".")
    return {section: {name: value}}


def test_every_setting_has_a_class() -> None:
    assert set(settings_of(RenderConfig)) == set(AUTHORITIES)


def test_architecture_has_the_table() -> None:
    assert "\n".join(authority_table()) in PAGE


def test_examples_cover_all_that_is_personal() -> None:
    assert set(ASKING) == set(PERSONAL)
    defaults = RenderConfig().model_dump()
    for key, harmless in PERSONAL.items():
        section, name = key.split(".")
        assert defaults[section][name] == harmless
        assert AUTHORITIES[key].option


def test_presets_that_ship_decide_nothing_personal() -> None:
    for name in preset_names():
        file = preset_folder() / f"{name}.yaml"
        values = read_yaml(file)
        assert admit(values, file=file, origin=Origin.JOBS) == values


@pytest.mark.parametrize("origin", [Origin.JOBS, Origin.RECORD])
@pytest.mark.parametrize("key", ASKING)
def test_refusal_names_setting_file_and_option(key: str, origin: Origin) -> None:
    with pytest.raises(ConfigError) as caught:
        admit(nested(key, ASKING[key]), file=Path("/in/sent.yaml"), origin=origin)
    for part in (f"/in/sent.yaml sets {key}", str(origin), f"give {AUTHORITIES[key].option}"):
        assert part in str(caught.value)


@pytest.mark.parametrize("key", ASKING)
def test_what_the_person_gives_replaces_the_files(key: str) -> None:
    admitted = admit(nested(key, ASKING[key]), file=Path("run.json"), origin=Origin.RECORD, given={key})
    assert admitted == {key.split(".")[0]: {}}


def test_harmless_values_may_stand_in_any_file() -> None:
    for key, rule in AUTHORITIES.items():
        assert all(may_decide(origin, key, value) for value in rule.harmless for origin in Origin)


def test_records_may_name_safetensors_and_job_files_may_not() -> None:
    for key in ("model.weights", "model.network", "motion.raft_weights"):
        assert may_decide(Origin.RECORD, key, "/w/x.safetensors")
        assert not may_decide(Origin.JOBS, key, "/w/x.safetensors")


def test_environment_counts_as_the_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDNST_WEIGHTS", "/mine.pth")
    assert may_decide(Origin.RECORD, "model.weights", "/mine.pth")
    assert not may_decide(Origin.RECORD, "model.weights", "/other.pth")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    address = nested("farm.address", "203.0.113.9:6379")
    assert admit(address, file=Path("run.json"), origin=Origin.RECORD) == {"farm": {}}


@pytest.mark.parametrize("key", ASKING)
def test_settings_file_may_name_all_but_addresses(key: str, tmp_path: Path) -> None:
    file = tmp_path / "look.yaml"
    section, name = key.split(".")
    workers = "\n  workers: 2" if section == "farm" else ""
    file.write_text(f"{section}:\n  {name}: {str(ASKING[key]).lower()}{workers}\n")
    if AUTHORITIES[key].authority is Authority.COMMAND:
        with pytest.raises(ConfigError, match=r"look\.yaml sets farm\.address .* give --address or RAY_ADDRESS"):
            load_config(file=file)
    else:
        assert getattr(getattr(load_config(file=file), section), name) == ASKING[key]


def test_values_of_no_known_type_are_refused() -> None:
    for value in ([], {}, ["x"], 3, "", True):
        with pytest.raises(ConfigError):
            admit(nested("farm.address", value), file=Path("f"), origin=Origin.SETTINGS)
