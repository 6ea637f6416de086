"""Hardware encoders, if this ffmpeg has them: a clip is written, verified and read back."""

import time
from pathlib import Path

from bench.gpu_check.check import Check
from bench.gpu_check.clips import FrameClip, frame_clip, render_config
from bench.gpu_check.findings import FAIL, NEEDS_CUDA, NEEDS_PACKAGE

import vidnst
from vidnst.config import OutputConfig
from vidnst.errors import VidnstError
from vidnst.media import ffmpeg
from vidnst.media.output.formats import choose_format

_CODECS = {"h264": "h264_nvenc", "h265": "hevc_nvenc", "av1": "av1_nvenc"}


def check_encoders(check: Check) -> None:
    """NVENC in each codec, and the software encoder that the check of it is proved with."""
    try:
        available = ffmpeg.encoders()
    except VidnstError as error:
        check.say("ffmpeg", str(error), FAIL)
        return
    hardware = sorted(name for name in available if name.endswith(("_nvenc", "_qsv", "_vaapi", "_amf")))
    check.say("hardware encoders in this ffmpeg", ", ".join(hardware) or "none")
    wanted = [("h264", "none", "libx264")]
    for codec, encoder in _CODECS.items():
        if encoder not in available:
            check.say(encoder, "not in this ffmpeg", NEEDS_PACKAGE)
        elif check.dry:
            check.say(encoder, "-", NEEDS_CUDA)
        else:
            wanted.append((codec, "nvenc", encoder))
    for codec, hardware_kind, encoder in wanted:
        _encode_pattern(check, codec, hardware_kind, encoder)
    check.require_package("av")  # for the container's facts, by which outputs are verified
    with frame_clip((96, 64) if check.dry else (1280, 720), 4 if check.dry else 24) as clip:
        for codec, hardware_kind, _ in wanted:
            _encode(check, clip, codec, hardware_kind)


def _encode_pattern(check: Check, codec: str, hardware: str, encoder: str) -> None:
    """ffmpeg encodes a moving pattern with the options of a render."""
    (width, height), count = ((96, 64), 10) if check.dry else ((1280, 720), 300)
    settings = OutputConfig.model_validate({"codec": codec, "hardware": hardware})
    target = choose_format(Path("pattern.mkv"), settings, frames=count, width=width, height=height)
    pattern = f"testsrc2=size={width}x{height}:rate=25"
    words = [*target.device_options, "-f", "lavfi", "-i", pattern, "-frames:v", str(count)]
    filters = ",".join([f"format={target.pixel_format}", *target.device_filters])
    began = time.perf_counter()
    try:
        ffmpeg.run([*words, "-vf", filters, "-c:v", target.encoder, *target.options, "-f", "null", "-"])
    except VidnstError as error:
        # A card may have no encoder, or none of this codec, and is then refused in a sentence, which is right.
        check.judge(f"{encoder}, a pattern", str(error), False)
        return
    rate = count / (time.perf_counter() - began)
    check.keep(**{encoder: {"frames_per_second": rate}})
    check.judge(
        f"{encoder}, a pattern", f"{rate:.0f} frames/s of {width}x{height}", target.encoder == encoder, bad=FAIL
    )


def _encode(check: Check, clip: FrameClip, codec: str, hardware: str) -> None:
    """Frames pass through unpainted, and the output is verified as every render's is."""
    name = codec if hardware == "none" else f"{codec} by {hardware}"
    output = clip.folder / f"{codec}-{hardware}.mkv"
    settings = {"optimize.iterations": 0, "output.codec": codec, "output.hardware": hardware}
    config = render_config(check, settings)
    try:
        result = vidnst.render(clip.frames, style=(), output=output, config=config)
    except VidnstError as error:
        check.judge(f"{name}, a render", str(error), False)
        return
    size = Path(result.output).stat().st_size
    text = f"{result.frames} frames, {size / 1e3:.0f} kB, {result.seconds:.1f} s"
    check.judge(f"{name}, a render", text, result.frames == clip.count, bad=FAIL)
