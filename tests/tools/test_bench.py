"""The bench: its rows, its memory measurement, and the comparison of two reports."""

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
from vidnst.tools.bench.compare_reports import BenchReport, check_comparable, compare_reports, read_report
from vidnst.tools.bench.machine import Roofline, describe_machine, measure_roofline, peak_memory

SHIPPED = Path(__file__).resolve().parents[1] / "bench" / "cpu-2-cores-bfloat16.json"
QUICK = ("--size", "64x48", "--iterations", "1", "--threads", "1", "--backbone", "slim")
INLINE = ("--set", "farm.executor=inline", "--set", "farm.threads=1", "--set", "optimize.iterations=2")
MEBIBYTE = 1 << 20


@pytest.fixture(autouse=True)
def _known_roofline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measuring the rates takes seconds; tests/cli/test_cli.py does it."""
    monkeypatch.setattr("vidnst.tools.bench.machine.measure_roofline", lambda device, maps: Roofline(1e11, 1e10, None))


def bench(*arguments: object) -> Any:
    result = CliRunner().invoke(app, ["bench", *map(str, arguments), "--json"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def report(**changes: Any) -> dict[str, Any]:
    """The shipped report with changes."""
    loaded: dict[str, Any] = json.loads(SHIPPED.read_text())
    return loaded | changes


def compare(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    return compare_reports(BenchReport.model_validate(old), new, name="old.json")


def row_of(found: dict[str, Any], what: str) -> dict[str, Any]:
    (row,) = (row for row in found["rows"] if row["what"] == what)
    return dict(row)


def test_renders_are_timed_by_stage_and_leave_no_files(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    # torch makes this folder when it is first asked for an optimiser, which may be here.
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("inductor")))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    first = bench(*QUICK, "--preset", "draft", "--workers", "1,2", "--frames", 4, *INLINE)
    (preset,) = first["presets"]
    assert (preset["preset"], preset["size"], preset["frames"], preset["backbone"]) == ("draft", "64x48", 4, "slim")
    assert [row["workers"] for row in first["workers"]] == [1, 2]
    for row in (preset, *first["workers"]):
        assert sum(row["seconds"].values()) == pytest.approx(row["seconds_in_all"])
        assert row["frames_per_second"] == pytest.approx(4 / row["seconds_in_all"])
        assert row["share_not_stylizing"] == pytest.approx(1 - row["seconds"]["stylizing"] / row["seconds_in_all"])
        assert all(row["seconds"][part] > 0 for part in ("startup", "stylizing", "encoding", "measuring"))
        assert row["seconds"]["startup"] < row["first_frame_seconds"] <= row["seconds_in_all"]
        assert 0 < row["workers_busy"] <= 1
    assert list(tmp_path.iterdir()) == []


def test_report_is_complete_and_compares_with_itself(tmp_path: Path) -> None:
    first = bench(*QUICK, "-o", tmp_path / "then.json")
    assert first["machine"]["cores"] >= 1
    assert first["precision"]["tensors"] == "float32"
    assert (first["matrix_gflops"], first["copy_gbytes_per_second"]) == (100, 10)
    assert first["rows"][0]["share_of_matrix_rate"] == pytest.approx(
        first["rows"][0]["gflop_per_iteration"] / 100 / first["rows"][0]["seconds_per_iteration"]
    )
    assert "memory_kind" in first
    assert first["rows"][0]["memory_gib"] is None or first["rows"][0]["memory_gib"] >= 0
    second = bench("--iterations", 1, "--threads", 1, "--backbone", "slim", "--compare", tmp_path / "then.json")
    assert [row["size"] for row in second["rows"]] == ["64x48"]
    compared = second["compared"]
    assert compared["same_machine"]
    row = row_of(compared, "64x48, s/iteration")
    assert row["ratio"] == pytest.approx(
        second["rows"][0]["seconds_per_iteration"] / first["rows"][0]["seconds_per_iteration"]
    )


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux forgets a peak")
def test_peak_memory_is_that_of_the_block() -> None:
    np.ones(256 * MEBIBYTE, np.uint8)
    with peak_memory(torch.device("cpu")) as peak:
        np.ones(64 * MEBIBYTE, np.uint8)
    assert peak.gib is not None
    assert 0.9 * 64 < peak.gib * 1024 < 128


def test_verdict_needs_more_than_noise() -> None:
    old = report()
    new = deepcopy(old)
    new["rows"][0]["seconds_per_iteration"] *= 1.02
    new["rows"][1]["seconds_per_iteration"] *= 0.5
    found = compare(old, new)
    assert row_of(found, "256x144, s/iteration")["verdict"] == "same within noise"
    assert row_of(found, "640x360, s/iteration")["verdict"] == "faster"
    assert row_of(compare(new, old), "640x360, s/iteration")["verdict"] == "slower"
    new["rows"][1]["spread"] = 1.5
    assert row_of(compare(old, new), "640x360, s/iteration")["verdict"] == "same within noise"


def test_more_frames_per_second_are_faster() -> None:
    render = {"preset": "draft", "size": "64x48", "frames": 4, "frames_per_second": 2.0, "workers": 2}
    old, new = (report(presets=[render | {"frames_per_second": rate}]) for rate in (2.0, 4.0))
    found = row_of(compare(old, new), "draft 64x48, 4 frames, frames/s")
    assert (found["verdict"], found["ratio"]) == ("faster", 2.0)
    other = report(presets=[render | {"frames": 8}])
    assert compare(old, other)["only_then"] == ["draft 64x48, 4 frames, frames/s"]


def test_other_machine_is_judged_by_scaled_ratios() -> None:
    old = report()
    new = report(device="another", matrix_gflops=10 * old["matrix_gflops"])
    for row in new["rows"]:
        row["seconds_per_iteration"] /= 5
    found = compare(old, new)
    assert not found["same_machine"]
    assert any("another machine" in note for note in found["notes"])
    row = row_of(found, "256x144, s/iteration")
    assert (row["ratio"], row["ratio_to_floor"]) == (pytest.approx(0.2), pytest.approx(2.0))
    assert row["verdict"] == "slower"
    assert not compare(old, report(threads=1))["same_machine"]


def test_busy_machine_needs_both_ratios_to_agree() -> None:
    old = report()
    busy = report(matrix_gflops=old["matrix_gflops"] / 2)
    for row in busy["rows"]:
        row["seconds_per_iteration"] *= 2
    found = compare(old, busy)
    assert {row["verdict"] for row in found["rows"]} == {"same within noise"}
    assert any("something else was at work" in note for note in found["notes"])


def test_incomparable_reports_are_refused_before_timing(tmp_path: Path) -> None:
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


def test_time_to_loss_row_reaches_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(time_to_loss._REFERENCE, "iterations", 5)
    features = random_features("relu5_1", seed=0, backbone=BACKBONES["slim"])
    found = time_to_loss.measure_time_to_loss(features, torch.device("cpu"), (64, 48), backbone="slim")
    assert found["reference"]["evaluations"] == 5
    reached = found["reached"]
    assert reached is not None
    assert reached["losses"]["total"] <= found["reference"]["losses"]["total"]
    assert reached["losses_over_reference"]["total"] <= 1
    assert 0 < reached["evaluations"] <= reached["budget"]
    assert reached["seconds"] > 0


def test_share_is_of_the_rate_of_the_maps_precision() -> None:
    assert Roofline(1e11, 1e10, 9e11).rate_of("bfloat16") == 9e11
    assert Roofline(1e11, 1e10, 9e11).rate_of("float32") == 1e11
    assert Roofline(1e11, 1e10, None).rate_of("bfloat16") == 1e11


@pytest.mark.cuda
def test_gpu_rates_and_peak_memory() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")
    device = torch.device("cuda")
    roofline = measure_roofline(device)
    assert roofline.bf16_flops is not None
    assert roofline.bf16_flops > roofline.matrix_flops
    peaks = []
    for count in (64 * MEBIBYTE, 16 * MEBIBYTE):
        with peak_memory(device) as peak:
            torch.ones(count, dtype=torch.uint8, device=device)
        peaks.append(peak.gib)
    assert peaks[0] is not None
    assert peaks[1] is not None
    assert peaks[0] - peaks[1] == pytest.approx(48 / 1024, rel=0.1)
    assert describe_machine(device)["gpu"]["count"] >= 1
