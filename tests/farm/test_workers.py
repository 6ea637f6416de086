"""The stylizing and flow workers, without Ray."""

import pickle
import threading
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.models.optical_flow import raft_small

from vidnst.config import RenderConfig
from vidnst.config.loader import build_config
from vidnst.errors import FarmError
from vidnst.farm.flow_workers import FlowWorkerFactory
from vidnst.farm.frame_transfer import FrameTransfer
from vidnst.farm.jobs import FlowJob, StylizeJob
from vidnst.farm.plan import FlowId, StateId
from vidnst.farm.warm_start import blends_on_device
from vidnst.farm.workers import StyleWorker, StyleWorkerFactory
from vidnst.frames import to_16_bits, to_bits, to_float
from vidnst.motion.blend import WarmSource, blend
from vidnst.motion.flow import Flow
from vidnst.motion.quality_gate import thumbnail_luma
from vidnst.style.guidance import Guidance, RegionGuidance, StyleMix
from vidnst.style.losses.objective import WarmStart
from vidnst.style.network.random_filters import random_features
from vidnst.style.stylizer import Stylizer, StylizeResult

HEIGHT, WIDTH = 48, 64
SMALL = {"style_layers": {"relu1_1": 1, "relu2_1": 1}, "content_layers": {"relu2_2": 1}}


def pixels(seed: int, dtype: type = np.uint8) -> NDArray[np.uint8]:
    top = np.iinfo(dtype).max
    picture: NDArray[np.uint8] = np.random.default_rng(seed).integers(0, top, (HEIGHT, WIDTH, 3), dtype, endpoint=True)
    return picture


def still(valid: int = 255) -> Flow:
    return Flow(np.zeros((HEIGHT, WIDTH, 2), np.float32), np.full((HEIGHT, WIDTH), valid, np.uint8))


@pytest.fixture(scope="module")
def worker() -> StyleWorker:
    config = build_config({"losses": SMALL, "optimize": {"iterations": 4, "scales": 1}})
    blocks = np.kron(pixels(9)[:6, :8], np.ones((8, 8, 1), np.uint8))
    return StyleWorkerFactory(config, random_features("relu2_2"), [(blocks, 1.0)], threads=1)()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_zero_iterations_return_the_frame_exactly(dtype: type) -> None:
    frame = pixels(1, dtype)
    done = StyleWorkerFactory(RenderConfig(), None, [])().run(StylizeJob(StateId(0), frame, (), 0, 0))
    assert done.evaluations == 0
    np.testing.assert_array_equal(to_bits(done.state, np.iinfo(dtype).bits), frame)


def test_all_eight_bit_levels_survive_sixteen_bits() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    np.testing.assert_array_equal(to_bits(to_16_bits(levels), 8), levels)


def test_cold_frame_is_changed_and_has_losses(worker: StyleWorker) -> None:
    done = worker.run(StylizeJob(StateId(0), pixels(1), (), 4, 0))
    assert done.state.dtype == np.uint16
    assert done.state.shape == (HEIGHT, WIDTH, 3)
    assert done.evaluations == 4
    assert {"total", "content", "style", "tv", "temporal", "edges"} <= set(done.losses)
    assert not np.array_equal(to_bits(done.state, 8), pixels(1))


def test_same_job_gives_the_same_bytes(worker: StyleWorker) -> None:
    job = StylizeJob(StateId(3), pixels(1), (WarmSource(to_16_bits(pixels(2)), still()),), 3, 5)
    np.testing.assert_array_equal(worker.run(job).state, worker.run(job).state)


def test_warm_frame_begins_at_its_start(worker: StyleWorker) -> None:
    before = to_16_bits(pixels(2))
    cold = worker.run(StylizeJob(StateId(1), pixels(1), (), 2, 0)).state
    warm = worker.run(StylizeJob(StateId(1), pixels(1), (WarmSource(before, still()),), 2, 0)).state
    off = [float(np.abs(to_float(state) - to_float(before)).mean()) for state in (warm, cold)]
    assert off[0] < 0.5 * off[1]


