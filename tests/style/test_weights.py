"""Finding, fetching, reading and refusing weights."""

import hashlib
import http.client
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

from vidnst.errors import WeightsError
from vidnst.files.weights_file import cache_path, weights_fingerprint
from vidnst.style.network import weights
from vidnst.style.network.random_filters import colour_noise, random_features
from vidnst.style.network.vgg import VGG19
from vidnst.style.network.weights import load_features, resolve_weights, verify_weights

pytestmark = pytest.mark.usefixtures("offline", "without_packaged_vgg19")


def tensors(last_layer: str = "relu2_1", seed: int = 0) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(value) for name, value in random_features(last_layer, seed).items()}


class Reply(io.BytesIO):
    """What a web server answers."""

    def __init__(self, body: bytes, length: int | None) -> None:
        super().__init__(body)
        self.headers = Message()
        if length is not None:
            self.headers["Content-Length"] = str(length)


def serve(monkeypatch: pytest.MonkeyPatch, body: bytes, digest_start: str | None = None) -> None:
    prefix = digest_start or hashlib.sha256(body).hexdigest()[:8]
    monkeypatch.setattr("vidnst.files.weights_file.sha256_prefix", lambda url: prefix)
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: Reply(body, len(body)))


def test_explicit_file_precedes_environment_and_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, named, fetched = tmp_path / "given.pth", tmp_path / "named.pth", cache_path(weights.URL)
    fetched.parent.mkdir(parents=True)
    for path in (given, named, fetched):
        path.touch()
    monkeypatch.setenv("VIDNST_WEIGHTS", str(named))
    assert resolve_weights(str(given)) == given
    assert resolve_weights(None) == named
    monkeypatch.delenv("VIDNST_WEIGHTS")
    assert resolve_weights(None) == fetched


def test_random_weights_by_option_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_weights("random") == "random"
    monkeypatch.setenv("VIDNST_WEIGHTS", "random")
    assert resolve_weights(None) == "random"


def test_missing_named_file_is_an_error_not_a_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, b"weights")
    with pytest.raises(WeightsError, match=r"--weights names .*gone\.pth"):
        resolve_weights(str(tmp_path / "gone.pth"))
    monkeypatch.setenv("VIDNST_WEIGHTS", str(tmp_path / "gone.pth"))
    with pytest.raises(WeightsError, match=r"VIDNST_WEIGHTS names .*gone\.pth"):
        resolve_weights(None)


@pytest.mark.parametrize("download", [True, False])
def test_failure_names_the_places_tried_and_what_to_do(download: bool) -> None:
    with pytest.raises(WeightsError) as caught:
        resolve_weights(None, download=download)
    for part in ("--weights", "VIDNST_WEIGHTS", str(cache_path(weights.URL)), weights.URL, "--weights random"):
        assert part in str(caught.value)
    assert ("no route to host" in str(caught.value)) == download


def test_a_download_is_reported_checked_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    body = bytes(range(256)) * 10_000
    serve(monkeypatch, body)
    seen: list[tuple[int, int | None]] = []
    path = resolve_weights(None, on_progress=lambda done, total: seen.append((done, total)))
    assert path == cache_path(weights.URL)
    assert cache_path(weights.URL).read_bytes() == body
    assert seen[-1] == (len(body), len(body))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert len(seen) > 1


def test_a_damaged_download_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, b"an error page", digest_start="dcbb9e9d")
    with pytest.raises(WeightsError, match="damaged"):
        resolve_weights(None)
    assert list(cache_path(weights.URL).parent.iterdir()) == []


def test_a_cancelled_or_broken_download_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, b"x" * 100)

    def cancel(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resolve_weights(None, on_progress=cancel)
    assert list(cache_path(weights.URL).parent.iterdir()) == []

    class Broken(Reply):
        def read(self, size: int | None = -1, /) -> bytes:
            raise http.client.IncompleteRead(b"", 10)

    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: Broken(b"", 10))
    with pytest.raises(WeightsError, match="downloading"):
        resolve_weights(None)
    assert list(cache_path(weights.URL).parent.iterdir()) == []


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors", "half"])
def test_all_file_formats_give_the_same_filters(kind: str, tmp_path: Path) -> None:
    values = tensors()
    expected = load_features("random", "relu1_2")
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pth")
    if kind == "safetensors":
        save_file(values, path)
    elif kind == "half":
        torch.save({name: value.half() for name, value in values.items()}, path)
    else:
        torch.save(values, path, _use_new_zipfile_serialization=kind == "zip")
    loaded = load_features(path, "relu1_2")
    assert loaded.keys() == {"features.0.weight", "features.0.bias", "features.2.weight", "features.2.bias"}
    for name, value in loaded.items():
        assert value.dtype == np.float32
        np.testing.assert_allclose(value, expected[name], rtol=1e-3 if kind == "half" else 0, atol=1e-6)


