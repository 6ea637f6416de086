"""Stale paint: found where a picture shows something else than its frame, and renewed only there."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from vidnst.config import RenderConfig
from vidnst.style.losses.objective import WarmStart
from vidnst.style.staleness import release, staleness
from vidnst.style.stylizer import Stylizer

SHARES = {"relu2_2": 1.0}


def maps(seed: int) -> Tensor:
    return torch.rand(1, 6, 12, 20, generator=torch.Generator().manual_seed(seed))


def test_fresh_painting_has_a_staleness_of_one() -> None:
    fresh, content = {"relu2_2": maps(1)}, {"relu2_2": maps(2)}
    assert torch.allclose(staleness(fresh, fresh, content, SHARES), torch.ones(1, 1, 12, 20))


def test_content_itself_is_fresher_than_a_painting() -> None:
    fresh, content = {"relu2_2": maps(1)}, {"relu2_2": maps(2)}
    assert staleness(content, fresh, content, SHARES).max() < 1


def test_place_that_shows_something_else_is_stale() -> None:
    content = maps(2)
    fresh = content + 0.1 * maps(1)
    stale = fresh.clone()
    stale[..., :10] = maps(3)[..., :10]
    found = staleness({"relu2_2": stale}, {"relu2_2": fresh}, {"relu2_2": content}, SHARES)
    assert found[..., :9].min() > 2
    assert found[..., 11:].max() < 1.01


def test_layers_of_several_sizes_count_by_their_shares() -> None:
    fine, coarse = maps(1), maps(2)[..., ::2, ::2]
    content = {"relu2_2": fine, "relu3_2": coarse}
    fresh = {"relu2_2": fine + 0.1, "relu3_2": coarse + 0.1}
    picture = {"relu2_2": fine + 0.1, "relu3_2": coarse + 0.4}
    means = [
        float(staleness(picture, fresh, content, {"relu2_2": 1 - share, "relu3_2": share}).mean())
        for share in (0.01, 0.5, 0.99)
    ]
    assert means[0] < means[1] < means[2]


@given(st.floats(0, 10), st.floats(1, 3))
def test_release_begins_at_the_least_staleness(stale: float, least: float) -> None:
    freed = float(release(torch.tensor(stale), least))
    assert 0 <= freed <= 1
    assert (freed > 1e-6) <= (stale > least)
    assert (freed == 1) >= (stale > 1.7 * least)


def test_start_is_renewed_only_where_it_is_stale(features: dict[str, NDArray[np.float32]], painting: Any) -> None:
    generator = torch.Generator().manual_seed(3)
    content = torch.rand(1, 3, 16, 24, generator=generator).repeat_interleave(4, 2).repeat_interleave(4, 3)
    losses = {"style_layers": {"relu1_1": 1}, "content_layers": {"relu2_2": 1}, "temporal_weight": 1000}
    stylizer = Stylizer(features, [(painting, 1.0)], RenderConfig.model_validate({"losses": losses}))
    start = stylizer.stylize(content, iterations=60).image
    start[..., :48] = start[..., :48].flip(2)
    everywhere = torch.ones(1, 1, 64, 96)
    held, renewed = (
        stylizer.stylize(content, start=WarmStart(start, everywhere, renew_at=least), iterations=40)
        for least in (None, 1.2)
    )
    moved = [(result.image - start).abs().mean(dim=(0, 1, 2)) for result in (held, renewed)]
    assert moved[1][:40].mean() > 3 * moved[0][:40].mean()
    assert moved[1][60:].mean() < 1.5 * moved[0][60:].mean() + 0.002
    assert renewed.losses["content"] < held.losses["content"]
    assert held.staleness is None
    assert renewed.staleness == pytest.approx(1, abs=0.5)