def test_content_share_moves_the_start_to_the_content(worker: StyleWorker) -> None:
    begun = [
        worker.run(
            StylizeJob(StateId(1), pixels(1), (WarmSource(to_16_bits(pixels(2)), still()),), 1, 0, content_share=share)
        ).state
        for share in (0.0, 0.5, 1.0)
    ]
    np.testing.assert_allclose(to_float(begun[0]), to_float(pixels(2)), atol=1e-4)
    np.testing.assert_allclose(to_float(begun[1]), (to_float(pixels(1)) + to_float(pixels(2))) / 2, atol=1e-4)
    np.testing.assert_allclose(to_float(begun[2]), to_float(pixels(1)), atol=1e-4)


def test_disoccluded_pixels_get_full_steps(worker: StyleWorker) -> None:
    flow = still()
    flow.valid[:, : WIDTH // 2] = 0
    starts = (WarmSource(to_16_bits(pixels(1)), flow),)
    begun = blend(pixels(1), starts).picture.transpose(1, 2, 0)
    done = to_float(worker.run(StylizeJob(StateId(1), pixels(1), starts, 12, 0, rate=0.4)).state)
    moved = np.abs(done - begun)
    assert moved[:, : WIDTH // 2].mean() > 1.5 * moved[:, WIDTH // 2 :].mean() > 0


def wandering() -> tuple[WarmSource, ...]:
    """Two starts, with places that have none, along vectors of multiples of 1/32 pixel: OpenCV knows no others."""
    random = np.random.default_rng(8)
    starts = []
    for seed in (2, 3):
        vectors = cv2.resize(random.normal(0, 3, (3, 4, 2)).astype(np.float32), (WIDTH, HEIGHT))
        valid = (random.uniform(0, 1, (HEIGHT, WIDTH)) < 0.7).astype(np.uint8) * np.uint8(255)
        starts.append(
            WarmSource(to_16_bits(pixels(seed)), Flow((np.rint(vectors * 32) / 32).astype(np.float32), valid), 0.5)
        )
    return tuple(starts)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_blend_on_device_equals_opencv(worker: StyleWorker, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    first = StylizeJob(StateId(1), pixels(1), wandering(), 1, 0, content_share=share)
    later = replace(first, iterations=3)
    usual = [worker.run(job) for job in (first, later)]
    monkeypatch.setattr("vidnst.farm.frame_transfer.blends_on_device", lambda device: True)
    monkeypatch.setattr("vidnst.farm.warm_start.blend", None)  # nothing asks for it
    found = [worker.run(job) for job in (first, later)]
    off = [np.abs(to_float(one.state) - to_float(other.state)) for one, other in zip(found, usual, strict=True)]
    assert off[0].max() < 1e-4
    # Optimisers go by a gradient's sign where it is next to nothing, so a few pixels then go the other way.
    assert off[1].mean() < 1e-3
    np.testing.assert_array_equal(worker.run(later).state, found[1].state)


def test_gpu_blends_on_itself() -> None:
    assert blends_on_device(torch.device("cuda"))
    assert not blends_on_device(torch.device("cpu"))


@pytest.mark.parametrize("light_share", [None, 0.0])
def test_light_on_device_equals_opencv(light_share: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways give the start the same maps, and the same source to be relit by, unless all frames have one light."""
    config = build_config(
        {"losses": SMALL, "motion": {"follow_light": True, "static_lock": 2.0, "light_share": light_share}}
    )
    worker = StyleWorkerFactory(config, random_features("relu2_2"), [(pixels(9), 1.0)], threads=1)()
    (start, _) = wandering()
    job = StylizeJob(StateId(1), pixels(1), (replace(start, source=pixels(4)),), 1, 0)
    found: list[WarmStart] = []

    def stylize(stylizer: Stylizer, content: Tensor, *, start: WarmStart, **options: object) -> StylizeResult:
        found.append(start)
        return StylizeResult(content, {}, 1)

    monkeypatch.setattr(Stylizer, "stylize", stylize)
    worker.run(job)
    monkeypatch.setattr("vidnst.farm.frame_transfer.blends_on_device", lambda device: True)
    worker.run(job)
    usual, on_device = (start.tensors for start in found)
    assert len(usual) == len(on_device) == (5 if light_share is None else 4)
    for one, other in zip(usual, on_device, strict=True):
        assert one.shape == other.shape
        assert (one - other).abs().max() < 1e-4


@pytest.mark.cuda
@pytest.mark.parametrize("follow_light", [False, True])
def test_gpu_worker_equals_cpu_worker_and_itself(follow_light: bool) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")
    starts = tuple(replace(start, source=to_bits(start.state, 8)) for start in wandering())
    job = StylizeJob(StateId(1), pixels(1), starts, 3, 0, content_share=0.2)
    look = {"losses": SMALL, "optimize": {"iterations": 4, "scales": 1}, "motion": {"follow_light": follow_light}}
    made = {
        device: StyleWorkerFactory(
            build_config({**look, "farm": {"device": device}}), random_features("relu2_2"), [(pixels(9), 1.0)]
        )()
        for device in ("cuda", "cpu")
    }
    one, two, cpu = (made[device].run(job).state for device in ("cuda", "cuda", "cpu"))
    np.testing.assert_array_equal(one, two)
    assert np.abs(to_float(one) - to_float(cpu)).mean() < 0.02


def checked_job(**known: object) -> StylizeJob:
    sources = tuple(thumbnail_luma(pixels(seed)) for seed in (12, 13))
    return replace(StylizeJob(StateId(1), pixels(1), wandering(), 1, 0, source_thumbnails=sources), **known)  # type: ignore[arg-type]


def test_known_thumbnails_are_not_computed_again(worker: StyleWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[type] = []

    def looking(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        looked.append(picture.dtype.type)
        return thumbnail_luma(picture)

    known = tuple(thumbnail_luma(start.state) for start in wandering())
    for module in ("workers", "frame_check"):
        monkeypatch.setattr(f"vidnst.farm.{module}.thumbnail_luma", looking)
    results, looks = [], []
    for painted in ((), (None, known[1]), known):
        looked.clear()
        results.append(worker.run(checked_job(state_thumbnails=painted)))
        looks.append(looked.count(np.uint16))
    assert looks[0] - looks[2] == 2 * (looks[1] - looks[2]) > 0  # a frame that looks wrong is looked at twice
    assert len({(result.state.tobytes(), result.suspect, result.repaired) for result in results}) == 1


def test_result_has_a_thumbnail_if_it_is_checked(worker: StyleWorker) -> None:
    result = worker.run(checked_job())
    assert result.thumbnail_luma is not None
    np.testing.assert_array_equal(result.thumbnail_luma, thumbnail_luma(result.state))
    assert worker.run(StylizeJob(StateId(1), pixels(1), wandering(), 1, 0)).thumbnail_luma is None


def test_unstyled_region_is_source_with_a_soft_edge(worker: StyleWorker) -> None:
    bare = np.zeros((HEIGHT, WIDTH), np.uint8)
    bare[:, 20:32], bare[:, 32:] = 128, 255
    guidance = Guidance((RegionGuidance((StyleMix(1.0, ((0, 1.0),)),), 255 - bare), RegionGuidance((), bare)))
    job = StylizeJob(StateId(0), pixels(1), (), 4, 0, guidance=guidance)
    done = worker.run(pickle.loads(pickle.dumps(job)))
    assert done.shown is not None
    np.testing.assert_array_equal(done.state[:, 32:], to_16_bits(pixels(1))[:, 32:])
    np.testing.assert_array_equal(done.shown[:, 32:], done.state[:, 32:])
    np.testing.assert_array_equal(done.shown[:, :20], done.state[:, :20])
    source = to_float(to_16_bits(pixels(1)))
    off = [np.abs(to_float(picture) - source)[:, 20:32].mean() for picture in (done.shown, done.state)]
    assert 0 < off[0] == pytest.approx(off[1] / 2, rel=0.05)
    assert worker.run(StylizeJob(StateId(0), pixels(1), (), 2, 0)).shown is None


def test_stale_frame_is_painted_again_without_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidnst.farm.frame_check._MAX_STALENESS", 1.3)
    config = build_config({"losses": SMALL | {"temporal_weight": 1000}, "optimize": {"iterations": 80, "scales": 1}})
    blocks = np.kron(pixels(9)[:6, :8], np.ones((8, 8, 1), np.uint8))
    worker = StyleWorkerFactory(config, random_features("relu2_2"), [(blocks, 1.0)], threads=1)()
    content, other = (np.kron(pixels(seed)[:12, :16], np.ones((4, 4, 1), np.uint8)) for seed in (1, 2))
    start = WarmSource(to_16_bits(other), still(), source=other)
    held_on = StylizeJob(
        StateId(1), content, (start,), 80, 0, renew_at=100.0, source_thumbnails=(thumbnail_luma(other),)
    )
    found = worker.run(held_on)
    assert "shows an earlier frame" in found.repaired
    assert not found.suspect
    assert found.losses["temporal"] == 0, "nothing of the start is held"
    picture = to_bits(found.state, 8)
    assert np.abs(picture.astype(int) - content).mean() > 10, "it is painted, and not the source"
    assert np.abs(picture.astype(int) - other).mean() > 30


def test_read_only_arrays_are_accepted(worker: StyleWorker) -> None:
    frame, before = pixels(1), to_16_bits(pixels(2))
    frame.flags.writeable = before.flags.writeable = False
    worker.run(StylizeJob(StateId(0), frame, (WarmSource(before, still()),), 1, 0))


def test_flow_worker_estimates_the_motion() -> None:
    noise = np.random.default_rng(3).integers(0, 256, (12, 16, 3), np.uint8)
    reference = np.kron(noise, np.ones((8, 8, 1), np.uint8))
    config = RenderConfig().motion
    pair = FlowWorkerFactory(config)().run(FlowJob(FlowId(1, 0), np.roll(reference, 4, axis=1), reference))
    assert np.median(pair.forward.vectors_px[20:-20, 20:-20, 0]) == pytest.approx(-4, abs=0.2)
    assert np.median(pair.backward.vectors_px[20:-20, 20:-20, 0]) == pytest.approx(4, abs=0.2)


def test_distant_flow_is_refined_from_two_shorter_ones() -> None:
    noise = np.random.default_rng(3).integers(0, 256, (24, 64, 3), np.uint8)
    wide = cv2.resize(noise, (512, 192), interpolation=cv2.INTER_CUBIC)
    frames = [np.ascontiguousarray(wide[:, 16 * step : 16 * step + 256]) for step in range(3)]
    worker = FlowWorkerFactory(RenderConfig().motion)()
    steps = [worker.run(FlowJob(FlowId(at + 1, at), frames[at + 1], frames[at])) for at in (1, 0)]
    far = worker.run(FlowJob(FlowId(2, 0), frames[2], frames[0], (steps[0], steps[1])))
    seen = far.forward.valid[20:-20, 20:-20] == 255
    assert seen[:, :190].mean() > 0.9
    found = far.forward.vectors_px[20:-20, 20:-20, 0][seen]
    assert np.median(np.abs(found - 32)) < 0.2


@pytest.fixture(scope="module")
def raft_factory() -> FlowWorkerFactory:
    """Makes workers with the small network, of seeded random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        state = raft_small(weights=None).state_dict()
    weights = {name: tensor.numpy() for name, tensor in state.items() if tensor.is_floating_point()}
    return FlowWorkerFactory(build_config({"motion": {"method": "raft"}}).motion, weights, "cpu", threads=1)


def test_pickled_raft_factory_gives_the_same_flow(raft_factory: FlowWorkerFactory) -> None:
    job = FlowJob(FlowId(1, 0), pixels(1), pixels(2))
    made = (raft_factory, pickle.loads(pickle.dumps(raft_factory)))
    here, there = (factory().run(job).forward for factory in made)
    assert here.vectors_px.shape == (HEIGHT, WIDTH, 2)
    np.testing.assert_array_equal(here.vectors_px, there.vectors_px)
    np.testing.assert_array_equal(here.valid, there.valid)


def test_method_decides_and_raft_needs_weights(raft_factory: FlowWorkerFactory) -> None:
    job = FlowJob(FlowId(1, 0), pixels(1), pixels(2))
    dis = RenderConfig().motion
    by_dis = FlowWorkerFactory(dis)().run(job).forward
    np.testing.assert_array_equal(replace(raft_factory, config=dis)().run(job).forward.vectors_px, by_dis.vectors_px)
    assert not np.array_equal(raft_factory().run(job).forward.vectors_px, by_dis.vectors_px)
    with pytest.raises(FarmError, match="no weights came"):
        replace(raft_factory, raft=None)().run(job)


def test_raft_on_a_missing_gpu_is_an_error(raft_factory: FlowWorkerFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(FarmError, match="sees no GPU"):
        replace(raft_factory, device="cuda")()


def test_missing_gpu_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    config = build_config({"farm": {"device": "cuda"}})
    with pytest.raises(FarmError, match="sees no GPU"):
        StyleWorkerFactory(config, {}, [])()


def test_workers_use_the_given_number_of_threads() -> None:
    before = cv2.getNumThreads(), torch.get_num_threads()
    try:
        for factory in (FlowWorkerFactory(RenderConfig().motion), StyleWorkerFactory(RenderConfig(), None, [])):
            cv2.setNumThreads(2)
            factory()
            assert cv2.getNumThreads() == 2  # as it was
            replace(factory, threads=1)()
            assert cv2.getNumThreads() == 1
        assert torch.get_num_threads() == 1
    finally:
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])


def test_threads_of_a_worker_optimise_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    made_by = StyleWorkerFactory(
        build_config({"losses": SMALL}), random_features("relu2_2"), [(pixels(9), 1.0)], threads=1
    )
    worker = made_by()
    inside: list[int] = []
    most: list[int] = []
    first_in, go_on = threading.Event(), threading.Event()

    def stylize(stylizer: Stylizer, content: Tensor, **options: object) -> StylizeResult:
        inside.append(1)
        most.append(len(inside))
        first_in.set()
        go_on.wait(20)
        inside.pop()
        return StylizeResult(content, {}, 1)

    monkeypatch.setattr(Stylizer, "stylize", stylize)
    jobs = [StylizeJob(StateId(number), pixels(number), (), 1, 0) for number in range(2)]
    threads = [threading.Thread(target=worker.run, args=[job]) for job in jobs]
    for thread in threads:
        thread.start()
    assert first_in.wait(20)
    threads[1].join(0.2)  # long enough for it to come in, if it could
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert most == [1, 1]


def test_frame_is_blended_while_another_is_painted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first painting ends only when the second frame has been blended and sent."""
    made_by = StyleWorkerFactory(
        build_config({"losses": SMALL}), random_features("relu2_2"), [(pixels(9), 1.0)], threads=1
    )
    worker = made_by()
    prepared = [threading.Event(), threading.Event()]
    painted: list[bool] = []
    prepare = FrameTransfer.prepare

    def noted(transfer: FrameTransfer, job: StylizeJob, blended: Any) -> Any:
        assert blended is not None
        prepared[job.node.frame].set()
        return prepare(transfer, job, blended)

    def stylize(stylizer: Stylizer, content: Tensor, **options: object) -> StylizeResult:
        painted.append(all(event.wait(20) for event in prepared))
        return StylizeResult(content, {}, 1)

    monkeypatch.setattr(FrameTransfer, "prepare", noted)
    monkeypatch.setattr(Stylizer, "stylize", stylize)
    jobs = [StylizeJob(StateId(number), pixels(number), wandering(), 1, 0) for number in range(2)]
    threads = [threading.Thread(target=worker.run, args=[job]) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    assert painted == [True, True]


def test_frame_for_which_memory_is_short_is_sent_in_its_turn(
    worker: StyleWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = StylizeJob(StateId(1), pixels(1), wandering(), 1, 0)
    usual = worker.run(job)
    prepare, tried = FrameTransfer.prepare, list[bool]()

    def scarce(transfer: FrameTransfer, job: StylizeJob, blended: Any) -> Any:
        tried.append(worker._turn._taken)
        if not worker._turn._taken:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return prepare(transfer, job, blended)

    monkeypatch.setattr(FrameTransfer, "prepare", scarce)
    found = worker.run(job)
    assert tried == [False, True]
    np.testing.assert_array_equal(found.state, usual.state)
    assert found.memory_mode == usual.memory_mode
    assert found.device_seconds
