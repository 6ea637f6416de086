"""What a render would take, foretold: the plan's own numbers, memory by what torch keeps, and sizes that would fit."""

import json
from pathlib import Path

import clips
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from vidnst import forecast as forecasting
from vidnst.cli import app
from vidnst.config import RenderConfig
from vidnst.farm.staff import Staff
from vidnst.forecast import Pace, forecast, foretold_seconds
from vidnst.frames import Shot
from vidnst.outline import outline
from vidnst.plan import by_shot
from vidnst.prepare import Request, prepare
from vidnst.presets import build_config, changed
from vidnst.style.layers import TOPOLOGIES
from vidnst.style.memory import footprint
from vidnst.style.stylize import Stylizer, last_layer
from vidnst.style.weights import random_features

CONFIG = build_config(
    {
        "model": {"backbone": "slim"},
        "optimize": {"iterations": 20},
        "schedule": {"kind": "chain"},
        "farm": {"executor": "inline", "threads": 1, "workers": 1},
    }
)


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    clips.write_pictures(tmp_path / "burst", clips.pictures(4))
    (style,) = clips.write_pictures(tmp_path, [clips.picture(9)], "style.png")
    return Request(str(tmp_path / "burst"), (str(style),), tmp_path / "out.mp4", CONFIG)


def test_a_forecast_has_the_plan_of_the_render_and_writes_nothing(request_: Request, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    found, plan = forecast(request_), outline(request_)
    assert (found.frames, found.evaluations, found.nodes) == (plan["frames"], plan["evaluations"], plan["nodes"])
    assert [found.width, found.height] == plan["size"]
    assert found.fits
    assert found.seconds is not None
    assert found.seconds > 0
    assert sorted(tmp_path.rglob("*")) == before


def test_seconds_are_the_work_over_the_workers_but_no_less_than_what_waits_for_each_other(request_: Request) -> None:
    job = prepare(request_)
    shots = [Shot(0, 4)]
    nodes = [node for shot in by_shot(CONFIG.schedule, shots) for node in shot]
    pace = Pace(evaluation=1.0, fixed=0.0, flow=0.0, frame=0.5)
    warm = CONFIG.evaluations("warm")
    chain = foretold_seconds(job, nodes, Staff(4, 1, None), pace)
    cold = forecasting._cold_evaluations(job)
    assert chain == pytest.approx(cold + 3 * warm + 4 * 0.5)
    loose = [
        node for shot in by_shot(changed(CONFIG, {"schedule.kind": "independent"}).schedule, shots) for node in shot
    ]
    assert foretold_seconds(job, loose, Staff(4, 1, None), pace) == pytest.approx(cold + 4 * 0.5)
    assert foretold_seconds(job, loose, Staff(2, 1, None), pace) == pytest.approx(2 * cold + 4 * 0.5)


@pytest.mark.parametrize("what", ["disk of the run folder", "host memory"])
def test_what_does_not_fit_is_told_with_a_size_that_does(
    what: str, request_: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips.write_pictures(tmp_path / "burst", [np.zeros((768, 1024, 3), np.uint8)] * 4)
    (need,) = [need for need in forecast(request_, timed=False).needs if need.what == what]
    little = need.needed - (need.needed - 400 * 2**20) // 2 if what == "host memory" else (64 << 20) + 5_000_000
    monkeypatch.setattr(forecasting, "_host_bytes" if what == "host memory" else "free_bytes", lambda *_: little)
    found = forecast(request_, timed=False)
    (need,) = [need for need in found.needs if need.what == what]
    assert not found.fits
    assert need.size is not None
    assert need.size < 1024
    smaller = Request(*(request_.source, request_.styles, request_.output), changed(CONFIG, {"input.size": need.size}))
    (need,) = [need for need in forecast(smaller, timed=False).needs if need.what == what]
    assert need.fits


@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("padding", ["zeros", "replicate"])
def test_memory_is_reckoned_from_what_torch_keeps_for_the_backward_pass(pooling: str, padding: str) -> None:
    config = changed(RenderConfig(), {"model.pooling": pooling, "model.padding": padding, "optimize.scales": 1})
    features = random_features(last_layer(config), seed=0, topology=TOPOLOGIES["vgg19"])
    stylizer = Stylizer(features, [(clips.picture(1), 1.0)], config)
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        stylizer.stylize(torch.rand(1, 3, 128, 128), iterations=1)
    told = footprint(config).per_pixel
    steps = 2 * 3 * 4
    for filters in stylizer._network.parameters():
        kept.pop(filters.untyped_storage().data_ptr(), None)
    assert sum(kept.values()) / 128**2 == pytest.approx(told - steps, rel=0.15)


def test_the_command_tells_several_clips_and_their_total_as_json(request_: Request, tmp_path: Path) -> None:
    video = clips.write_video(tmp_path / "b.mp4", clips.pictures(6))
    options = ["--style", request_.styles[0], "--backbone", "slim", "--iterations", "4", "--executor", "inline"]
    said = CliRunner().invoke(
        app, ["plan", str(request_.source), str(video), *options, "--no-time", "--json", "-o", str(tmp_path / "o.mp4")]
    )
    assert said.exit_code == 0, said.output
    told = json.loads(said.stdout)
    assert [clip["frames"] for clip in told["clips"]] == [4, 6]
    assert told["total"]["frames"] == 10
    assert told["total"]["fits"] is True
    assert told["total"]["seconds"] is None
