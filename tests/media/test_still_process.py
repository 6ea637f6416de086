"""Photographs and animations that large C libraries decode: a crash or a hang there is an error like any other."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support import media, stills

from vidnst.errors import SourceError
from vidnst.media import images
from vidnst.media.input import frame_decoders, image_header, image_pixels, picture_process, still_process
from vidnst.media.input.picture_facts import read_picture_facts
from vidnst.media.input.picture_process import PictureProcess
from vidnst.media.input.probe import probe
from vidnst.rendering.source_check import with_bad_pictures

FRAMES = media.numbered_pictures(3)


def write_source(path: Path) -> Path:
    """Write a photograph, or an animation or pages where the name begins with `moving`."""
    if path.suffix == ".heic":
        return stills.write_heic(path, FRAMES[0])
    kind = {".tif": "TIFF"}.get(path.suffix, path.suffix[1:].upper())
    frames = FRAMES if path.stem == "moving" else FRAMES[:1]
    return stills.write_animation(path, frames, kind, duration=40)


@pytest.fixture
def spoil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make all processes that read stills crash when they are asked for pixels."""
    program = tmp_path / "program.py"
    program.write_text(
        "import os, runpy, sys\n"
        "from vidnst.media.input import frame_decoders, image_pixels\n"
        "crash = lambda *_: os.kill(os.getpid(), 11)\n"
        "image_pixels.decode_stored = frame_decoders.open_frames = crash\n"
        "runpy.run_module('vidnst.media.input.still_decoder', run_name='__main__')\n"
    )
    paths = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}

    def spoilt() -> PictureProcess:
        return PictureProcess((str(program),), paths)

    monkeypatch.setattr(still_process, "new_process", spoilt)
    monkeypatch.setattr(frame_decoders, "new_process", spoilt)
    processes = still_process.StillProcesses()
    for module in (image_header, image_pixels):
        monkeypatch.setattr(module, "STILL_PROCESSES", processes)
    yield
    processes.close()


@pytest.mark.usefixtures("spoil")
@pytest.mark.parametrize("name", ["a.heic", "a.avif", "a.webp", "a.tif", "moving.avif", "moving.webp", "moving.tif"])
def test_a_crash_of_a_decoder_is_an_error(tmp_path: Path, name: str) -> None:
    path = write_source(tmp_path / name)
    for _ in range(2):
        with pytest.raises(SourceError, match=rf"the image .*{name} does not decode: it crashes its decoder"):
            probe(path)


@pytest.mark.usefixtures("spoil")
def test_plain_formats_need_no_process(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png", "a.bmp"):
        assert media.read_index(images.read_image(media.write_picture(tmp_path / name, FRAMES[2]))) == 2


def test_a_hang_of_a_decoder_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_source(tmp_path / "a.heic")
    program = tmp_path / "program.py"
    program.write_text("import sys, time\nsys.stdin.readline()\ntime.sleep(600)\n")
    monkeypatch.setattr(still_process, "new_process", lambda: PictureProcess((str(program),)))
    processes = still_process.StillProcesses()
    monkeypatch.setattr(image_header, "STILL_PROCESSES", processes)
    monkeypatch.setattr(picture_process, "_ANSWER_SECONDS", 0.5)
    with pytest.raises(SourceError, match=r"does not decode: it takes more than 0\.5 s"):
        probe(path)
    processes.close()


@pytest.mark.parametrize("name", ["a.heic", "a.tif", "moving.webp"])
def test_errors_name_the_file_and_not_its_link(tmp_path: Path, name: str) -> None:
    whole = write_source(tmp_path / name).read_bytes()
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe" + name.encode()))
    path.write_bytes(whole)
    assert probe(path).frame_count in (1, 3)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError) as caught:
        probe(path)
    assert str(path) in caught.value.what
    assert "link" not in caught.value.what


def test_threads_share_the_processes(tmp_path: Path) -> None:
    deflate = {"compression": "tiff_adobe_deflate"}
    pictures = [media.numbered_picture(number) for number in range(6)]
    paths = [
        stills.write_animation(tmp_path / f"{number}.tif", [picture], "TIFF", **deflate)
        for number, picture in enumerate(pictures)
    ]
    spoilt = bytearray(paths[4].read_bytes())
    spoilt[200:400] = bytes(200)
    paths[4].write_bytes(spoilt)
    clip = with_bad_pictures(probe(tmp_path), 0, 6)
    assert clip.bad_frames == (4,)
    assert [media.read_index(images.read_image(path)) for path in paths[:4]] == [0, 1, 2, 3]


def test_headers_come_whole_from_the_process(tmp_path: Path) -> None:
    data = stills.exif(taken="2024:05:06 07:08:09", fraction="25")
    path = stills.write_heic(tmp_path / "a.heic", FRAMES[0], orientation=6, metadata=data)
    header = image_header.read_image_header(path)
    assert header == image_header.read_header_here(path)
    assert header.taken is not None
    assert read_picture_facts([path]).metadata == ("EXIF",)
    assert np.array_equal(
        images.read_image(path), image_pixels.finish_pixels(image_pixels.decode_stored(path, "HEIF"), header, path)
    )
