"""Forecasts: the plan of the render, its time, its memory and disk, and frame sizes that would fit."""

import inspect
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from support import media
from typer.testing import CliRunner

from vidnst.cli import app as commands
from vidnst.config import RenderConfig, Role
from vidnst.config.loader import build_config, with_settings
from vidnst.errors import ConfigError
from vidnst.farm.provisioning import WorkerCounts
from vidnst.farm.schedules import by_shot, training_of
from vidnst.frames import Shot
from vidnst.rendering.pipeline import run
from vidnst.rendering.prepare import check_request
from vidnst.runs.request import Request
from vidnst.style import minimize, stylizer
from vidnst.style.memory.footprint import Footprint, estimate_footprint
from vidnst.style.memory.modes import NO_SAVINGS, MemoryMode, fallback_modes
from vidnst.style.network.backbones import BACKBONES, last_layer
from vidnst.style.network.random_filters import random_features
from vidnst.style.stylizer import Stylizer
from vidnst.tools.forecast import forecast as forecasts
from vidnst.tools.forecast import memory_and_disk
from vidnst.tools.forecast.early import foresee_nodes
from vidnst.tools.forecast.forecast import forecast, sum_disk_needs
from vidnst.tools.forecast.render_plan import describe_render
from vidnst.tools.forecast.target_machines import TargetMachines, parse_target
from vidnst.tools.forecast.timing import WorkTimings, cold_seconds, estimate_seconds, node_seconds, time_work

CONFIG = build_config(
    {
        "model": {"backbone": "slim"},
        "optimize": {"iterations": 20},
        "schedule": {"kind": "chain"},
        "farm": {"executor": "inline", "threads": 1, "workers": 1},
    }
)

pytestmark = pytest.mark.usefixtures("without_bfloat16")


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    media.write_pictures(tmp_path / "burst", media.numbered_pictures(4))
    (style,) = media.write_pictures(tmp_path, [media.numbered_picture(9)], "style.png")
    return Request(str(tmp_path / "burst"), (str(style),), tmp_path / "out.mp4", CONFIG)


def test_forecast_equals_dry_run_and_writes_nothing(request_: Request, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    found, plan = forecast(request_), describe_render(request_)[0]
    assert (found.frames, found.evaluations, found.nodes) == (plan["frames"], plan["evaluations"], plan["nodes"])
    assert [found.width, found.height] == plan["size"]
    assert found.fits
    assert found.seconds is not None
    assert found.seconds > 0
    assert sorted(tmp_path.rglob("*")) == before


def test_seconds_are_bounded_by_work_and_longest_chain(request_: Request) -> None:
    job = check_request(request_)
    shots = [Shot(0, 4)]
    nodes = [node for shot in by_shot(CONFIG.schedule, shots) for node in shot]
    timings = WorkTimings(evaluation=1.0, fixed=0.25, cold=0.5, flow=0.0, frame=0.5)
    warm = CONFIG.evaluations(Role.WARM) - 1 + 0.25
    chain = estimate_seconds(job, nodes, WorkerCounts(4, 1, None), timings)
    cold = cold_seconds(job, timings)
    assert chain == pytest.approx(cold + 3 * warm + 4 * 0.5)
    loose = [
        node
        for shot in by_shot(with_settings(CONFIG, {"schedule.kind": "independent"}).schedule, shots)
        for node in shot
    ]
    assert estimate_seconds(job, loose, WorkerCounts(4, 1, None), timings) == pytest.approx(cold + 4 * 0.5)
    assert estimate_seconds(job, loose, WorkerCounts(2, 1, None), timings) == pytest.approx(2 * cold + 4 * 0.5)


class Clock:
    """Seconds that go by only while something is computed, by the pictures' areas."""

    LOOK, FORWARD, BACKWARD = 0.5, 1.0, 2.0

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, pixels: int) -> None:
        self.now = 0.0
        evaluated = minimize._evaluated

        def spend(picture: torch.Tensor, seconds: float) -> None:
            self.now += seconds * picture.shape[-2] * picture.shape[-1] / pixels

        class Looking(stylizer.Objective):
            def __init__(self, network: Any, content: torch.Tensor, *rest: Any, **options: Any) -> None:
                spend(content, Clock.LOOK)
                super().__init__(network, content, *rest, **options)

        def timed(loss: Any, picture: torch.Tensor, *, differentiate: bool) -> Any:
            spend(picture, Clock.FORWARD + Clock.BACKWARD * differentiate)
            return evaluated(loss, picture, differentiate=differentiate)

        monkeypatch.setattr(stylizer, "Objective", Looking)
        monkeypatch.setattr(minimize, "_evaluated", timed)
        monkeypatch.setattr("vidnst.farm.workers.time", SimpleNamespace(perf_counter=lambda: self.now))


