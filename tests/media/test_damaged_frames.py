"""Damaged EXR and DPX files of every compression: each gives pixels of its header's size, or one sentence."""

from pathlib import Path

import numpy as np
import OpenEXR
import pytest
from support import damaged_files, media
from support.exr import from_pixels, write_exr, write_parts

from vidnst.errors import SourceError
from vidnst.media.images import read_image, read_image_header
from vidnst.media.scene_images import SCENE_SUFFIXES

COMPRESSIONS = [name for name in dir(OpenEXR) if name.endswith("_COMPRESSION")]
DPX_FORMATS = ("gray", "rgb24", "rgba", "rgb48be", "rgb48le", "gbrp10be", "gbrp12le")


def undamaged(folder: Path) -> list[Path]:
    values = from_pixels(media.numbered_picture(3))
    planes = {f"c{number:03d}.Z": values[..., 0].astype(np.float32) for number in range(200)}
    made = [write_exr(folder / f"{name}.exr", values, compression=name) for name in COMPRESSIONS]
    made += [write_exr(folder / f"{name}_t.exr", values, compression=name, tile_px=32) for name in COMPRESSIONS[::2]]
    made += [
        write_exr(folder / "many.exr", {**planes, **{key: values[..., n] for n, key in enumerate("RGB")}}),
        write_parts(folder / "parts.exr", {"depth": {"Z": values[..., 0]}, "left": {"RGB": values}}),
    ]
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "96x64", "-i", "pipe:0"]
    for name in DPX_FORMATS:
        media.run_ffmpeg(*raw, "-pix_fmt", name, folder / f"{name}.dpx", data=media.numbered_picture(3).tobytes())
        made.append(folder / f"{name}.dpx")
    return made


@pytest.mark.parametrize("seed", [1, 2])
def test_damaged_frames_give_pixels_or_one_sentence(seed: int, tmp_path: Path) -> None:
    sources = undamaged(tmp_path)
    assert all(media.read_index(read_image(path)) == 3 for path in sources)
    refused = []
    for what, path in damaged_files.damaged(sources, tmp_path / "damaged", count=250, seed=seed):
        if path.suffix not in SCENE_SUFFIXES:
            continue
        try:
            header = read_image_header(path)
            assert read_image(path).shape == (header.height, header.width, 3), what
        except SourceError as error:
            refused.append(str(error))
    assert all(message.isprintable() and message.endswith(".") for message in refused)
    assert 50 < len(refused) < 240
