"""Sources with several properties at once, drawn by chance: what an output lacks, the table names.

Sources and outputs are read with PyAV, Pillow, OpenCV and OpenEXR alone.
"""

import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from support import kept_media, media

from vidnst.media.output.fates import Fate

PIXEL_FORMATS = (
    *("yuv420p", "yuvj420p", "yuv422p10le", "yuv444p12le", "yuva444p10le", "yuv411p", "yuv440p"),
    *("gray16le", "bgr0", "bgra", "yuva420p"),
)
SIZES = ("64:48", "66:34", "63:47")
OUTPUTS = ("o.mp4", "o.mov", "o.mkv", "o.webm", "o.gif", "o.webp", "o.apng", "frames", "o_%02d.exr", "o_%02d.jpg")
CODECS: tuple[dict[str, Any], ...] = ({}, {"codec": "h265"}, {"codec": "av1"}, {"chroma": "444"}, {"bits": 8})


def draw_source(chance: random.Random, folder: Path) -> tuple[Path, bool]:
    """Write a source; return it, and whether its frames are turned."""
    filters = [
        "testsrc2=s=64x48:r=10:d=0.5",
        f"scale={chance.choice(SIZES)}",
        "format=rgba64",
        "colorchannelmixer=aa=0.5",
    ]
    filters += ["setsar=4/3"] * chance.getrandbits(1)
    filters += ["settb=1/90000,setpts='PTS+90*7*mod(N,2)'"] * chance.getrandbits(1)
    words: list[str | Path] = ["-f", "lavfi", "-i", ",".join(filters)]
    maps, inputs = ["-map", "0:v"], 1
    if chance.getrandbits(1):
        words += ["-f", "lavfi", "-i", f"sine=300:sample_rate={chance.choice((44100, 48000))}:d=0.5"]
        maps += ["-map", "1:a"] * chance.randint(1, 2)
        inputs += 1
    if chance.getrandbits(1):
        (folder / "s.srt").write_text("1\n00:00:00,050 --> 00:00:00,250\nhello\n")
        words += ["-i", folder / "s.srt"]
        maps += ["-map", f"{inputs}:s"]
    pixels = chance.choice(PIXEL_FORMATS)
    coding = [
        "-c:v",
        "ffv1",
        "-level",
        "3",
        "-pix_fmt",
        pixels,
        "-fps_mode",
        "passthrough",
        "-enc_time_base",
        "1/90000",
    ]
    coding += ["-c:a", chance.choice(("aac", "pcm_s16le", "libopus")), "-c:s", "srt", "-metadata", "title=Film"]
    media.run_ffmpeg(*words, *maps, *coding, folder / "flat.mkv")
    if chance.getrandbits(1):
        return folder / "flat.mkv", False
    source = folder / "turned.mkv"
    media.run_ffmpeg("-display_rotation", "90", "-i", folder / "flat.mkv", "-map", "0", "-c", "copy", source)
    return source, True


def wanted_features(source: Path, *, turned: bool) -> dict[str, object]:
    """Return what of a source an output could lack."""
    found = kept_media.read_features(source)
    aspect, chroma, sound = found["aspect"], found["chroma"], found["sound"]
    assert isinstance(aspect, Fraction)
    assert isinstance(chroma, tuple)
    assert isinstance(sound, list)
    wanted = found | {"sound": len(sound), "aspect": 1 / aspect if turned else aspect}
    wanted["chroma"] = chroma[::-1] if turned else chroma
    names = ("bits", "alpha", "chroma", "times", "aspect", "sound", "subtitles", "title")
    return {name: wanted[name] for name in names if wanted[name] and not (name == "aspect" and aspect == 1)}


@pytest.mark.parametrize("seed", range(8))
def test_what_an_output_lacks_is_named(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    source, turned = draw_source(chance, tmp_path)
    wanted = wanted_features(source, turned=turned)
    for number, name in enumerate(chance.sample(OUTPUTS, 3)):
        settings = chance.choice(CODECS) if name in ("o.mp4", "o.mkv") else {}
        output = tmp_path / str(number) / name
        frames = tmp_path / f"finished {number}"
        frames.mkdir()
        output.parent.mkdir()
        _, rows = kept_media.convert(source, output, frames, **settings)
        found, table = kept_media.read_features(output), {row.name: row for row in rows}
        for feature, value in wanted.items():
            fates = {table[row].fate for row in kept_media.ROWS[feature] if row in table}
            assert fates, f"{name} {settings}: no row about {feature}"
            if kept_media.is_kept(feature, value, found):
                assert fates != {Fate.DROPPED}, f"{name} {settings} has {feature}: {found[feature]}"
            else:
                assert fates != {Fate.KEPT}, f"{name} {settings} loses {feature} in silence: {found.get(feature)}"
