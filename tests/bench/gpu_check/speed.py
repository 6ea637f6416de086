"""Milliseconds of an evaluation: at each size against measured rates, and with each statistic."""

from typing import Any

from bench.gpu_check.check import Check, Size, gib
from bench.gpu_check.findings import FAIL
from bench.gpu_check.material import KINDS, backbone, config_of, content_of, stylizer_of, warm_start

from vidnst.style.memory.footprint import estimate_footprint
from vidnst.style.network.backbones import BACKBONES
from vidnst.style.network.precision import resolve_precision
from vidnst.style.stylizer import Stylizer

SIZES: tuple[Size, ...] = ((256, 144), (640, 360), (1280, 720), (1920, 1080), (3840, 2160))
SPARE_GIB = 0.3
"""cuDNN's workspaces, which estimates leave out."""
_COUNTS = ((600, 64), (1400, 32), (2000, 16), (5000, 8))
"""Evaluations that are timed, up to a width."""


def check_speed(check: Check) -> None:
    """An evaluation with its step, warm, with the default settings."""
    stylizer = stylizer_of(check, config_of(check))
    rates: dict[str, float] = check.facts.get("card", {}).get("rates") or {}
    rows: dict[str, Any] = {}
    for size in ((48, 32), (64, 48)) if check.dry else SIZES:
        row = rows["x".join(map(str, size))] = _time(check, stylizer, size, rates)
        shares = "".join(
            f", {row[f'share_of_{name}']:.0%} of {name}'s rate" for name in rates if f"share_of_{name}" in row
        )
        text = f"{row['ms']:.2f} ms, {row['tflops']:.2f} TFLOP/s{shares}; {row['kernels']:.0f} kernels"
        text += f" busy {row['kernel_ms']:.2f} ms; peak {gib(row['peak_gib'])}, estimate {gib(row['estimate_gib'])}"
        peak = row["peak_gib"]
        check.judge("x".join(map(str, size)), text, peak is None or peak <= 1.1 * row["estimate_gib"] + SPARE_GIB)
        check.keep(sizes=rows)


def _time(check: Check, stylizer: Stylizer, size: Size, rates: dict[str, float]) -> dict[str, Any]:
    seconds, peak = _evaluation(check, stylizer, size)
    operations = 2 * BACKBONES[backbone(check)].flops(size[1], size[0], "relu5_1")
    estimate = estimate_footprint(resolve_precision(config_of(check), check.device)).bytes_at(*size) / 2**30
    try:
        kernels, busy = _kernels(check, stylizer, size)
    except (RuntimeError, AssertionError):  # torch's profiler, where the machine hides its counters
        kernels, busy = 0.0, 0.0
    row = {
        "ms": seconds * 1e3,
        "tflops": operations / seconds / 1e12,
        "kernels": kernels,
        "kernel_ms": busy * 1e3,
        "peak_gib": peak,
        "estimate_gib": estimate,
    }
    for name in ("bfloat16", "convolution"):
        if rates.get(name):
            row[f"share_of_{name}"] = operations / seconds / rates[name]
    return row


def _evaluation(check: Check, stylizer: Stylizer, size: Size) -> tuple[float, float | None]:
    """Seconds of one more evaluation, and the peak: a few and many are timed, so that what is done once cancels out."""
    content, start = content_of(check, size), warm_start(size, check.device)
    few = 2
    many = 4 if check.dry else next(count for width, count in _COUNTS if size[0] < width)

    def paint(count: int) -> None:
        stylizer.stylize(content, start=start, iterations=count)

    peak = check.peak_gib(lambda: paint(few))
    seconds = [check.shortest_seconds(lambda c=count: paint(c), tries=3, warm=1) for count in (few, few + many)]  # type: ignore[misc]
    return max(1e-9, (seconds[1] - seconds[0]) / many), peak


def _kernels(check: Check, stylizer: Stylizer, size: Size) -> tuple[float, float]:
    """Kernels of an evaluation, and the seconds for which the device runs them."""
    from torch.autograd import DeviceType  # type: ignore[attr-defined]
    from torch.profiler import ProfilerActivity, profile

    content, start = content_of(check, size), warm_start(size, check.device)
    count = 3
    stylizer.stylize(content, start=start, iterations=1)
    activity = ProfilerActivity.CPU if check.dry else ProfilerActivity.CUDA
    with profile(activities=[activity]) as profiler:
        stylizer.stylize(content, start=start, iterations=count)
        check.synchronize()
    wanted = DeviceType.CPU if check.dry else DeviceType.CUDA
    events = [event for event in profiler.events() if event.device_type == wanted]
    taken = sum(event.self_cpu_time_total if check.dry else event.time_range.elapsed_us() for event in events)
    return len(events) / count, taken / count / 1e6


def check_kinds(check: Check) -> None:
    """An evaluation with each statistic."""
    size = check.size_720p
    rows: dict[str, dict[str, float | None]] = {}
    for kind in KINDS[:1] + KINDS[4:5] if check.dry else KINDS:
        stylizer = stylizer_of(check, config_of(check, losses={"style_kinds": {kind: 1.0}}))
        try:
            seconds, peak = _evaluation(check, stylizer, size)
        except RuntimeError as error:
            check.say(kind, f"{type(error).__name__}: {str(error).splitlines()[0][:120]}", FAIL)
            continue
        rows[kind] = {"ms": seconds * 1e3, "peak_gib": peak}
        times = (rows[kind]["ms"] or 0.0) / (rows[KINDS[0]]["ms"] or 1.0) if KINDS[0] in rows else 0.0
        check.judge(kind, f"{seconds * 1e3:.2f} ms, {times:.1f} times Gram's; peak {gib(peak)}", check.dry or times < 6)
    check.keep(kinds=rows)
