"""The loop that moves pixels: what it counts, what it keeps, when it stops, what it refuses."""

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from vidnst.config import OptimizeConfig
from vidnst.errors import NumericalError
from vidnst.style.losses.objective import TERMS
from vidnst.style.minimize import StepReport, minimize

Loss = Callable[[Tensor], Mapping[str, Tensor]]
OPTIMIZERS = ["adam", "lbfgs"]


def as_terms(total: Tensor) -> dict[str, Tensor]:
    return {name: total if name == "total" else torch.zeros(()) for name in TERMS}


def toward(target: Tensor, seen: list[Tensor] | None = None) -> Loss:
    """Mean squared distance to `target`, each evaluated picture noted in `seen`."""

    def loss(picture: Tensor) -> dict[str, Tensor]:
        if seen is not None:
            seen.append(picture.detach().clone())
        return as_terms((picture - target).square().mean())

    return loss


def config(**values: object) -> OptimizeConfig:
    return OptimizeConfig.model_validate({"tolerance": 0, **values})


@pytest.fixture
def start() -> Tensor:
    return torch.rand(1, 3, 8, 12, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def goal() -> Tensor:
    return torch.rand(1, 3, 8, 12, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_minimize_finds_the_minimum(optimizer: str, start: Tensor, goal: Tensor) -> None:
    found = minimize(toward(goal), start, config=config(optimizer=optimizer, final_rate=0.02), evaluations=120)
    assert (found.image - goal).abs().mean() < 0.005


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("limit", [1, 2, 7])
def test_evaluations_are_counted_and_never_exceed_the_limit(
    optimizer: str, limit: int, start: Tensor, goal: Tensor
) -> None:
    seen: list[Tensor] = []
    found = minimize(toward(goal, seen), start, config=config(optimizer=optimizer), evaluations=limit)
    assert len(seen) == found.evaluations == limit


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_start_is_not_modified(optimizer: str, start: Tensor, goal: Tensor) -> None:
    before = start.clone()
    minimize(toward(goal), start, config=config(optimizer=optimizer), evaluations=5)
    assert torch.equal(start, before)
    assert not start.requires_grad


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_all_pictures_stay_in_range(optimizer: str, start: Tensor) -> None:
    seen: list[Tensor] = []
    outside = torch.where(start > 0.5, 3.0, -2.0)
    found = minimize(
        toward(outside, seen), start * 4 - 1, config=config(optimizer=optimizer, learning_rate=0.5), evaluations=20
    )
    for picture in [*seen, found.image]:
        assert picture.min() >= 0
        assert picture.max() <= 1
    assert torch.equal(found.image, outside.clamp(0, 1))


def test_best_picture_is_returned(start: Tensor, goal: Tensor) -> None:
    seen: list[Tensor] = []
    # A step much too long: Adam overshoots again and again.
    found = minimize(toward(goal, seen), start, config=config(learning_rate=0.9, final_rate=1.0), evaluations=9)
    totals = [(picture - goal).square().mean().item() for picture in seen]
    best = min(range(len(totals)), key=totals.__getitem__)
    assert best != len(totals) - 1
    assert torch.equal(found.image, seen[best])
    assert found.losses["total"] == pytest.approx(totals[best])


def test_last_evaluation_computes_no_gradient(start: Tensor, goal: Tensor) -> None:
    differentiable: list[bool] = []

    def watched(picture: Tensor) -> dict[str, Tensor]:
        differentiable.append(picture.requires_grad and torch.is_grad_enabled())
        return toward(goal)(picture)

    minimize(watched, start, config=config(), evaluations=4)
    assert differentiable == [True, True, True, False]


def test_single_evaluation_returns_the_start(start: Tensor, goal: Tensor) -> None:
    found = minimize(toward(goal), start, config=config(), evaluations=1)
    assert torch.equal(found.image, start)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_early_stop_returns_the_best_picture(optimizer: str, start: Tensor, goal: Tensor) -> None:
    def offset(picture: Tensor) -> dict[str, Tensor]:
        return as_terms((picture - goal).square().mean() + 1)

    settings = config(optimizer=optimizer, tolerance=1e-3, patience=5)
    found = minimize(offset, start, config=settings, evaluations=400)
    assert 5 < found.evaluations < 400
    assert found.losses["total"] < offset(start)["total"].item()


def test_tolerance_zero_never_stops_early(start: Tensor) -> None:
    found = minimize(toward(start), start, config=config(patience=2), evaluations=12)
    assert found.evaluations == 12


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("after", [0, 3])
def test_nan_and_infinity_are_errors_that_say_when(value: float, after: int, start: Tensor, goal: Tensor) -> None:
    count = 0

    def breaks(picture: Tensor) -> dict[str, Tensor]:
        nonlocal count
        count += 1
        return as_terms((picture - goal).square().mean() * (value if count > after else 1))

    with pytest.raises(NumericalError, match=rf"evaluation {after + 1} of 20"):
        minimize(breaks, start, config=config(), evaluations=20)


def test_a_nan_gradient_does_not_reach_the_result(start: Tensor) -> None:
    with pytest.raises(NumericalError):
        minimize(lambda x: as_terms((x - x.detach()).abs().sqrt().sum()), start, config=config(), evaluations=20)


def test_progress_is_reported_in_order_and_can_cancel(start: Tensor, goal: Tensor) -> None:
    reports: list[StepReport] = []
    found = minimize(toward(goal), start, config=config(), evaluations=6, on_step=reports.append)
    assert [report.evaluation for report in reports] == [1, 2, 3, 4, 5, 6]
    assert {report.limit for report in reports} == {6}
    assert (reports[0].height, reports[0].width) == (8, 12)
    assert reports[0].losses.keys() == set(TERMS)
    assert min(report.losses["total"] for report in reports) == found.losses["total"]

    class StopError(Exception):
        pass

    def stop(report: StepReport) -> None:
        if report.evaluation == 2:
            raise StopError

    with pytest.raises(StopError):
        minimize(toward(goal), start, config=config(), evaluations=6, on_step=stop)


def test_step_scale_shortens_the_steps(start: Tensor, goal: Tensor) -> None:
    moved = []
    for scale in (1.0, 0.25):
        seen: list[Tensor] = []
        minimize(toward(goal, seen), start, config=config(), evaluations=2, step_scale=scale)
        moved.append((seen[1] - seen[0]).abs().mean().item())
    assert moved[1] == pytest.approx(0.25 * moved[0], rel=0.05)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_step_length_does_not_depend_on_size(optimizer: str) -> None:
    moved = []
    for repeats in (1, 8):
        x = torch.tensor([[0.3, 0.6], [0.5, 0.4]]).repeat(repeats, repeats).expand(1, 3, -1, -1)
        seen: list[Tensor] = []
        minimize(toward(torch.full_like(x, 0.45), seen), x, config=config(optimizer=optimizer), evaluations=4)
        moved.append(seen[-1][..., :2, :2])
    torch.testing.assert_close(moved[0], moved[1])


def test_lbfgs_overtakes_adam_on_a_badly_scaled_valley(start: Tensor, goal: Tensor) -> None:
    slopes = torch.logspace(0, 3, start.numel()).view_as(start)

    def valley(picture: Tensor) -> dict[str, Tensor]:
        mean = (slopes * (picture - goal).square()).mean()
        return as_terms(mean + 50 * (picture.mean() - goal.mean()).square())

    losses = {
        optimizer: minimize(valley, start, config=config(optimizer=optimizer), evaluations=60).losses["total"]
        for optimizer in OPTIMIZERS
    }
    assert losses["lbfgs"] < losses["adam"] / 2


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_step_report_holds_an_unchanging_picture(optimizer: str, start: Tensor, goal: Tensor) -> None:
    seen: list[Tensor] = []
    reports: list[StepReport] = []
    minimize(toward(goal, seen), start, config=config(optimizer=optimizer), evaluations=6, on_step=reports.append)
    assert len(reports) == len(seen) == 6
    for report, picture in zip(reports, seen, strict=True):
        assert torch.equal(report.picture, picture)
        assert not report.picture.requires_grad


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_step_does_not_change_the_result(optimizer: str, start: Tensor, goal: Tensor) -> None:
    options: dict[str, Any] = {
        "config": config(optimizer=optimizer, tolerance=0.5, patience=3),
        "evaluations": 90,
        "read_every": 7,  # as on a GPU, where every read waits
    }
    rare: list[StepReport] = []
    plain = minimize(toward(goal), start, on_step=rare.append, **options)
    watched: list[StepReport] = []
    found = minimize(toward(goal), start, on_step=watched.append, every_step=True, **options)
    assert torch.equal(found.image, plain.image)
    assert found.evaluations == plain.evaluations
    assert found.evaluations % 7 == 0, "it settled, at a look"
    assert [report.evaluation for report in rare] == list(range(7, found.evaluations + 1, 7))
    assert [report.evaluation for report in watched] == list(range(1, found.evaluations + 1))
    assert watched[6].losses == rare[0].losses


def test_steps_are_steady_then_decay() -> None:
    seen: list[torch.Tensor] = []
    goal, start = torch.ones(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    settings = config(learning_rate=0.01, final_rate=0.1)
    minimize(toward(goal, seen), start, config=settings, evaluations=12, steady=0.5)
    # A gradient that hardly changes: Adam's steps are the rate itself.
    steps = [float((after - before).mean()) for before, after in pairwise(seen)]
    assert steps[:6] == pytest.approx([0.01] * 6, rel=0.02)
    assert all(after < before for before, after in pairwise(steps[5:]))
    assert steps[-1] == pytest.approx(0.001, rel=0.1)
