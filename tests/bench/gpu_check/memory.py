"""Memory: estimates against measured peaks, and what happens where it is short."""

import torch
from bench.gpu_check.check import Check, Size, gib
from bench.gpu_check.findings import FAIL, LOOK, OK
from bench.gpu_check.flow import raft_network
from bench.gpu_check.material import config_of, content_of, frame, jobs_of, stylize, stylizer_of, warm_start, worker_of
from bench.gpu_check.speed import SPARE_GIB

from vidnst.config import RenderConfig
from vidnst.errors import ScarceMemoryError
from vidnst.farm.memory_fallback import MemoryLadder
from vidnst.farm.workers import StyleWorker
from vidnst.motion.raft import Raft, raft_bytes
from vidnst.style.memory.footprint import estimate_footprint
from vidnst.style.memory.modes import MemoryMode, fallback_modes
from vidnst.style.network.precision import resolve_precision

_LARGE = (1920, 1080)


def check_memory(check: Check) -> None:
    """The estimate of each memory mode, of statistics that take more, and of RAFT, against peaks."""
    sizes = ((48, 32),) if check.dry else ((1280, 720), (3840, 2160))
    for size in sizes:
        for mode in _modes(check):
            _measure(check, f"{_name(size)}, {_describe(mode)}", config_of(check), size, mode)
    size = sizes[0]
    for kind in ("wasserstein", "mmd_gaussian", "sliced", "moments"):
        config = config_of(check, losses={"style_kinds": {kind: 1.0}})
        _measure(check, f"{_name(size)}, {kind}", config, size, MemoryMode())
    lbfgs = config_of(check, optimize={"optimizer": "lbfgs"})
    _measure(check, f"{_name(size)}, L-BFGS", lbfgs, size, MemoryMode(), iterations=4 if check.dry else 13)
    _measure_raft(check)


def _modes(check: Check) -> list[MemoryMode]:
    """Those that change something: tiles are no smaller than tiny frames."""
    modes = fallback_modes(config_of(check), smaller=True)
    return [mode for mode in modes if not (check.dry and mode.tile_px)]


def _measure(
    check: Check, what: str, config: RenderConfig, size: Size, mode: MemoryMode, *, iterations: int = 3
) -> None:
    resolved = resolve_precision(config, check.device)
    estimate = estimate_footprint(resolved, mode).bytes_at(*size) / 2**30
    stylizer = stylizer_of(check, config)
    content, start = content_of(check, size), warm_start(size, check.device, lit=True)
    peak = check.peak_gib(lambda: stylizer.stylize(content, start=start, iterations=iterations, memory_mode=mode))
    check.keep(**{what: {"estimate_gib": estimate, "peak_gib": peak}})
    verdict = OK
    if peak is not None and peak > 1.1 * estimate + SPARE_GIB:
        verdict = FAIL if peak > 1.5 * estimate + 2 * SPARE_GIB else LOOK
    check.say(what, f"estimate {gib(estimate)}, peak {gib(peak)}", verdict)


def _measure_raft(check: Check) -> None:
    for size in (160,) if check.dry else (640, 1280):
        raft = Raft(raft_network(check), config_of(check, motion={"size": size}).motion, device=check.device)
        frames = [frame((size, size * 3 // 4), number) for number in range(2)]
        peak = check.peak_gib(lambda r=raft, f=frames: r.estimate_pair(*f))  # type: ignore[misc]
        estimate = raft_bytes(size) / 2**30
        check.keep(**{f"RAFT at {size}": {"estimate_gib": estimate, "peak_gib": peak}})
        good = peak is None or peak <= 1.1 * estimate + SPARE_GIB
        check.judge(f"RAFT at {size}", f"estimate {gib(estimate)}, peak {gib(peak)}", good)


def check_ladder(check: Check) -> None:
    """Limits that the estimate knows, a shortage that only the device knows, and one that nothing helps."""
    whole = _estimate_gib(check, check.size_720p)
    for share in (1.1, 0.8, 0.5, 0.3):
        _limited(check, round(share * whole, 3))
    if not check.needs_cuda("a true shortage"):
        return
    large = _estimate_gib(check, _LARGE)
    for share in (0.7, 0.4):
        _short(check, round(share * large, 2))
    _hopeless(check)


def _estimate_gib(check: Check, size: Size) -> float:
    """What a frame takes when nothing is saved."""
    return estimate_footprint(resolve_precision(config_of(check), check.device)).bytes_at(*size) / 2**30


def _limited(check: Check, limit_gib: float) -> None:
    """`farm.memory_gib` is kept, or the frame is refused in words."""
    (job,) = jobs_of(1, check.size_720p)
    check.tidy()
    what = f"farm.memory_gib={limit_gib}"
    worker = worker_of(check, config_of(check, farm={"memory_gib": limit_gib}))
    if not check.dry:
        torch.cuda.reset_peak_memory_stats()
    try:
        result = stylize(worker, job)
    except ScarceMemoryError as error:
        check.say(what, f"refused: {error.what}", LOOK)
        return
    peak = None if check.dry else torch.cuda.max_memory_allocated() / 2**30
    del worker
    check.tidy()
    text = f"saved {result.memory_mode.describe()}, peak {gib(peak)}; {result.shortage or 'no shortage'}"
    check.judge(what, text, peak is None or peak <= limit_gib, bad=FAIL)


def _short(check: Check, limit_gib: float) -> None:
    """The device has less than the worker believes."""
    worker, job = _unlimited_worker(check), jobs_of(1, _LARGE)[0]
    check.tidy()
    _set_limit(limit_gib)
    try:
        result = stylize(worker, job)
        text = f"saved {result.memory_mode.describe()}; because: {result.shortage or 'nothing'}"
        check.judge(f"1920x1080 on a card of {limit_gib} GiB", text, bool(result.shortage))
    finally:
        del worker
        check.tidy()


def _hopeless(check: Check) -> None:
    """A frame that fits in no mode is refused, and the next one, with room, is painted."""
    worker = _unlimited_worker(check)
    big, small = jobs_of(1, (3840, 2160))[0], jobs_of(1, (256, 144))[0]
    check.tidy()
    _set_limit(0.35)
    try:
        stylize(worker, big)
        text, good = "it fits, against all expectation", False
    except ScarceMemoryError as error:
        text, good = f"refused: {error.what}; {error.remedy}", True
    check.tidy()
    check.judge("3840x2160 on a card of 0.35 GiB", text, good)
    after = stylize(worker, small)
    check.judge("the frame after it", f"painted, saved {after.memory_mode.describe()}", not after.shortage, bad=FAIL)


def _unlimited_worker(check: Check) -> StyleWorker:
    """A worker without an estimate, so that a shortage comes from the device and has to be understood."""
    config = config_of(check)
    stylizer = stylizer_of(check, config)
    bfloat16 = resolve_precision(config, check.device) != config
    return StyleWorker(stylizer, check.device, MemoryLadder(config, None, bfloat16))


def _set_limit(limit_gib: float) -> None:
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(limit_gib * 2**30 / total)


def _name(size: Size) -> str:
    return "x".join(map(str, size))


def _describe(mode: MemoryMode) -> str:
    return "nothing saved" if mode == MemoryMode() else mode.describe()
