"""Hardware encoders, if this ffmpeg has them: a clip is written, verified and read back."""

from pathlib import Path

from bench.gpu_check.check import Check
from bench.gpu_check.clips import FrameClip, frame_clip, render_config
from bench.gpu_check.findings import FAIL, NEEDS_CUDA

import vidnst
from vidnst.errors import VidnstError
from vidnst.media import ffmpeg

_CODECS = {"h264": "h264_nvenc", "h265": "hevc_nvenc", "av1": "av1_nvenc"}


def check_encoders(check: Check) -> None:
    """NVENC in each codec, and the software encoder that the check of it is proved with."""
    check.require_package("av")
    try:
        available = ffmpeg.encoders()
    except VidnstError as error:
        check.say("ffmpeg", str(error), FAIL)
        return
    hardware = sorted(name for name in available if name.endswith(("_nvenc", "_qsv", "_vaapi", "_amf")))
    check.say("hardware encoders in this ffmpeg", ", ".join(hardware) or "none")
    with frame_clip((96, 64) if check.dry else (1280, 720), 4 if check.dry else 24) as clip:
        _encode(check, clip, "h264", "none")
        for codec, encoder in _CODECS.items():
            if encoder not in available:
                check.say(encoder, "not in this ffmpeg")
            elif check.dry:
                check.say(encoder, "-", NEEDS_CUDA)
            else:
                _encode(check, clip, codec, "nvenc")


def _encode(check: Check, clip: FrameClip, codec: str, hardware: str) -> None:
    """Frames pass through unpainted, and the output is verified as every render's is."""
    name = codec if hardware == "none" else f"{codec} by {hardware}"
    output = clip.folder / f"{codec}-{hardware}.mkv"
    settings = {"optimize__iterations": 0, "output__codec": codec, "output__hardware": hardware}
    config = render_config(check, output__measure=False, **settings)
    try:
        result = vidnst.render(clip.frames, style=(), output=output, config=config)
    except VidnstError as error:
        # A card without the encoder (H100 has none; AV1 came late) is refused in a sentence, which is right.
        check.judge(name, str(error), False)
        return
    size = Path(result.output).stat().st_size
    text = f"{result.frames} frames, {size / 1e3:.0f} kB, {result.seconds:.1f} s"
    check.judge(name, text, result.frames == clip.count, bad=FAIL)
