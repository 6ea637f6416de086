"""Check that cost is linear in pixels and in frames, and that memory does not grow with the length of a clip.

    python tests/bench/lines.py pixels [--backbone slim] [--size 640x360 ...] [--evaluations 3] [--json FILE]
    python tests/bench/lines.py frames [--frames 10 100 1000] [--size 96x64] [--set key=value ...] [--json FILE]

`pixels`: one frame with random filters, two processes for each size: seconds of one evaluation of the loss and of what
comes before the first, and, in the second process, the peak memory of both. Sizes that are estimated to need more than
--most-gib are left out.

`frames`: a whole render of a synthetic clip in the schedule `keys`, one process for each length, on one worker in a
thread of it: processor seconds by part (including ffmpeg's), resident memory at its peak and at every tenth of the
frames, and the size of the run folder when all frames are rendered.

Lines are fitted by least squares of the relative residuals, so that all points count equally. Tables are Markdown.
Judge by processor seconds if the machine does other work as well.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

PARTS = ("reading", "shots", "painting", "encoding", "measuring", "report")
CALM = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_ARENA_MAX": "1"}
"""Environment for glibc where memory is measured: freed memory is returned to the system at once."""
SETTINGS = (
    *("model.backbone=slim", "optimize.iterations=20", "optimize.tolerance=0"),
    *("farm.executor=inline", "farm.workers=1", "farm.threads=1"),
)
"""Settings of whole renders: all frames take equally many evaluations, on one thread."""


def fitted(points: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Fit a line to points `(x, y)`, y above 0; returns slope, value at 0 and largest relative residual."""
    weights = [1 / y**2 for _, y in points]
    total = sum(weights)
    x_mean = sum(w * x for w, (x, _) in zip(weights, points, strict=True)) / total
    y_mean = sum(w * y for w, (_, y) in zip(weights, points, strict=True)) / total
    spread = sum(w * (x - x_mean) ** 2 for w, (x, _) in zip(weights, points, strict=True))
    product = sum(w * (x - x_mean) * (y - y_mean) for w, (x, y) in zip(weights, points, strict=True))
    slope = product / spread if spread else 0.0
    fixed = y_mean - slope * x_mean
    return {"slope": slope, "fixed": fixed, "off": max(abs(fixed + slope * x - y) / y for x, y in points)}


