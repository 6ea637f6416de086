"""Finding, reading and refusing RAFT's weights; no trained ones are needed."""

import hashlib
import io
import urllib.error
import urllib.request
from email.message import Message
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torchvision.models.optical_flow import raft_large, raft_small

from vidnst.errors import WeightsError
from vidnst.files import weights_file
from vidnst.files.weights_file import cache_path, weights_fingerprint
from vidnst.motion.raft import (
    build_raft,
    load_raft_weights,
    raft_size,
    raft_urls,
    resolve_raft_weights,
    verify_raft,
)

MAKERS = {"large": raft_large, "small": raft_small}

pytestmark = pytest.mark.usefixtures("offline")


@pytest.fixture(scope="module")
def states() -> dict[str, dict[str, Tensor]]:
    """Both networks with seeded random weights."""
    made = {}
    with torch.random.fork_rng():
        for size, make in MAKERS.items():
            torch.manual_seed(5)
            made[size] = make(weights=None).state_dict()
    return made


def serve(monkeypatch: pytest.MonkeyPatch, body: bytes) -> list[str]:
    asked: list[str] = []

    def reply(url: str, timeout: float) -> Any:
        asked.append(url)
        answer: Any = io.BytesIO(body)
        answer.headers = Message()
        return answer

    monkeypatch.setattr(urllib.request, "urlopen", reply)
    return asked


def test_lookup_order_of_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, named = tmp_path / "given.pth", tmp_path / "named.pth"
    large, small = (cache_path(url) for url in raft_urls().values())
    large.parent.mkdir(parents=True)
    for path in (given, named, large, small):
        path.touch()
    monkeypatch.setenv("VIDNST_RAFT_WEIGHTS", str(named))
    assert resolve_raft_weights(str(given)) == given
    assert resolve_raft_weights(None) == named
    monkeypatch.delenv("VIDNST_RAFT_WEIGHTS")
    assert resolve_raft_weights(None) == large
    large.unlink()
    assert resolve_raft_weights(None) == small


def test_urls_are_the_pinned_weights() -> None:
    names = {size: url.rpartition("/")[2] for size, url in raft_urls().items()}
    assert names == {"large": "raft_large_C_T_SKHT_V2-ff5fadd5.pth", "small": "raft_small_C_T_V2-01064c6d.pth"}


def test_missing_named_file_is_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = serve(monkeypatch, b"weights")
    with pytest.raises(WeightsError, match=r"motion\.raft_weights names .*gone\.pth"):
        resolve_raft_weights(str(tmp_path / "gone.pth"))
    monkeypatch.setenv("VIDNST_RAFT_WEIGHTS", str(tmp_path / "gone.pth"))
    with pytest.raises(WeightsError, match=r"VIDNST_RAFT_WEIGHTS names .*gone\.pth"):
        resolve_raft_weights(None)
    assert not asked


@pytest.mark.parametrize("download", [True, False])
def test_error_names_places_tried_and_remedy(download: bool) -> None:
    with pytest.raises(WeightsError) as caught:
        resolve_raft_weights(None, download=download)
    places = [str(cache_path(url)) for url in raft_urls().values()]
    for part in ("motion.raft_weights", "VIDNST_RAFT_WEIGHTS", *places, raft_urls()["large"], "motion.method to dis"):
        assert part in str(caught.value)
    assert ("no route to host" in str(caught.value)) == download


def test_download_checks_the_sha256_prefix(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = serve(monkeypatch, b"no weights at all")
    with pytest.raises(WeightsError, match="damaged"):
        resolve_raft_weights(None)
    assert asked == [raft_urls()["large"]]
    assert list(cache_path(raft_urls()["large"]).parent.iterdir()) == []
    start = hashlib.sha256(b"no weights at all").hexdigest()[:8]
    monkeypatch.setattr(weights_file, "sha256_prefix", lambda url: start)
    assert resolve_raft_weights(None) == cache_path(raft_urls()["large"])


def test_sha256_prefix_is_read_from_the_file_name() -> None:
    assert weights_file.sha256_prefix(raft_urls()["small"]) == "01064c6d"
    with pytest.raises(ValueError, match="checksum"):
        weights_file.sha256_prefix("https://host/raft_large.pth")


@pytest.mark.parametrize("size", ["large", "small"])
@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_network_size_is_read_from_the_weights(
    size: str, kind: str, states: dict[str, dict[str, Tensor]], tmp_path: Path
) -> None:
    path = tmp_path / f"weights.{kind}"
    if kind == "pth":
        torch.save(states[size], path)
    else:
        save_file({name: tensor.contiguous() for name, tensor in states[size].items()}, path)
    weights = load_raft_weights(path)
    assert raft_size(weights) == size
    report = verify_raft(path)
    assert (report.network, report.size_bytes) == (f"raft_{size}", path.stat().st_size)
    assert report.fingerprint == weights_fingerprint(weights)
    built = build_raft(weights).state_dict()
    for name, tensor in states[size].items():
        if tensor.is_floating_point():
            assert torch.equal(built[name], tensor), name


def test_build_does_not_advance_torch_rng(states: dict[str, dict[str, Tensor]], tmp_path: Path) -> None:
    torch.save(states["small"], tmp_path / "small.pth")
    before = torch.random.get_rng_state()
    build_raft(load_raft_weights(tmp_path / "small.pth"))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_wrong_files_are_refused_in_one_sentence(states: dict[str, dict[str, Tensor]], tmp_path: Path) -> None:
    first, bias = "feature_encoder.convnormrelu.0.weight", "feature_encoder.convnormrelu.0.bias"
    small = states["small"]
    cases: list[tuple[Any, str]] = [
        ({"features.0.weight": torch.zeros(64, 3, 3, 3)}, "another network than RAFT: it has no feature_encoder"),
        ({**small, first: torch.zeros(48, 3, 7, 7)}, r"than raft_large and raft_small: its .* is \(48, 3, 7, 7\)"),
        ({**small, first: states["large"][first]}, r"another network: its .* is \(32,\), not \(64,\)"),
        ({**small, bias: torch.zeros(31)}, r"another network: its .*bias is \(31,\), not \(32,\)"),
        ({name: value for name, value in small.items() if name != bias}, rf"raft_small needs {bias}, which .* lacks"),
        ({**small, bias: torch.full((32,), torch.nan)}, "damaged: its .*bias holds NaN"),
        ([1, 2, 3], "no table"),
    ]
    path = tmp_path / "w.pth"
    for content, message in cases:
        torch.save(content, path)
        with pytest.raises(WeightsError, match=message) as caught:
            load_raft_weights(path)
        assert "\n" not in str(caught.value)
        assert "motion.method to dis" in str(caught.value)
    path.write_bytes(b"<html>404</html>")
    with pytest.raises(WeightsError, match="truncated, or no weights file"):
        load_raft_weights(path)


def test_pickle_with_code_is_refused(tmp_path: Path) -> None:
    import pickle

    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    (tmp_path / "bomb.pth").write_bytes(pickle.dumps({"feature_encoder.convnormrelu.0.weight": Bomb()}))
    with pytest.raises(WeightsError, match="no weights file"):
        load_raft_weights(tmp_path / "bomb.pth")
    assert not (tmp_path / "ran").exists()


def test_half_precision_weights_load_as_float32(states: dict[str, dict[str, Tensor]], tmp_path: Path) -> None:
    halves = {name: t.half() if t.is_floating_point() else t for name, t in states["small"].items()}
    torch.save(halves, tmp_path / "half.pth")
    weights = load_raft_weights(tmp_path / "half.pth")
    assert all(array.dtype == np.float32 for array in weights.values())
