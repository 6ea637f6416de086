"""Measure what encoders do to the steadiness of a small render.

    python tests/bench/encoders.py CLIP STYLE [SIZE [FRAMES [LOSSLESS]]]

The beginning of a clip is rendered by `slim` into a lossless file (LOSSLESS is such a file of an earlier call). Its
frames are encoded by several encoders and settings. Printed are, for each: its warping error between neighbours (as
`vidnst measure` finds it), how many times that of the frames it is, and the bytes of a frame.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import vidnst
from vidnst.media import ffmpeg
from vidnst.rendering.measure_output import MeasureRequest, measure_output

X264, X265 = ("-c:v", "libx264", "-preset"), ("-c:v", "libx265", "-x265-params", "log-level=error", "-preset")
VP9, AV1 = ("-c:v", "libvpx-vp9", "-b:v", "0", "-cpu-used", "3"), ("-c:v", "libsvtav1", "-preset", "6")
FULL, HALF = "yuv444p", "yuv420p"
SCALER = "accurate_rnd+full_chroma_int+full_chroma_inp"
TRIALS: dict[str, tuple[str, tuple[str, ...]]] = {
    **{f"x264 crf {crf}": (HALF, (*X264, "medium", "-crf", str(crf))) for crf in (23, 18, 14, 10, 8, 6, 4, 2, 0)},
    **{f"x264 crf {crf} 4:4:4": (FULL, (*X264, "medium", "-crf", str(crf))) for crf in (18, 0)},
    **{
        f"x264 crf 18 {' '.join(words)}": (HALF, (*X264, "medium", "-crf", "18", *words))
        for words in (
            ("-tune", "film"),
            ("-tune", "grain"),
            ("-aq-mode", "0"),
            ("-aq-mode", "3"),
            ("-x264-params", "mbtree=0"),
            ("-chromaoffset", "-4"),
            ("-bf", "0"),
        )
    },
    "x264 crf 18 slow": (HALF, (*X264, "slow", "-crf", "18")),
    **{f"x265 crf {crf}": (HALF, (*X265, "medium", "-crf", str(crf))) for crf in (20, 16, 4)},
    "x265 crf 20 -tune grain": (HALF, (*X265, "medium", "-crf", "20", "-tune", "grain")),
    **{f"vp9 crf {crf}": (HALF, (*VP9, "-crf", str(crf))) for crf in (24, 16, 4)},
    **{f"svt-av1 crf {crf}": (HALF, (*AV1, "-crf", str(crf))) for crf in (24, 16, 4)},
}
"""Pixel format and options of each encoding."""


def render(clip: str, style: str, folder: Path, *, size: int, frames: int) -> Path:
    """Render the beginning of a clip into a lossless file."""
    config = {
        "model.backbone": "slim",
        "optimize.iterations": 30,
        "input.size": size,
        "input.end": str(frames),
        "output.measure": False,
        "output.report": False,
        "output.audio": "none",
    }
    return vidnst.render(clip, style=style, output=folder / "frames.mkv", config=config).output


def encode(lossless: Path, output: Path, chroma: str, words: tuple[str, ...]) -> None:
    """Encode a lossless file."""
    filters = f"scale=out_color_matrix=bt709:flags={SCALER},format={chroma}"
    command = [str(ffmpeg.executable()), "-v", "error", "-i", str(lossless), "-vf", filters, *words]
    tags = ("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709")
    subprocess.run([*command, *tags, "-y", str(output)], check=True, stderr=subprocess.DEVNULL)


def error(output: Path, clip: str, *, frames: int) -> float:
    """Return the warping error between neighbours."""
    found = measure_output(MeasureRequest(output, clip, end=str(frames), with_losses=False))
    value = found.error().output
    assert value is not None
    return value


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Print the table."""
    clip, style = sys.argv[1:3]
    size, frames = int(sys.argv[3] if len(sys.argv) > 3 else 256), int(sys.argv[4] if len(sys.argv) > 4 else 24)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        lossless = Path(sys.argv[5]) if len(sys.argv) > 5 else render(clip, style, folder, size=size, frames=frames)
        plain = error(lossless, clip, frames=frames)
        say(f"frames: error {plain:.6f}")
        for name, (chroma, words) in TRIALS.items():
            output = folder / "encoded.mp4"
            encode(lossless, output, chroma, words)
            found = error(output, clip, frames=frames)
            say(f"{name:<36} {found:.6f} {found / plain:6.2f} {output.stat().st_size / frames:9.0f}")


if __name__ == "__main__":
    main()
