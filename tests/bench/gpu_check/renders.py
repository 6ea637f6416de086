"""Whole renders from frames to frames, with utilisation and memory, against what `plan` foretells."""

import torch
from bench.gpu_check.check import Check, gib
from bench.gpu_check.clips import FrameClip, TimedRender, differing, frame_clip, render_config, timed_render
from bench.gpu_check.findings import FAIL

import vidnst
from vidnst.config import RenderConfig
from vidnst.config.loader import Engine


def check_renders(check: Check) -> None:
    """The default: predicted, timed, and rendered twice."""
    frames = 4 if check.dry else check.options.frames
    with frame_clip(check.size_720p, frames) as clip:
        config = render_config(check)
        seconds, memory = _forecast(check, clip, config)
        found = _render(check, clip, "default", config)
        _against_forecast(check, found, seconds, memory)
    with frame_clip((96, 64) if check.dry else (256, 144), 4 if check.dry else 12) as clip:
        small = render_config(check)
        one, two = (timed_render(clip, f"again-{number}", small) for number in range(2))
        different = differing(one.digest, two.digest)
        text = f"{len(different)} of {clip.count} frames differ" if different else "the same bytes"
        check.judge("default at 256x144, twice", text, not different and len(one.digest) == clip.count, bad=FAIL)


def check_presets(check: Check) -> None:
    """Presets whose frames take other ways: changing light, static areas, renewed places."""
    with frame_clip(check.size_720p, 4 if check.dry else 12) as clip:
        for preset in ("timelapse", "film"):
            _render(check, clip, preset, render_config(check, preset=preset))


def check_engines(check: Check) -> None:
    """Networks that paint the frames."""
    with frame_clip(check.size_720p, 4 if check.dry else 24) as clip:
        engines: tuple[Engine, ...] = ("network", "instant")
        for engine in engines:
            _render(check, clip, engine, render_config(check, engine=engine))


def _forecast(check: Check, clip: FrameClip, config: RenderConfig) -> tuple[float | None, float | None]:
    """Seconds of the render and memory of its worker, as `plan` has them."""
    told = vidnst.plan(clip.frames, style=str(clip.style), output=clip.folder / "planned", config=config)
    needs = {need.what: need for need in told.needs}
    need = needs.get("GPU memory of a worker")
    memory = None if need is None else (need.reduced or need.needed) / 2**30
    text = f"{told.seconds:.1f} s, {told.evaluations} evaluations at most, worker {gib(memory)}"
    check.keep(forecast={"seconds": told.seconds, "evaluations": told.evaluations, "memory_gib": memory})
    check.say(f"plan of {clip.count} frames", text)
    return told.seconds, memory


def _render(check: Check, clip: FrameClip, name: str, config: RenderConfig) -> TimedRender:
    check.tidy()
    if not check.dry:
        torch.cuda.reset_peak_memory_stats()
    found = timed_render(clip, name, config)
    peak = None if check.dry else torch.cuda.max_memory_allocated() / 2**30
    check.keep(
        **{
            name: {
                "frames": clip.count,
                "seconds": found.seconds,
                "painting_seconds": found.painting_seconds,
                "evaluations": found.evaluations,
                "peak_gib": peak,
                "gpu": found.gpu,
            }
        }
    )
    gpu = found.gpu
    seen = f"GPU {gpu['utilisation']:.0f} %, {gpu['watts']:.0f} W" if gpu else "no nvidia-smi"
    text = f"{found.seconds:.1f} s, {found.frames_per_second:.2f} frames/s while painting; "
    text += f"{found.evaluations} evaluations; {seen}; peak {gib(peak)}"
    check.judge(f"{name}, {clip.count} frames", text, len(found.digest) == clip.count, bad=FAIL)
    return found


def _against_forecast(check: Check, found: TimedRender, seconds: float | None, memory: float | None) -> None:
    if seconds is not None:
        ratio = seconds / found.painting_seconds
        good = check.dry or 0.5 < ratio < 2
        check.judge("plan's time against the default's painting", f"{ratio:.2f} of the true one", good)
    peak = check.facts["renders"]["default"]["peak_gib"]
    if memory is not None and peak is not None:
        check.judge("plan's memory against the default's peak", f"{gib(memory)}, {gib(peak)}", peak <= 1.25 * memory)
    if found.gpu:
        busy = found.gpu["utilisation"]
        check.judge("the GPU while the default is painted", f"{busy:.0f} % busy", busy > 80)
