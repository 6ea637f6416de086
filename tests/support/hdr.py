"""Generated HDR videos."""

from pathlib import Path

import numpy as np

from support import media

MASTER = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"


def write_hdr(path: Path, transfer: str, codes: list[float], *, metadata: bool = False, frames: int = 2) -> Path:
    """Write a video of grey columns of 16 pixels with 10-bit codes of R'G'B' in 0 to 1, as lossless H.265."""
    luma = np.repeat(np.rint(64 + 876 * np.array(codes)), 16)[None].repeat(32, 0).astype("<u2")
    grey = np.full_like(luma, 512)
    words = f"log-level=error:lossless=1:colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc:range=limited"
    words += f":hdr10=1:repeat-headers=1:master-display={MASTER}:max-cll=900,300" if metadata else ""
    raw = ("-f", "rawvideo", "-color_range", "tv", "-pix_fmt", "yuv444p10le", "-s", f"{luma.shape[1]}x32", "-r", "10")
    tags = f"setparams=colorspace=bt2020nc:color_primaries=bt2020:color_trc={transfer}:range=tv"
    data = (luma.tobytes() + 2 * grey.tobytes()) * frames
    media.run_ffmpeg(*raw, "-i", "pipe:0", "-vf", tags, "-c:v", "libx265", "-x265-params", words, path, data=data)
    return path
