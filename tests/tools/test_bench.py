"""The bench: what its numbers are of, and when one report may be put beside another."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from vidnst.cli.app import app
from vidnst.errors import ConfigError
from vidnst.style.network.backbones import BACKBONES
from vidnst.style.network.random_filters import random_features
from vidnst.tools.bench import time_to_loss
from vidnst.tools.bench.compare_reports import check_comparable, compare, read_report
from vidnst.tools.bench.machine import MachineFloor, floor_of, machine, peak_memory

SHIPPED = Path(__file__).parent / "bench" / "cpu-2-cores.json"
QUICK = ("--size", "64x48", "--iterations", "1", "--threads", "1", "--backbone", "slim")
INLINE = ("--set", "farm.executor=inline", "--set", "farm.threads=1", "--set", "optimize.iterations=2")
MEBIBYTE = 1 << 20


@pytest.fixture(autouse=True)
def _known_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measuring it takes seconds; tests/cli/test_cli.py does."""
    monkeypatch.setattr("vidnst.tools.bench.report.floor_of", lambda device: MachineFloor(1e11, 1e10, None))


def bench(*arguments: object) -> Any:
    said = CliRunner().invoke(app, ["bench", *map(str, arguments), "--json"])
    if said.exception is not None and not isinstance(said.exception, SystemExit):
        raise said.exception
    assert said.exit_code == 0, said.output
    return json.loads(said.stdout)


def report(**changes: Any) -> dict[str, Any]:
    """A report as the shipped one is, changed."""
    return json.loads(SHIPPED.read_text()) | changes


def row_of(found: dict[str, Any], what: str) -> dict[str, Any]:
    (row,) = (row for row in found["rows"] if row["what"] == what)
    return dict(row)


def test_whole_renders_are_timed_by_stage_and_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    told = bench(*QUICK, "--preset", "draft", "--workers", "1,2", "--frames", 4, *INLINE)
    (preset,) = told["presets"]
    assert (preset["preset"], preset["size"], preset["frames"], preset["backbone"]) == ("draft", "64x48", 4, "slim")
    assert [row["workers"] for row in told["workers"]] == [1, 2]
    for row in (preset, *told["workers"]):
        assert sum(row["seconds"].values()) == pytest.approx(row["seconds_in_all"])
        assert row["frames_per_second"] == pytest.approx(4 / row["seconds_in_all"])
        assert row["share_not_stylizing"] == pytest.approx(1 - row["seconds"]["stylizing"] / row["seconds_in_all"])
        assert all(row["seconds"][part] > 0 for part in ("startup", "stylizing", "encoding", "measuring"))
        assert row["seconds"]["startup"] < row["first_frame_seconds"] <= row["seconds_in_all"]
        assert 0 < row["workers_busy"] <= 1
    assert list(tmp_path.iterdir()) == []


def test_a_report_tells_the_machine_its_floor_and_memory_and_compares_with_itself_as_written(tmp_path: Path) -> None:
    told = bench(*QUICK, "-o", tmp_path / "then.json")
    assert told["machine"]["cores"] >= 1
    assert told["precision"]["tensors"] == "float32"
    assert (told["matrix_gflops"], told["copy_gbytes_per_second"]) == (100, 10)
    assert told["rows"][0]["share_of_matrix_rate"] == pytest.approx(
        told["rows"][0]["gflop_per_iteration"] / 100 / told["rows"][0]["seconds_per_iteration"]
    )
    assert "memory_kind" in told
    assert told["rows"][0]["memory_gib"] is None or told["rows"][0]["memory_gib"] >= 0
    again = bench("--iterations", 1, "--threads", 1, "--backbone", "slim", "--compare", tmp_path / "then.json")
    assert [row["size"] for row in again["rows"]] == ["64x48"]
    compared = again["compared"]
    assert compared["same_machine"]
    row = row_of(compared, "64x48, s/iteration")
    assert row["ratio"] == pytest.approx(
        again["rows"][0]["seconds_per_iteration"] / told["rows"][0]["seconds_per_iteration"]
    )


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux forgets a peak")
def test_memory_is_that_of_the_block_not_of_what_came_before() -> None:
    np.ones(256 * MEBIBYTE, np.uint8)
    with peak_memory(torch.device("cpu")) as peak:
        np.ones(64 * MEBIBYTE, np.uint8)
    assert peak.gib is not None
    assert 0.9 * 64 < peak.gib * 1024 < 128


