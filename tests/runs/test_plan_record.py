"""The plan of a run: every value survives a file exactly, and a damaged file is one error."""

import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vidnst.errors import RunError
from vidnst.frames import Shot
from vidnst.media.adjust.adjustments import Adjustment, Adjustments
from vidnst.media.effects.colour_transfer import ColourSample
from vidnst.runs import RunPlan

MATRIX = tuple(math.sqrt(number) for number in range(1, 10))


def full_plan() -> RunPlan:
    plan = RunPlan(
        start=2,
        end=5,
        width=7,
        height=5,
        rate=Fraction(30000, 1001),
        schedule="keys",
        shots=(Shot(2, 3), Shot(3, 5)),
        threads=3,
    )
    adjustments = Adjustments(2, (Adjustment(1 / 3, MATRIX), Adjustment(1.1, MATRIX, registered=False), Adjustment()))
    colours = ColourSample.from_json({"sample": [[1, 2, 3], [4, 5, 65535]]})
    return plan.model_copy(update={"adjustments": adjustments, "colours": colours})


def write(folder: Path, **changes: object) -> None:
    values = json.loads(full_plan().model_dump_json()) | changes
    (folder / "plan.json").write_text(json.dumps(values))


def test_plan_survives_its_file_exactly(tmp_path: Path) -> None:
    plan = full_plan()
    (tmp_path / "plan.json").write_text(plan.model_dump_json(exclude_none=True))
    read = RunPlan.read(tmp_path)
    assert read is not None
    assert read.adjustments == plan.adjustments
    assert read.colours is not None
    assert plan.colours is not None
    np.testing.assert_array_equal(read.colours.sample, plan.colours.sample)
    assert read.model_copy(update={"colours": None}) == plan.model_copy(update={"colours": None})


def test_missing_plan_is_none(tmp_path: Path) -> None:
    assert RunPlan.read(tmp_path) is None


@pytest.mark.parametrize(
    "change",
    [
        {"start": 3},
        {"end": 2**40},
        {"width": 0},
        {"rate": "1/0"},
        {"rate": "-1"},
        {"shots": []},
        {"shots": [[2, 5, 6]]},
        {"shots": [[2, 3], [4, 5]]},
        {"threads": True},
        {"threads": 0},
        {"adjustments": {"start": 2}},
        {"colours": {"sample": [[1, 2]]}},
        {"unknown": 1},
    ],
)
def test_damaged_value_is_a_run_error(tmp_path: Path, change: dict[str, object]) -> None:
    write(tmp_path)
    assert RunPlan.read(tmp_path) is not None
    write(tmp_path, **change)
    with pytest.raises(RunError, match=r"plan\.json is damaged"):
        RunPlan.read(tmp_path)