def test_a_missing_layer_is_named(tmp_path: Path) -> None:
    path = tmp_path / "shallow.pth"
    torch.save(tensors("relu2_1"), path)
    assert len(load_features(path, "relu2_1")) == 6
    with pytest.raises(WeightsError, match=r"relu2_2 needs features\.7\.weight, which .*shallow\.pth lacks"):
        load_features(path, "relu5_1")


def test_truncated_and_foreign_files_are_refused(tmp_path: Path) -> None:
    whole = tmp_path / "whole.pth"
    torch.save(tensors(), whole)
    save_file(tensors(), tmp_path / "whole.safetensors")
    bad = {
        "cut.pth": whole.read_bytes()[:-2000],
        "cut.safetensors": (tmp_path / "whole.safetensors").read_bytes()[:-2000],
        "page.pth": b"<html>404</html>",
        "empty.pth": b"",
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError, match=rf"{name} is truncated, or no weights file"):
            load_features(tmp_path / name, "relu1_1")
    with pytest.raises(WeightsError, match="cannot be read"):
        load_features(tmp_path / "gone.pth", "relu1_1")


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    import pickle

    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    (tmp_path / "bomb.pth").write_bytes(pickle.dumps({"features.0.weight": Bomb()}))
    with pytest.raises(WeightsError, match="no weights file"):
        load_features(tmp_path / "bomb.pth", "relu1_1")
    assert not (tmp_path / "ran").exists()


def test_other_networks_and_damaged_values_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    cases: list[tuple[dict[str, Any], str]] = [
        ({"conv1.weight": torch.zeros(64, 3, 7, 7)}, r"another network: it has no features\.0\.weight"),
        ({"features.0.weight": torch.zeros(96, 3, 11, 11)}, r"another network: its features\.0\.weight is \(96"),
        ({"features.0.weight": torch.zeros(64, 3, 3, 3, dtype=torch.int8)}, "not real numbers"),
        ({"features.0.bias": torch.full((64,), torch.nan)}, r"damaged: its features\.0\.bias holds NaN"),
    ]
    for change, message in cases:
        torch.save(change if "conv1.weight" in change else {**tensors("relu1_1"), **change}, path)
        with pytest.raises(WeightsError, match=message):
            load_features(path, "relu1_1")
    torch.save([1, 2, 3], path)
    with pytest.raises(WeightsError, match="no table"):
        load_features(path, "relu1_1")


def test_verify_weights_reports_the_deepest_layer(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({**tensors("relu2_1"), "classifier.0.weight": torch.zeros(2, 2)}, path)
    report = verify_weights(path)
    assert (report.source, report.deepest_layer, report.size_bytes) == (str(path), "relu2_1", path.stat().st_size)
    assert report.fingerprint == weights_fingerprint(load_features(path, "relu2_1"))
    values = tensors("relu2_1")
    del values["features.2.bias"]
    torch.save(values, path)
    with pytest.raises(WeightsError, match=r"features\.2\.bias"):
        verify_weights(path)


def test_fingerprints_tell_filters_apart_and_files_not(tmp_path: Path) -> None:
    torch.save(tensors(), tmp_path / "w.pth")
    save_file(tensors(), tmp_path / "w.safetensors")
    one, two = (weights_fingerprint(load_features(tmp_path / name, "relu2_1")) for name in ("w.pth", "w.safetensors"))
    assert one == two
    changed = load_features(tmp_path / "w.pth", "relu2_1")
    changed["features.5.bias"][3] += 1e-6
    assert weights_fingerprint(changed) != one


def test_random_filters_do_not_depend_on_the_depth() -> None:
    shallow, deep, other = (
        random_features("relu1_2", 3),
        random_features("relu2_1", 3),
        random_features("relu1_2", 4),
    )
    assert all(np.array_equal(shallow[name], deep[name]) for name in shallow)
    assert not np.array_equal(shallow["features.0.weight"], other["features.0.weight"])


def test_random_filters_are_balanced() -> None:
    features = random_features("relu5_1", seed=11)
    # Another picture of the kind they were calibrated on, not that very one.
    picture = torch.from_numpy(colour_noise(np.random.default_rng(99), 256)).float()
    network = VGG19(features, last_layer="relu5_1")
    maps = network(picture, ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"])
    for name, found in maps.items():
        means = found[0].mean((1, 2))
        assert 0.4 < means.mean() < 2.5, name
        assert means.min() > 0.02, name
        assert means.max() < 12, name


def test_the_hybrid_weights_load_in_both_precisions(shared: Any) -> None:
    full = load_features(shared("weights/vgg19_hybrid.pth"), "relu5_1")
    half = load_features(shared("weights/vgg19_hybrid_fp16.pth"), "relu5_1")
    assert full.keys() == half.keys()
    assert all(np.allclose(full[name], half[name], rtol=2e-3, atol=1e-4) for name in full)
    with pytest.raises(WeightsError, match=r"relu5_2 needs features\.30\.weight"):
        load_features(shared("weights/vgg19_hybrid.pth"), "relu5_4")
