"""Work and waits for the device that an evaluation does not need."""

from typing import Any

import numpy as np
import pytest
import torch
from support.media import painting, photo
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from vidnst.config.loader import build_config
from vidnst.style.losses import feature_queries, objective
from vidnst.style.losses.feature_queries import ContentTarget
from vidnst.style.losses.laplacian import LaplacianLoss
from vidnst.style.network.random_filters import random_features
from vidnst.style.stylizer import Stylizer
from vidnst.style.tensors import from_pixels

SMALL = {"style_layers": {"relu1_1": 1, "relu2_1": 2}, "content_layers": {"relu2_1": 1}}
KINDS = ("gram", "moments", "mmd_linear", "mmd_polynomial", "mmd_gaussian", "sliced")
"""All but the one whose eigenvalues torch checks, for which it waits."""
WAITS = {"_local_scalar_dense", "nonzero", "item", "is_nonzero", "equal", "masked_select", "unique2"}
"""Operations that give numbers or sizes to the program, which waits for the device before it goes on."""
COPIES = {"lift_fresh", "scalar_tensor"}
"""Operations that bring numbers of the program to the device."""


def stylizer(**losses: Any) -> Stylizer:
    config = build_config({"losses": SMALL | losses, "optimize": {"iterations": 4, "scales": 1}})
    return Stylizer(random_features("relu2_1"), [(painting(), 1.0)], config)


@pytest.fixture
def content() -> Tensor:
    return from_pixels(photo(1, 64, 48))


class Operations(TorchDispatchMode):
    """Collects the names of all operations."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def test_evaluations_never_wait_for_the_device(content: Tensor) -> None:
    wanted = stylizer(style_kinds=dict.fromkeys(KINDS, 1), edges_weight=1, edges_cells={4: 1, 2: 1})
    losses = wanted.objective(content)
    picture = content.flip(3).requires_grad_()
    with Operations() as seen:
        torch.autograd.grad(losses(picture)["total"], picture)
    assert "convolution" in seen.names
    assert not WAITS & set(seen.names)


def test_second_frame_copies_nothing_to_the_device(content: Tensor) -> None:
    wanted = stylizer(style_kinds=dict.fromkeys(KINDS, 1))
    wanted.objective(content)(content)
    objective._on_device.cache_clear()
    copied: list[int] = []
    for _ in range(2):
        with Operations() as seen:
            losses = wanted.objective(content)
            losses(content)
            losses(content)
        copied.append(sum(name in COPIES for name in seen.names))
    assert copied[0] > copied[1] == 0


def test_wasserstein_decomposes_its_target_once(content: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    decompose = torch.linalg.cholesky
    monkeypatch.setattr(torch.linalg, "cholesky", lambda matrix: calls.append(len(matrix)) or decompose(matrix))
    wanted = stylizer(style_kinds={"wasserstein": 1})
    for frame in range(3):
        losses = wanted.objective(content.roll(frame, 3))
        for _ in range(3):
            losses(content)
    assert calls == [64, 128]


@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_edges_without_weight_are_not_computed(weight: float, content: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[LaplacianLoss] = []
    make = objective.LaplacianLoss

    def counted(*args: Any, **options: Any) -> LaplacianLoss:
        made.append(make(*args, **options))
        return made[-1]

    monkeypatch.setattr(objective, "LaplacianLoss", counted)
    found = stylizer(edges_weight=weight).objective(content)(content.flip(3))["edges"].item()
    assert (len(made), found > 0) == ((1, True) if weight else (0, False))


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of bands of each call that makes them; a map of 16 rows has four, and one on a GPU."""
    seen: list[int] = []
    cut = feature_queries.bands

    def counted(window: Any, rows: int) -> Any:
        found = cut(window, rows)
        seen.append(len(found))
        return found

    monkeypatch.setattr(feature_queries, "bands", counted)
    monkeypatch.setattr(feature_queries, "_BAND_VALUES", 8 * 4 * 16)
    return seen


class OnGpu(Tensor):
    """A tensor that says that it is on a GPU."""

    @property
    def device(self) -> torch.device:
        return torch.device("cuda")


@pytest.mark.parametrize(("kinds", "gpu", "count"), [((), False, 4), ((), True, 1), (("moments",), True, 4)])
def test_content_of_bfloat16_maps_is_one_band_on_a_gpu(
    kinds: tuple[str, ...], gpu: bool, count: int, windows: list[int]
) -> None:
    maps = torch.from_numpy(np.random.default_rng(0).random((1, 8, 16, 16), np.float32)).bfloat16()
    target = {"relu4_2": ContentTarget(maps.flip(3), "relative")}
    request = feature_queries.StatisticsRequest(kinds=kinds, layers=("relu4_2",) if kinds else (), content=target)
    shown = maps.as_subclass(OnGpu) if gpu else maps
    found = feature_queries._compute_in_bands(shown, "relu4_2", request, None)
    assert windows == [count]
    distance = found[feature_queries.CONTENT, "relu4_2", 0][0]
    torch.testing.assert_close(
        torch.as_tensor(distance.item()), target["relu4_2"].distance(maps.float()), rtol=1e-5, atol=1e-7
    )