@pytest.mark.parametrize(
    ("settings", "darker"),
    [
        ({"schedule.kind": "chain"}, 1.0),
        ({"schedule.kind": "keys"}, 1.0),
        ({"schedule.kind": "keys", "optimize.iterations": 3}, 1.0),
        ({"schedule.kind": "keys", "motion.follow_light": True}, 0.5),
        ({"schedule.kind": "keys", "motion.follow_light": True}, 1.0),
    ],
    ids=["chain", "keys", "keys of one evaluation", "light that changes", "light that does not"],
)
def test_estimated_seconds_equal_a_render_s_work(
    settings: dict[str, Any], darker: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, size = 6, (128, 96)
    light = np.linspace(1.0, darker, count)
    frames = [(media.numbered_picture(0, size) * share).astype(np.uint8) for share in light]
    media.write_pictures(tmp_path / "burst", frames)
    (style,) = media.write_pictures(tmp_path, [media.numbered_picture(9)], "style.png")
    usual = {"schedule.passes": 2, "schedule.spacing": 3, "optimize.iterations": 12, "optimize.tolerance": 0}
    rest = {"farm.gate": False, "output.measure": False, "output.report": False}
    config = with_settings(CONFIG, usual | rest | settings)
    request = Request(str(tmp_path / "burst"), (str(style),), tmp_path / "out.mp4", config)
    clock = Clock(monkeypatch, pixels=size[0] * size[1])
    job = check_request(request)
    shots = [Shot(0, count)]
    timings = time_work(job, shots, WorkerCounts(1, 1, 1))
    assert (timings.evaluation, timings.fixed, timings.cold) == pytest.approx((3.0, 1.5, 1.5))
    assert timings.relights == (darker < 1)
    nodes = [node for shot in by_shot(config.schedule, shots) for node in shot]
    estimated = estimate_seconds(job, nodes, WorkerCounts(1, 1, None), replace(timings, flow=0.0, frame=0.0))
    clock.now = 0.0
    run(request)
    assert estimated == pytest.approx(clock.now, rel=0.01)


@pytest.mark.parametrize("kind", ["keys", "chain"])
def test_early_forecast_scales_a_small_picture(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size, threads = (256, 192), 2
    media.write_pictures(tmp_path / "burst", [media.numbered_picture(0, size)] * 4)
    (style,) = media.write_pictures(tmp_path, [media.numbered_picture(9)], "style.png")
    config = with_settings(CONFIG, {"schedule.kind": kind, "optimize.tolerance": 0, "farm.threads": threads})
    job = check_request(Request(str(tmp_path / "burst"), (str(style),), tmp_path / "out.mp4", config))
    clock = Clock(monkeypatch, pixels=size[0] * size[1])
    monkeypatch.setattr("vidnst.tools.forecast.early.time", SimpleNamespace(thread_time=lambda: clock.now))
    seconds_of = foresee_nodes(job)
    assert seconds_of is not None
    assert clock.now < 20  # a full evaluation takes three
    timings = WorkTimings(3.0 / threads, 1.5 / threads, 1.5 / threads, 0.0, 0.0)
    expected = node_seconds(job, timings)
    nodes = [node for shot in by_shot(config.schedule, [Shot(0, 4)]) for node in shot]
    assert [seconds_of(node) for node in nodes] == pytest.approx([expected(node) for node in nodes])


def test_early_forecast_knows_trainings_and_painting(request_: Request) -> None:
    training = {"schedule.kind": "network", "schedule.training.steps": 24, "farm.threads": 1}
    trained = check_request(replace(request_, config=with_settings(CONFIG, training)))
    seconds_of = foresee_nodes(trained)
    assert seconds_of is not None
    stages = [node for node in training_of(trained.schedule, [Shot(0, 4)]) if node.role is Role.TRAIN]
    first, whole, half = map(seconds_of, stages)  # 0, 16 and 8 steps
    (painted, *_) = next(iter(by_shot(trained.schedule, [Shot(0, 4)])))
    assert first == 0
    assert whole == pytest.approx(2 * half)
    assert whole > 16 * seconds_of(painted) > 0  # a step paints, judges, and goes back
    instant = {
        "schedule.kind": "network",
        "schedule.passes": 0,
        "schedule.training": {"steps": 0, "start": "pretrained"},
    }
    painted = check_request(replace(request_, config=with_settings(CONFIG, instant)))
    seconds_of = foresee_nodes(painted)
    assert seconds_of is not None
    (node, *_) = next(iter(by_shot(painted.schedule, [Shot(0, 4)])))
    assert seconds_of(node) > 0


@pytest.mark.parametrize("what", ["disk of the run folder", "host memory"])
def test_shortage_names_a_size_that_fits(
    what: str, request_: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    media.write_pictures(tmp_path / "burst", [np.zeros((768, 1024, 3), np.uint8)] * 4)
    (need,) = [need for need in forecast(request_, timed=False).needs if need.what == what]
    little = need.needed - (need.needed - 400 * 2**20) // 2 if what == "host memory" else (64 << 20) + 5_000_000
    monkeypatch.setattr(memory_and_disk, "host_bytes" if what == "host memory" else "free_bytes", lambda *_: little)
    found = forecast(request_, timed=False)
    (need,) = [need for need in found.needs if need.what == what]
    assert not found.fits
    assert need.fitting_size is not None
    assert need.fitting_size < 1024
    smaller = replace(request_, config=with_settings(CONFIG, {"input.size": need.fitting_size}))
    (need,) = [need for need in forecast(smaller, timed=False).needs if need.what == what]
    assert need.fits


@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("padding", ["zeros", "replicate"])
def test_footprint_equals_tensors_saved_for_backward(pooling: str, padding: str) -> None:
    wanted = {"model.pooling": pooling, "model.padding": padding, "model.precision": "float32", "optimize.scales": 1}
    config = with_settings(RenderConfig(), wanted)
    features = random_features(last_layer(config), seed=0, backbone=BACKBONES["vgg19"])
    stylizer = Stylizer(features, [(media.numbered_picture(1), 1.0)], config)
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        stylizer.stylize(torch.rand(1, 3, 128, 128), iterations=2)  # the last one has no gradient
    told = estimate_footprint(config).per_pixel
    steps = 2 * 3 * 4
    for filters in stylizer._network.parameters():
        kept.pop(filters.untyped_storage().data_ptr(), None)
    assert sum(kept.values()) / 128**2 == pytest.approx(told - steps, rel=0.15)


@pytest.fixture
def _steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rung of the ladder takes a hundred bytes a pixel less than the one before, from a thousand."""

    def estimate(config: RenderConfig, memory_mode: MemoryMode = NO_SAVINGS) -> Footprint:
        return Footprint(1000.0 - 100 * fallback_modes(config, smaller=True).index(memory_mode), 1 << 20)

    monkeypatch.setattr(memory_and_disk, "estimate_footprint", estimate)
    monkeypatch.setattr("vidnst.farm.memory_fallback.estimate_footprint", estimate)


@pytest.mark.usefixtures("_steps")
@pytest.mark.parametrize(
    ("per_pixel", "rung", "saving", "fits"),
    [
        (1000, 0, "", True),
        (800, 2, "bfloat16 maps, recomputed maps", True),
        (500, 4, "tiles of 512 pixels", False),
    ],
)
@pytest.mark.parametrize("gpu", [True, False])
def test_forecast_names_the_memory_mode_that_fits(
    gpu: bool,
    per_pixel: int,
    rung: int,
    saving: str,
    fits: bool,
    request_: Request,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    media.write_pictures(tmp_path / "burst", [np.zeros((768, 1024, 3), np.uint8)] * 4)
    pixels = 768 * 1024
    there = (1 << 20) + per_pixel * pixels
    if gpu:
        monkeypatch.setattr(memory_and_disk, "gpu_memory_sizes", lambda: [there])
    else:
        request_ = replace(request_, config=with_settings(CONFIG, {"farm.memory_gib": there / 2**30}))
    found = forecast(request_, timed=False)
    what = "GPU memory of a worker" if gpu else "memory of a worker"
    (need,) = [need for need in found.needs if need.what == what]
    assert need.needed == (1 << 20) + 1000 * pixels
    assert (need.fits, found.fits) == (fits, fits)
    assert (need.fitting_size is None) == fits
    assert need.reduced == (None if rung == 0 else (1 << 20) + (1000 - 100 * rung) * pixels)
    assert saving in need.saving


@pytest.mark.usefixtures("_steps")
def test_command_shows_memory_mode(request_: Request, tmp_path: Path) -> None:
    options = ["--style", request_.styles[0], "--backbone", "slim", "--executor", "inline", "--no-time"]
    memory = ["--set", f"farm.memory_gib={(2**20 + 850 * 96 * 64) / 2**30}", "-o", str(tmp_path / "o.mp4")]
    said = CliRunner().invoke(commands.app, ["plan", str(request_.source), *options, *memory])
    assert said.exit_code == 0, said.output
    assert "memory of a worker: 0.01 GB, 0.0 GB available; with bfloat16 maps, recomputed maps 0.01 GB" in said.stdout


def test_table_fits_80_columns_and_names_memory_once(request_: Request, tmp_path: Path) -> None:
    deep = tmp_path / ("a folder with a long name, " * 5) / "b.mp4"
    deep.parent.mkdir()
    video = media.write_video(deep, media.numbered_pictures(6))
    options = ["--style", request_.styles[0], "--backbone", "slim", "--iterations", "4", "--executor", "inline"]
    said = CliRunner().invoke(
        commands.app,
        ["plan", str(request_.source), str(video), *options, "--no-time", "-o", str(tmp_path / "o.mp4")],
        env={"COLUMNS": "80"},
    )
    assert said.exit_code == 0, said.output
    table = said.stdout.partition("memory of a worker")[0].splitlines()
    assert max(map(len, table)) <= 80
    assert table[0].split() == ["clip", "style", "frames", "size", "evaluations", "workers", "time"]
    assert table[2].startswith("b.mp4")
    assert said.stdout.count("memory of a worker") == 1


def test_command_sums_up_several_clips_as_json(request_: Request, tmp_path: Path) -> None:
    video = media.write_video(tmp_path / "b.mp4", media.numbered_pictures(6))
    options = ["--style", request_.styles[0], "--backbone", "slim", "--iterations", "4", "--executor", "inline"]
    said = CliRunner().invoke(
        commands.app,
        ["plan", str(request_.source), str(video), *options, "--no-time", "--json", "-o", str(tmp_path / "o.mp4")],
    )
    assert said.exit_code == 0, said.output
    told = json.loads(said.stdout)
    assert [clip["frames"] for clip in told["clips"]] == [4, 6]
    assert told["total"]["frames"] == 10
    assert told["total"]["fits"] is True
    assert told["total"]["seconds"] is None


def planned(*arguments: object, status: int = 0) -> Any:
    said = CliRunner().invoke(commands.app, ["plan", *map(str, arguments), "--no-time", "--json"])
    if isinstance(said.exception, ConfigError):
        raise said.exception
    assert said.exit_code == status, said.output
    return json.loads(said.stdout)


def test_plan_has_render_options_that_change_the_work() -> None:
    def takes(command: Any) -> dict[str, inspect.Parameter]:
        return dict(inspect.signature(command).parameters)

    render, plan = takes(commands.render), takes(commands.plan)
    assert render.keys() - plan.keys() == {"overwrite", "restart", "redo", "redo_only", "redo_key", "dry_run"}
    for name in render.keys() & plan.keys():
        assert (plan[name].annotation, plan[name].default) == (render[name].annotation, render[name].default), name
    assert {"region", "colour", "filters", "photo", "loop", "register", "deflicker", "address"} <= plan.keys()


def test_effect_options_change_the_forecast(request_: Request, tmp_path: Path) -> None:
    common = (request_.source, "--style", request_.styles[0], "--backbone", "slim", "--iterations", 20)
    common += ("--executor", "inline", "-o", tmp_path / "out.mp4")
    disk = "disk of the run folder"

    def bytes_of(told: Any) -> int:
        return next(need["needed"] for need in told["clips"][0]["needs"] if need["what"] == disk)

    plain = planned(*common)
    assert bytes_of(planned(*common, "--filter", "palette:4")) > bytes_of(plain)
    kept = planned(*common, "--keep-frames")
    assert (kept["clips"][0]["keeps"], plain["clips"][0]["keeps"]) == (True, False)
    assert sum(planned(*common, "--loop")["clips"][0]["nodes"].values()) > sum(plain["clips"][0]["nodes"].values())
    with pytest.raises(ConfigError, match=r"input\.deflicker"):
        planned(*common, "--deflicker", 2)
    with pytest.raises(ConfigError, match="NAME=MASK"):
        planned(*common, "--region", "sky")


def test_target_machines_are_not_contacted(request_: Request) -> None:
    config = with_settings(CONFIG, {"farm.workers": 16, "farm.threads": None})
    request = replace(request_, config=config)
    here = forecast(request, timed=False)
    least = estimate_footprint(config, fallback_modes(config)[-1])
    gib = (least.fixed + least.bytes_at(here.width, here.height)) / 2 / 2**30
    little = forecast(request, target=parse_target(config, gpu_gib=gib), timed=False)
    assert (little.workers, little.threads, little.remote) == (16, None, True)
    gpu, host = little.needs[0], little.needs[1]
    assert (gpu.what, gpu.available, gpu.fits) == ("GPU memory of a worker", round(gib * 2**30), False)
    assert gpu.fitting_size is not None
    assert forecast(request, target=parse_target(config, gpu_gib=24), timed=False).fits
    if here.threads is not None:  # on CPUs the workers' memory is this machine's; elsewhere it is not
        assert host.needed < here.needs[1].needed


def test_remote_cpu_workers_are_timed_here(request_: Request) -> None:
    config = with_settings(CONFIG, {"farm.workers": 3, "farm.address": "ray://far:10001", "farm.device": "cpu"})
    target = parse_target(config)
    assert target == TargetMachines(None)
    found = forecast(replace(request_, config=config), target=target)
    assert (found.workers, found.threads) == (3, 1)
    assert [need.what for need in found.needs] == ["memory of a worker", "host memory", "disk of the run folder"]
    assert found.needs[0].available is None
    assert found.seconds is not None


def test_incomplete_target_machines_are_refused(request_: Request) -> None:
    common = (request_.source, "--style", request_.styles[0], "--backbone", "slim")
    for options, words in (
        (("--address", "ray://far:10001"), "add --workers"),
        (("--gpu-memory", 24), "add --workers"),
        (("--gpu-memory", 24, "--workers", 2, "--set", "farm.device=cpu"), "has no effect"),
    ):
        with pytest.raises(ConfigError, match=words):
            planned(*common, *options)


def test_disk_is_summed_up_by_file_system(request_: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    found = forecast(request_, timed=False)
    slack = 64 << 20
    (own,) = (need.needed - slack for need in found.needs if need.what == memory_and_disk.RUN_FOLDER_DISK)
    clips_ = [replace(found, folder=folder) for folder in ("/one/a", "/one/b", "/two/c")]
    clips_[1] = replace(clips_[1], keeps_frames=True)
    free = {"one": 2 * own + slack, "two": own + slack - 1}
    monkeypatch.setattr(forecasts, "file_system", lambda path: path.parts[1])
    monkeypatch.setattr(forecasts, "free_bytes", lambda path: free[path.parts[1]])
    one, two = sum_disk_needs(clips_)
    assert (one.folder, one.clips, one.needed, one.least) == ("/one/a", 2, 2 * own + slack, 2 * own + slack)
    assert (one.fits, two.fits, two.fits_in_turn) == (True, False, False)
    one, _ = sum_disk_needs([replace(clip, keeps_frames=False) for clip in clips_])
    assert (one.needed, one.least) == (2 * own + slack, own + slack)
    free["one"] -= 1
    one, _ = sum_disk_needs([replace(clip, keeps_frames=False) for clip in clips_])
    assert (one.fits, one.fits_in_turn) == (False, True)


def test_job_file_is_planned_and_errors_are_named(request_: Request, tmp_path: Path) -> None:
    jobs = tmp_path / "jobs.yaml"
    settings = {"model.backbone": "slim", "optimize.iterations": 4, "farm.executor": "inline"}
    entry = {"sources": ["burst", "gone"], "styles": ["style.png"]}
    jobs.write_text(json.dumps({"defaults": {"folder": "outs", "set": settings}, "jobs": [entry]}))
    told = planned(jobs, "--workers", 1, status=9)
    (clip,) = told["clips"]
    assert (clip["frames"], clip["workers"]) == (4, 1)
    assert clip["folder"] == str(tmp_path / "outs" / "burst-style.mp4.vidnst")
    assert [error["name"] for error in told["errors"]] == ["gone-style.mp4"]
    (disk,) = told["total"]["disks"]
    assert (disk["clips"], disk["fits"], told["total"]["fits"]) == (1, True, False)
    assert not (tmp_path / "outs").exists()
    with pytest.raises(ConfigError, match="--size cannot be combined with the job file"):
        planned(jobs, "--size", 40)


def keys_of(request: Request, spacing: int, *, workers: int = 4) -> Request:
    schedule = {"schedule.kind": "keys", "schedule.spacing": spacing, "schedule.passes": 2, "farm.workers": workers}
    return replace(request, config=with_settings(CONFIG, schedule))


def test_wider_spacing_keeps_more_workers_busy(request_: Request, tmp_path: Path) -> None:
    media.write_pictures(tmp_path / "burst", media.numbered_pictures(24))
    narrow, wide = (forecast(keys_of(request_, spacing), timed=False) for spacing in (2, 8))
    assert 1 < narrow.workers_kept_busy < wide.workers_kept_busy
    chain = forecast(request_, timed=False)
    assert chain.workers_kept_busy == 1
    assert chain.to_dict()["workers_kept_busy"] == 1


def test_command_says_that_workers_would_be_idle(request_: Request, tmp_path: Path) -> None:
    options = ["--style", request_.styles[0], "--backbone", "slim", "--executor", "inline", "--no-time"]
    options += ["--set", "schedule.kind=chain", "-o", str(tmp_path / "o.mp4")]
    for workers, is_said in ((1, False), (3, True)):
        said = CliRunner().invoke(commands.app, ["plan", request_.source, *options, "--workers", str(workers)])
        assert said.exit_code == 0, said.output
        assert ("so 1.0 of 3 workers are busy at once" in said.stdout) == is_said