def lines_of(rows: Sequence[Mapping[str, Any]], x: str, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Fit a line to each of the named numbers of the rows."""
    return {name: fitted([(row[x], row[name]) for row in rows]) for name in names}


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table."""
    text = [head, ["---"] * len(head), *[[f"{x:.4g}" if isinstance(x, float) else str(x) for x in row] for row in rows]]
    sys.stdout.write("".join(f"| {' | '.join(row)} |\n" for row in text) + "\n")
    sys.stdout.flush()


def table_of_lines(lines: Mapping[str, Mapping[str, float]], unit: str) -> None:
    """Print lines as a Markdown table."""
    rows = [(name, line["slope"], line["fixed"], f"{line['off']:.1%}") for name, line in lines.items()]
    table(["line", f"for each {unit}", "fixed part", "farthest point off by"], rows)


def in_fresh_process(job: Mapping[str, Any], **environment: str) -> dict[str, Any]:
    """Run one measurement of this script in a process of its own."""
    command = [sys.executable, __file__, "one", json.dumps(job)]
    done = subprocess.run(command, env=os.environ | environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


# Pixels


def pixels_row(size: str, *, backbone: str, evaluations: int, rounds: int, device: str) -> dict[str, Any]:
    """Measure one size in this process: the fastest of some rounds, since disturbances only make them slower."""
    import torch

    from vidnst.config import RenderConfig
    from vidnst.farm.malloc import keep_freed_memory
    from vidnst.style.network.backbones import last_layer
    from vidnst.style.network.weights import load_features, resolve_weights
    from vidnst.style.stylizer import Stylizer
    from vidnst.style.tensors import from_pixels
    from vidnst.tools.bench.frame_speed import noise_image, parse_size, single_scale_config
    from vidnst.tools.bench.machine import peak_memory, release_memory

    values = single_scale_config(backbone).model_dump(mode="json")
    values["model"] |= {"weights": "random"}
    if device == "cpu" and not CALM.keys() <= os.environ.keys():
        keep_freed_memory()  # as workers do
    config, on = RenderConfig.model_validate(values), torch.device(device)
    features = load_features(resolve_weights("random", backbone=backbone), last_layer(config), backbone=backbone)
    stylizer = Stylizer(features, [(noise_image(256, 256, seed=1), 1.0)], config, device=on)
    stylizer.stylize(from_pixels(noise_image(64, 64, seed=2), on), iterations=2, seed=0)  # kernels
    width, height = parse_size(size)
    content = from_pixels(noise_image(height, width, seed=2), on)

    def seconds(count: int) -> tuple[float, float]:
        """Processor and wall time; on a GPU the first says nothing."""
        release_memory(on)
        began = time.process_time(), time.perf_counter()
        stylizer.stylize(content, iterations=count, seed=0)
        if on.type == "cuda":
            torch.cuda.synchronize(on)
        return time.process_time() - began[0], time.perf_counter() - began[1]

    with peak_memory(on) as peak:
        shorts, longs = zip(*((seconds(1), seconds(1 + evaluations)) for _ in range(rounds)), strict=True)
    short, long = min(first for first, _ in shorts), min(first for first, _ in longs)
    cpu = (long - short) / evaluations
    return {
        "size": size,
        "megapixels": width * height / 1e6,
        "cpu_seconds": cpu,
        "wall_seconds": min(wall for _, wall in longs) / (1 + evaluations),
        "cpu_seconds_before": max(0.0, short - cpu),
        "gib": peak.gib,
        "threads": torch.get_num_threads(),
    }


def measure_pixels(asked: argparse.Namespace) -> dict[str, Any]:
    """Measure every size and fit lines."""
    import torch

    from vidnst.style.memory.footprint import estimate_footprint
    from vidnst.style.network.precision import resolve_precision
    from vidnst.tools.bench.frame_speed import parse_size, single_scale_config

    estimate = estimate_footprint(resolve_precision(single_scale_config(asked.backbone), torch.device(asked.device)))
    rows: list[dict[str, Any]] = []
    for size in asked.size:
        if (needed := estimate.bytes_at(*parse_size(size)) / 2**30) > asked.most_gib:
            sys.stderr.write(f"{size} would take {needed:.1f} GiB: left out\n")
            continue
        job = {"kind": "pixels", "size": size, "backbone": asked.backbone, "device": asked.device}
        timed = in_fresh_process({**job, "evaluations": asked.evaluations, "rounds": asked.rounds})
        rows.append(timed | {"gib": in_fresh_process({**job, "evaluations": 1, "rounds": 1}, **CALM)["gib"]})
        sys.stderr.write(f"{json.dumps(rows[-1])}\n")
    keys = ("cpu_seconds", "wall_seconds", "cpu_seconds_before", "gib")
    table(
        [
            "size",
            "megapixels",
            "CPU s per evaluation",
            "s per megapixel",
            "wall s, start included",
            "CPU s before the first",
            "peak GiB",
        ],
        [
            (r["size"], r["megapixels"], r[keys[0]], r[keys[0]] / r["megapixels"], *(r[k] for k in keys[1:]))
            for r in rows
        ],
    )
    lines = lines_of(rows, "megapixels", ("cpu_seconds", "gib") if asked.device == "cpu" else ("wall_seconds", "gib"))
    table_of_lines(lines, "megapixel")
    return {"backbone": asked.backbone, "device": asked.device, "rows": rows, "lines": lines}


# Frames


class Clock:
    """Listens to a render's events: processor seconds by part, and resident memory over time."""

    def __init__(self, frames: int, folder: Path) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self.resident_mib: dict[int, float] = {}
        self.folder_mib = 0.0
        self.first_frame = 0.0
        self._folder = folder
        self._tenth = max(1, frames // 10)
        self._part = "reading"
        self._since = processor_seconds()

    def __call__(self, event: Any) -> None:
        from vidnst.events import FrameDone, Measured, RunFinished, RunStarted, Stage

        match event:
            case Stage(stage="shots" | "encoding" | "measuring"):
                self._enter(event.stage)
            case RunStarted():
                self._enter("painting")
            case Measured():
                self._enter("report")
            case RunFinished():
                self._enter("over")
            case FrameDone():
                self.first_frame = self.first_frame or time.perf_counter()
                if event.frames_done % self._tenth == 0:
                    self.resident_mib[event.frames_done] = status_mib("VmRSS")
            case _:
                pass

    def _enter(self, part: str) -> None:
        from vidnst.runs.disk_space import folder_bytes

        if part == self._part:
            return
        now = processor_seconds()
        self.seconds[self._part] += now - self._since
        if part == "encoding":
            self.folder_mib = (folder_bytes(self._folder) or 0) / 2**20
            now = processor_seconds()
        self._part, self._since = part, now


def processor_seconds() -> float:
    """Processor time of this process and of all children that have ended."""
    return sum(os.times()[:4])


def status_mib(field: str) -> float:
    """Read a size from Linux' /proc/self/status."""
    with open("/proc/self/status", encoding="ascii") as lines:
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))


def frames_row(clip: str, style: str, *, frames: int, settings: Sequence[str]) -> dict[str, Any]:
    """Measure one length in this process."""
    from vidnst.api import render
    from vidnst.config.loader import load_config
    from vidnst.runs import run_folder_of

    began = time.perf_counter()
    output = Path(clip).with_name("out.mp4")
    clock = Clock(frames, run_folder_of(output))
    config = load_config(assignments=[*SETTINGS, *settings])
    render(clip, style=style, output=output, config=config, overwrite=True, on_event=clock)
    peak = status_mib("VmHWM")
    kept = sum(path.stat().st_size for path in run_folder_of(output).rglob("*") if path.is_file())
    return {
        "frames": frames,
        **clock.seconds,
        "cpu_seconds": sum(clock.seconds.values()),
        "wall_seconds": time.perf_counter() - began,
        "first_frame_wall_seconds": clock.first_frame - began,
        "peak_mib": peak,
        "resident_mib": clock.resident_mib,
        "folder_mib": clock.folder_mib,
        "kept_kib": kept / 1024,
    }


def measure_frames(asked: argparse.Namespace) -> dict[str, Any]:
    """Measure every length and fit lines."""
    from vidnst.tools.bench.frame_speed import parse_size
    from vidnst.tools.bench.full_renders import synthetic_clip

    rows: list[dict[str, Any]] = []
    for frames in asked.frames:
        with synthetic_clip(parse_size(asked.size[0]), frames=frames) as clip:
            job = {"clip": str(clip.clip), "style": str(clip.style), "frames": frames, "settings": asked.set}
            rows.append(in_fresh_process({"kind": "frames", **job}))
        sys.stderr.write(f"{json.dumps(rows[-1])}\n")
    table(
        ["frames", *(f"{part}, CPU s" for part in PARTS), "in all", "per frame", "wall s"],
        [
            (
                r["frames"],
                *(r[part] for part in PARTS),
                r["cpu_seconds"],
                r["cpu_seconds"] / r["frames"],
                r["wall_seconds"],
            )
            for r in rows
        ],
    )
    shares = ("a tenth", "a half", "all")
    table(
        ["frames", *(f"resident at {share}, MiB" for share in shares), "peak MiB", "run folder MiB", "kept KiB"],
        [(r["frames"], *_tenths(r["resident_mib"]), r["peak_mib"], r["folder_mib"], r["kept_kib"]) for r in rows],
    )
    busy = [part for part in PARTS if all(row[part] > 0.02 for row in rows)]
    lines = lines_of(rows, "frames", [*busy, "cpu_seconds", "peak_mib", "folder_mib", "kept_kib"])
    table_of_lines(lines, "frame")
    return {"size": asked.size[0], "settings": [*SETTINGS, *asked.set], "rows": rows, "lines": lines}


def _tenths(resident: Mapping[str, float]) -> list[float]:
    """Pick the first, the middle and the last value."""
    values = list(resident.values())
    return [values[0], values[len(values) // 2], values[-1]]


def one(job: dict[str, Any]) -> None:
    """Run a measurement that `in_fresh_process` asked for."""
    rows: dict[str, Callable[..., dict[str, Any]]] = {"pixels": pixels_row, "frames": frames_row}
    measure = rows[job.pop("kind")]
    sys.stdout.write(json.dumps(measure(**job)) + "\n")


def main() -> None:
    """Print tables."""
    if sys.argv[1:2] == ["one"]:
        one(json.loads(sys.argv[2]))
        return
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    kinds = parser.add_subparsers(dest="kind", required=True)
    pixels, frames = kinds.add_parser("pixels"), kinds.add_parser("frames")
    pixels.add_argument("--backbone", choices=("vgg19", "slim"), default="slim")
    pixels.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    usual = ["256x144", "640x360", "1280x720", "1920x1080", "3840x2160"]
    pixels.add_argument("--size", nargs="+", default=usual)
    pixels.add_argument("--evaluations", type=int, default=3)
    pixels.add_argument("--rounds", type=int, default=2)
    pixels.add_argument("--most-gib", type=float, default=10.0)
    frames.add_argument("--frames", type=int, nargs="+", default=[10, 100, 1000])
    frames.add_argument("--size", nargs=1, default=["96x64"])
    frames.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    for kind in (pixels, frames):
        kind.add_argument("--json", type=Path)
    asked = parser.parse_args()
    found = measure_pixels(asked) if asked.kind == "pixels" else measure_frames(asked)
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
