"""Painting with a transform network in a worker: the network is built once, and memory may be short."""

import numpy as np
import pytest
import torch
from support.media import painting
from support.stylizer_faults import out_of_memory

from vidnst.config.loader import build_config
from vidnst.errors import ScarceMemoryError
from vidnst.farm.jobs import PaintJob, Shared, Stylized
from vidnst.farm.plan import StateId
from vidnst.farm.workers import StyleWorker, StyleWorkerFactory
from vidnst.style.network.random_filters import random_features
from vidnst.style.transform import network as transform
from vidnst.style.transform.network import TransformNetwork, mirrored, mirrored_by_slices

LOSSES = {"style_layers": {"relu1_1": 1}, "content_layers": {"relu1_1": 1}}


@pytest.fixture
def worker() -> StyleWorker:
    config = build_config({"losses": LOSSES})
    return StyleWorkerFactory(config, random_features("relu1_1"), [(painting(), 1.0)], threads=1)()


def network(key: str = "network 1", seed: int = 1) -> Shared:
    made = TransformNetwork(seed=seed)
    with torch.no_grad():
        made.last.weight.normal_(0, 0.1, generator=torch.Generator().manual_seed(seed))
    return Shared(key, made.to_vector())


def job(shared: Shared, *, height: int = 40, width: int = 56) -> PaintJob:
    content = np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)
    return PaintJob(StateId(0), content, shared)


def painted(worker: StyleWorker, job: PaintJob) -> np.ndarray:
    result = worker.run(job)
    assert isinstance(result, Stylized)
    return result.state


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of values of each network that is built."""
    sizes: list[int] = []
    load = TransformNetwork.load_vector

    def counted(network: TransformNetwork, vector: np.ndarray) -> None:
        sizes.append(len(vector))
        load(network, vector)

    monkeypatch.setattr(TransformNetwork, "load_vector", counted)
    return sizes


def test_network_is_built_once_for_all_frames(worker: StyleWorker, built: list[int]) -> None:
    one, other = network(), network("network 2", seed=2)
    first = painted(worker, job(one))
    assert not np.array_equal(painted(worker, job(other)), first)
    np.testing.assert_array_equal(painted(worker, job(one)), first)
    assert len(built) == 2


def test_networks_without_a_name_are_not_mixed_up(worker: StyleWorker, built: list[int]) -> None:
    first = painted(worker, job(network("")))
    assert not np.array_equal(painted(worker, job(network("", seed=2))), first)
    assert len(built) == 2


def test_frame_is_painted_in_smaller_tiles_if_memory_is_short(
    worker: StyleWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = job(network(), height=48, width=600)
    whole = painted(worker, wanted)
    sizes: list[int | None] = []
    paint = TransformNetwork.paint

    def scarce(self: TransformNetwork, x: torch.Tensor, shares: object, *, tile_px: int | None) -> torch.Tensor:
        sizes.append(tile_px)
        if tile_px != 256:
            raise out_of_memory()
        return paint(self, x, shares, tile_px=tile_px)  # type: ignore[arg-type]

    monkeypatch.setattr(TransformNetwork, "paint", scarce)
    tiled = painted(worker, wanted)
    assert sizes == [transform.PAINTED_TILE_PX, transform.PAINTED_TILE_PX, 512, 256]
    np.testing.assert_allclose(tiled.astype(int), whole.astype(int), atol=2)


def test_frame_that_fits_in_no_tiles_is_named(worker: StyleWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    def scarce(*_: object, **__: object) -> None:
        raise out_of_memory()

    monkeypatch.setattr(TransformNetwork, "paint", scarce)
    with pytest.raises(ScarceMemoryError, match="56x40 does not fit into memory, even painted in tiles"):
        worker.run(job(network()))


@pytest.mark.parametrize("border", [1, 2, 3])
def test_mirroring_by_slices_is_that_of_torch(border: int) -> None:
    """On a GPU the gradient must be summed in a fixed order, which that of torch's padding is not."""
    maps = torch.rand(1, 5, 9, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    maps = maps.to(memory_format=torch.channels_last)
    gradients = []
    for mirror in (mirrored, mirrored_by_slices):
        leaf = maps.clone().requires_grad_()
        result = mirror(leaf, border)
        assert torch.equal(result, torch.nn.functional.pad(maps, (border,) * 4, mode="reflect"))
        assert result.is_contiguous(memory_format=torch.channels_last)
        weights = torch.arange(result.numel(), dtype=maps.dtype).view(result.shape)
        gradients.append(torch.autograd.grad((result * weights).sum(), leaf)[0])
    torch.testing.assert_close(*gradients)


def test_no_layer_of_the_network_pads_by_itself() -> None:
    layers = [module for module in TransformNetwork().modules() if isinstance(module, torch.nn.Conv2d)]
    assert layers
    assert all(layer.padding == (0, 0) for layer in layers)