def test_a_verdict_is_given_beyond_noise_only() -> None:
    old = report()
    new = deepcopy(old)
    new["rows"][0]["seconds_per_iteration"] *= 1.04
    new["rows"][1]["seconds_per_iteration"] *= 0.5
    found = compare(old, new, name="old.json")
    assert row_of(found, "256x144, s/iteration")["verdict"] == "same within noise"
    assert row_of(found, "640x360, s/iteration")["verdict"] == "faster"
    assert row_of(compare(new, old, name="new.json"), "640x360, s/iteration")["verdict"] == "slower"
    new["rows"][1]["spread"] = 1.5
    assert row_of(compare(old, new, name="old.json"), "640x360, s/iteration")["verdict"] == "same within noise"


def test_frames_per_second_are_faster_when_they_are_more() -> None:
    render = {"preset": "draft", "size": "64x48", "frames": 4, "frames_per_second": 2.0, "workers": 2}
    old, new = (report(presets=[render | {"frames_per_second": rate}]) for rate in (2.0, 4.0))
    found = row_of(compare(old, new, name="old.json"), "draft 64x48, 4 frames, frames/s")
    assert (found["verdict"], found["ratio"]) == ("faster", 2.0)
    other = report(presets=[render | {"frames": 8}])
    assert compare(old, other, name="old.json")["only_then"] == ["draft 64x48, 4 frames, frames/s"]


def test_of_another_machine_only_ratios_to_the_floor_count() -> None:
    old = report()
    new = report(device="another", matrix_gflops=10 * old["matrix_gflops"])
    for row in new["rows"]:
        row["seconds_per_iteration"] /= 5
    found = compare(old, new, name="old.json")
    assert not found["same_machine"]
    assert any("another machine" in note for note in found["notes"])
    row = row_of(found, "256x144, s/iteration")
    assert (row["ratio"], row["ratio_to_floor"]) == (pytest.approx(0.2), pytest.approx(2.0))
    assert row["verdict"] == "slower"
    assert not compare(old, report(threads=1), name="old.json")["same_machine"]


def test_where_the_floor_differs_on_one_machine_both_ratios_have_to_agree() -> None:
    old = report()
    busy = report(matrix_gflops=old["matrix_gflops"] / 2)
    for row in busy["rows"]:
        row["seconds_per_iteration"] *= 2
    found = compare(old, busy, name="old.json")
    assert {row["verdict"] for row in found["rows"]} == {"same within noise"}
    assert any("something else was at work" in note for note in found["notes"])


def test_what_cannot_be_compared_is_refused_before_anything_is_timed(tmp_path: Path) -> None:
    broken = {
        "no.json": "no JSON",
        "list.json": "[]",
        "rows.json": json.dumps(report(rows=[])),
        "nan.json": json.dumps(report(rows=[{"size": "64x48", "seconds_per_iteration": float("nan")}])),
        "rate.json": json.dumps(report(matrix_gflops=0)),
    }
    for name, text in broken.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(ConfigError, match=name):
            read_report(tmp_path / name)
    with pytest.raises(ConfigError, match="gone"):
        read_report(tmp_path / "gone.json")
    old = read_report(SHIPPED)
    check_comparable(old, [(256, 144), (64, 48)], backbone="vgg19", name="x")
    with pytest.raises(ConfigError, match="none of the sizes 64x48"):
        check_comparable(old, [(64, 48)], backbone="vgg19", name="x")
    with pytest.raises(ConfigError, match="backbone vgg19"):
        check_comparable(old, [(256, 144)], backbone="slim", name="x")
    for options in (("--workers", "0"), ("--preset", "drft"), ("--preset", "draft", "--set", "optimize.iterations=0")):
        with pytest.raises(ConfigError):
            bench(*QUICK, *options)


def test_the_loss_of_plain_adam_is_reached_where_the_row_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(time_to_loss._PLAIN, "iterations", 5)
    features = random_features("relu5_1", seed=0, backbone=BACKBONES["slim"])
    found = time_to_loss.reach_row(features, torch.device("cpu"), (64, 48), backbone="slim")
    assert found["reference"]["evaluations"] == 5
    reached = found["reached"]
    assert reached is not None
    assert reached["losses"]["total"] <= found["reference"]["losses"]["total"]
    assert reached["losses_over_reference"]["total"] <= 1
    assert 0 < reached["evaluations"] <= reached["budget"]
    assert reached["seconds"] > 0


@pytest.mark.cuda
def test_a_gpu_tells_its_floor_and_the_memory_of_each_block_alone() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")
    device = torch.device("cuda")
    floor = floor_of(device)
    assert floor.bf16_flops is not None
    assert floor.bf16_flops > floor.matrix_flops
    peaks = []
    for count in (64 * MEBIBYTE, 16 * MEBIBYTE):
        with peak_memory(device) as peak:
            torch.ones(count, dtype=torch.uint8, device=device)
        peaks.append(peak.gib)
    assert peaks[0] is not None
    assert peaks[1] is not None
    assert peaks[0] - peaks[1] == pytest.approx(48 / 1024, rel=0.1)
    assert machine(device)["gpu"]["count"] >= 1
