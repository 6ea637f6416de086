"""GPUs that torch cannot use are noticed and named before work starts; the cards are fakes."""

import json
import os
from pathlib import Path
from typing import NoReturn

import pytest
import torch
from support.command_line import Vidnst
from support.fake_cards import ARCHITECTURES, GIB, OLD, OTHER, RECENT, show_cards, show_unseen_cards
from support.renders import quick_settings, write_settings

from vidnst.config import FarmConfig
from vidnst.devices import gpus
from vidnst.errors import FarmError
from vidnst.farm.local_gpus import check_gpus
from vidnst.farm.workers import gpu_memory_sizes, pick_device
from vidnst.style.stylize import stylize

FRAMES = 3
TOO_OLD = "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver."


@pytest.mark.parametrize(
    ("capability", "architectures", "runs"),
    [
        ((9, 0), ARCHITECTURES, True),
        ((8, 9), ARCHITECTURES, True),  # code for 8.6 runs on it
        ((12, 1), ARCHITECTURES, True),
        ((6, 0), ARCHITECTURES, False),
        ((7, 0), ARCHITECTURES, False),  # code for 7.5 does not run on it
        ((7, 0), [*ARCHITECTURES, "compute_60"], True),
        ((11, 0), ARCHITECTURES, False),
        ((11, 0), [*ARCHITECTURES, "compute_90"], True),
        ((9, 0), ["sm_90a"], True),
        ((12, 1), ["sm_120a", "compute_120a"], False),
        ((10, 3), ["sm_100f"], True),
        ((6, 0), [], True),  # it is not known
        ((9, 0), ["gfx90a"], True),
    ],
)
def test_code_runs_on_cards_that_cuda_says(capability: tuple[int, int], architectures: list[str], runs: bool) -> None:
    assert gpus.runs_code_for(capability, architectures) is runs


def test_usable_cards_are_described(monkeypatch: pytest.MonkeyPatch) -> None:
    show_cards(monkeypatch, RECENT, OTHER)
    assert [(card.name, card.memory_bytes, card.problem) for card in gpus.find_cards()] == [
        ("H200", 139 * GIB, ""),
        ("RTX 4090", 24 * GIB, ""),
    ]
    assert gpu_memory_sizes() == [139 * GIB, 24 * GIB]
    assert pick_device("auto").type == pick_device("cuda").type == "cuda"
    assert pick_device("cpu").type == "cpu"


