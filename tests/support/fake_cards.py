"""GPUs that are not there: what torch and the system say of them, for code that asks before it computes."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from vidnst.devices import gpus

GIB = 1 << 30
OLD, RECENT, OTHER = ("GTX 1080", (6, 1), 8), ("H200", (9, 0), 139), ("RTX 4090", (8, 9), 24)
"""Name, compute capability and GiB; the wheels' code is for the last two."""
ARCHITECTURES = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]
"""What the wheels have code for."""

Card = tuple[str, tuple[int, int], int]


def show_cards(monkeypatch: pytest.MonkeyPatch, *cards: Card, architectures: list[str] | None = None) -> None:
    """Let torch see these cards."""
    facts = [
        SimpleNamespace(name=name, major=major, minor=minor, total_memory=gib * GIB)
        for name, (major, minor), gib in cards
    ]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(cards))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(cards))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: facts[_number(device)])
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ARCHITECTURES if architectures is None else architectures)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def show_unseen_cards(monkeypatch: pytest.MonkeyPatch, folder: Path, *, why: str, count: int = 1) -> None:
    """Let the system have cards that torch does not see, for the reason that it gives when CUDA starts."""
    show_cards(monkeypatch)
    for number in range(count):
        (folder / f"nvidia{number}").touch()
    (folder / "nvidiactl").touch()
    monkeypatch.setattr(gpus, "_DEVICE_FILES", folder)
    monkeypatch.setattr(gpus.shutil, "which", lambda _: None)

    def start() -> None:
        raise RuntimeError(why)

    monkeypatch.setattr(torch.cuda, "init", start)
    monkeypatch.setattr(torch.version, "cuda", "13.2")


def _number(device: object) -> int:
    if isinstance(device, torch.device):
        return device.index or 0
    assert isinstance(device, int)
    return device
