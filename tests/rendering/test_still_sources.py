"""Renders of photographs and animations: as sources, styles and masks, with what is not used named at the start."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import media, stills
from support.renders import frame_files, quick_config, run_folder, warnings_in

import vidnst
from vidnst.errors import OutputError, SourceError
from vidnst.events import Event, Stage
from vidnst.frames import SourceKind
from vidnst.media.images import read_image
from vidnst.media.input.frame_reader import FrameReader
from vidnst.media.input.masks import MaskReader, open_mask
from vidnst.media.input.probe import probe
from vidnst.rendering.styles.style_spec import read_styles

PLAIN = quick_config(optimize={"iterations": 0})


def render(source: Any, output: Path, **extra: Any) -> list[Event]:
    """Render without stylizing; return the events."""
    events: list[Event] = []
    vidnst.render(source, style=(), output=output, config=extra.pop("config", PLAIN), on_event=events.append, **extra)
    return events


def warned_before_work(events: list[Event]) -> list[str]:
    """Return the warnings before the first stage after probing."""
    work = next(n for n, event in enumerate(events) if isinstance(event, Stage) and event.stage != "probing")
    return warnings_in(events[:work])


def test_heic_photograph_is_rendered_whole(tmp_path: Path) -> None:
    wanted = media.numbered_picture(5, (1100, 724))
    source = stills.write_heic(tmp_path / "IMG_1.HEIC", wanted, orientation=6, tile_px=512)
    render(source, tmp_path / "out.png")
    read = read_image(tmp_path / "out.png")
    assert read.shape == wanted.shape
    assert np.abs(read.astype(float) - wanted).mean() < 1


def test_animation_is_rendered_with_its_times(tmp_path: Path) -> None:
    frames = media.numbered_pictures(5)
    source = stills.write_animation(tmp_path / "a.png", frames, "GIF", duration=[40, 200, 60, 40, 700])
    render(source, tmp_path / "out.mkv")
    clip = probe(tmp_path / "out.mkv")
    assert [at - clip.pts_seconds[0] for at in clip.pts_seconds] == [Fraction(n, 100) for n in (0, 4, 24, 30, 34)]
    assert [media.read_index(frame.pixels) for frame in FrameReader(clip)] == list(range(5))
    assert clip.last_duration_seconds == Fraction(7, 10)


def test_part_of_pages_is_rendered(tmp_path: Path) -> None:
    source = stills.write_animation(tmp_path / "a.tif", media.numbered_pictures(6), "TIFF")
    render(source, tmp_path / "out", config=quick_config(optimize={"iterations": 0}, input={"start": "2", "end": "5"}))
    assert [media.read_index(read_image(path)) for path in sorted((tmp_path / "out").iterdir())] == [2, 3, 4]


def test_animations_are_moving_styles(tmp_path: Path) -> None:
    frames = [media.painting(number) for number in range(3)]
    moving = stills.write_animation(tmp_path / "a.webp", frames, "WEBP", duration=40, lossless=True)
    pages = stills.write_animation(tmp_path / "a.tif", frames, "TIFF")
    photo = stills.write_heic(tmp_path / "a.heic", frames[0], orientation=8)
    still = stills.write_animation(tmp_path / "b.webp", frames[:1], "WEBP", lossless=True)
    styles = read_styles([str(path) for path in (moving, pages, photo, still)])
    assert [style.clip and style.clip.frame_count for style in styles] == [3, 3, None, None]
    for style in styles:
        assert np.abs(style.pixels.astype(float) - frames[0]).mean() < 1


def test_photographs_and_animations_are_masks(tmp_path: Path) -> None:
    clip = probe(media.write_burst(tmp_path / "clip", 4, size=(96, 64)))
    masks = []
    for number in range(4):
        masks.append(np.zeros((64, 96, 3), np.uint8))
        masks[-1][:, : 20 + 10 * number] = 255
    photo = stills.write_heic(tmp_path / "m.heic", masks[0], orientation=6)
    moving = stills.write_animation(tmp_path / "m.png", masks, "PNG", duration=40)
    readers = [
        MaskReader(open_mask("sky", str(path), clip, start=0, end=4, size=(96, 64)), (96, 64))
        for path in (photo, moving)
    ]
    assert [int((readers[0](frame)[30] > 128).sum()) for frame in (3, 0)] == [20, 20]
    assert [int((readers[1](frame)[30] > 128).sum()) for frame in (3, 0, 2)] == [50, 20, 40]
    for reader in readers:
        reader.close()


def test_order_that_disagrees_with_times_is_named_first(tmp_path: Path) -> None:
    for number, name in enumerate(("DSC_9999.jpg", "DSC_0001.jpg")):
        stills.write_photo(tmp_path / "burst" / name, number, taken=f"2024:05:01 12:00:0{number}")
    notes = warned_before_work(render(tmp_path / "burst", tmp_path / "name"))
    assert any("DSC_0001.jpg comes before DSC_9999.jpg but was taken after it" in note for note in notes)
    timed = quick_config(optimize={"iterations": 0}, input={"order": "time"})
    notes = warned_before_work(render(tmp_path / "burst", tmp_path / "time", config=timed))
    assert notes == ["EXIF: dropped, the output gets none"]
    assert [media.read_index(read_image(path)) for path in sorted((tmp_path / "time").iterdir())] == [0, 1]


def test_unused_images_are_named_first(tmp_path: Path) -> None:
    source = stills.write_heic_of_several(tmp_path / "a.heic", media.numbered_pictures(2))
    assert any("a.heic has 2 images" in note for note in warned_before_work(render(source, tmp_path / "o.png")))


@pytest.mark.parametrize("name", ["n" * 242 + ".mp4", "ä" * 123 + ".gif", "n" * 250, "n" * 250 + ".apng"])
def test_outputs_with_long_names_are_written(tmp_path: Path, name: str) -> None:
    source = media.write_burst(tmp_path / "clip", 3)
    render(source, tmp_path / name)
    assert probe(tmp_path / name).frame_count == 3
    with pytest.raises(OutputError, match="exists already"):
        render(source, tmp_path / name)
    for path in tmp_path.iterdir():
        assert len(path.name.encode()) <= 255


def test_names_that_are_too_long_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is 256 bytes long"):
        render(media.write_burst(tmp_path / "clip", 2), tmp_path / ("n" * 252 + ".mp4"))


def test_heic_and_avif_cannot_be_written(tmp_path: Path) -> None:
    source = media.write_picture(tmp_path / "a.png", media.numbered_picture(1))
    for name in ("o.heic", "o.avif"):
        with pytest.raises(OutputError, match=f"the name {name} does not determine a format"):
            render(source, tmp_path / name)


def test_source_that_changes_while_rendering_is_named(tmp_path: Path) -> None:
    source = stills.write_animation(tmp_path / "a.png", media.numbered_pictures(3), "PNG", duration=40)
    clip = probe(source)
    assert clip.kind is SourceKind.ANIMATION
    stills.write_animation(source, media.numbered_pictures(3, (64, 64)), "PNG", duration=40)
    with pytest.raises(SourceError, match="frame 0"):
        FrameReader(clip).read(0)


def test_run_of_a_long_name_resumes(tmp_path: Path) -> None:
    source, output = media.write_burst(tmp_path / "clip", 2), tmp_path / ("n" * 246 + ".mp4")
    render(source, output)
    (run,) = [path for path in tmp_path.iterdir() if path.name.endswith(".vidnst")]
    assert len(frame_files(run)) == 2
    assert run != run_folder(output)
    output.unlink()
    vidnst.resume(output)
    assert probe(output).frame_count == 2