@pytest.mark.parametrize("wanted", ["auto", "cuda"])
def test_card_without_code_is_refused_not_ignored(wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    show_cards(monkeypatch, RECENT, OLD)
    with pytest.raises(FarmError, match=r"GTX 1080 cannot be used: torch .* has no code for sm_61.*device=cpu"):
        pick_device(wanted)
    assert pick_device("cpu").type == "cpu"


@pytest.mark.parametrize("wanted", ["auto", "cuda"])
def test_old_driver_makes_no_cpu_render(wanted: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    show_unseen_cards(monkeypatch, tmp_path, why=TOO_OLD)
    with pytest.raises(FarmError, match=r"nvidia0 cannot be used: The NVIDIA driver .* too old.*update the driver"):
        pick_device(wanted)
    assert pick_device("cpu").type == "cpu"
    assert not gpus.has_usable_gpu()


def test_cards_that_the_user_hides_are_no_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    show_unseen_cards(monkeypatch, tmp_path, why=TOO_OLD)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert pick_device("auto").type == "cpu"
    assert gpus.find_cards() == []


@pytest.mark.skipif(os.name != "posix", reason="a shell script stands for NVIDIA's tool")
def test_nvidias_tool_names_cards_that_torch_misses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    show_unseen_cards(monkeypatch, tmp_path, why=TOO_OLD, count=0)
    assert gpus.find_cards() == []
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho Tesla P100\necho Tesla K80\n")
    tool.chmod(0o755)
    monkeypatch.setattr(gpus.shutil, "which", lambda _: str(tool))
    assert [card.name for card in gpus.find_cards()] == ["Tesla P100", "Tesla K80"]


def test_torch_for_cpus_is_named_next_to_a_card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    show_unseen_cards(monkeypatch, tmp_path, why="")
    monkeypatch.setattr("torch.version.cuda", None)
    with pytest.raises(FarmError, match="built for CPUs alone; install torch with CUDA"):
        pick_device("auto")


def test_card_on_which_cuda_does_not_start_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    show_cards(monkeypatch, RECENT)

    def broken(_: object) -> NoReturn:
        raise RuntimeError("CUDA error: system not yet initialized\nCUDA kernel errors might be asynchronous")

    monkeypatch.setattr("torch.cuda.get_device_properties", broken)
    with pytest.raises(FarmError, match="number 0 cannot be used: CUDA error: system not yet initialized; restart"):
        pick_device("auto")


def test_single_picture_is_not_painted_by_the_cpu_instead(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    show_unseen_cards(monkeypatch, tmp_path, why=TOO_OLD)
    with pytest.raises(FarmError, match="too old"):
        stylize(torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 32), config={"model": {"weights": "random"}})


def test_unlike_and_idle_cards_are_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    show_cards(monkeypatch, RECENT, OTHER, OTHER)
    (note,) = check_gpus(FarmConfig())
    assert "2 kinds (H200, RTX 4090)" in note
    (note,) = check_gpus(FarmConfig(executor="inline"))
    assert "only the first of 3 GPUs paints (H200)" in note
    assert check_gpus(FarmConfig(device="cpu")) == ()
    show_cards(monkeypatch, OTHER, OTHER)
    assert check_gpus(FarmConfig()) == ()


def test_cards_of_a_cluster_are_not_judged_here(monkeypatch: pytest.MonkeyPatch) -> None:
    show_cards(monkeypatch, OLD)
    assert check_gpus(FarmConfig(address="host:6379")) == ()
    monkeypatch.setenv("RAY_ADDRESS", "host:6379")
    assert check_gpus(FarmConfig()) == ()
    with pytest.raises(FarmError, match="no code"):
        check_gpus(FarmConfig(executor="inline"))


def test_doctor_fails_for_a_card_that_cannot_be_used(vidnst: Vidnst, monkeypatch: pytest.MonkeyPatch) -> None:
    show_cards(monkeypatch, RECENT, OLD)
    result = vidnst("doctor", "--weights", "random", "--json")
    (gpu,) = (check for check in json.loads(result.out) if check["name"] == "gpu")
    assert result.status == 1
    assert not gpu["ok"]
    assert "H200 (139 GiB, sm_90), GTX 1080 (8 GiB, sm_61, cannot be used): torch" in gpu["found"]
    assert "farm.device=cpu" in gpu["remedy"]


@pytest.mark.parametrize("command", ["render", "plan", "batch"])
def test_commands_say_it_before_any_work(
    command: str, vidnst: Vidnst, burst: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    show_unseen_cards(monkeypatch, tmp_path, why=TOO_OLD)
    settings = quick_settings()
    output = tmp_path / "out"
    arguments = [str(burst), "-s", str(style), "-o", str(output), "--config", write_settings(tmp_path / "s", settings)]
    if command == "batch":
        job = {"sources": [str(burst)], "styles": [str(style)]}
        jobs = {"defaults": {"folder": output.name, "set": settings}, "jobs": [job]}
        arguments = [write_settings(tmp_path / "jobs.yaml", jobs)]
    result = vidnst(command, *map(str, arguments))
    assert result.status == FarmError.exit_code
    assert "/dev/nvidia0 cannot be used: The NVIDIA driver on your system is too old" in result.err
    assert not output.with_name("out.vidnst").exists()


def test_render_on_the_cpu_goes_on_if_asked(
    vidnst: Vidnst, burst: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    show_cards(monkeypatch, OLD)
    settings = write_settings(tmp_path / "s", quick_settings(farm={"device": "cpu"}))
    arguments = [burst, "-s", style, "-o", tmp_path / "out", "--config", settings, "--end", "2"]
    assert vidnst("render", *map(str, arguments)).status == 0
    assert len(list((tmp_path / "out").iterdir())) == 2
