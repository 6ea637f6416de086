"""A disk that fills up while a render works: one clear error, nothing half written, and the same bytes once there is
room again."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
from support import media

import vidnst
from vidnst.config import RenderConfig
from vidnst.config.loader import build_config
from vidnst.errors import DiskFullError
from vidnst.events import Event, FrameDone, Stage
from vidnst.rendering.overlapped_output import OverlappedOutput

FRAMES = 6
CONFIG = {
    "model": {"backbone": "slim"},
    "losses": {"style_layers": {"relu1_1": 1, "relu2_1": 1}, "content_layers": {"relu2_1": 1}},
    "optimize": {"iterations": 6, "scales": 1},
    "schedule": {"spacing": 2},
    "farm": {"executor": "inline", "threads": 1, "workers": 1},
    "output": {"measure": False, "keep_frames": True},
}


@pytest.fixture
def little(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 96 MiB in memory."""
    folder = tmp_path / "little"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a file system cannot be mounted here ({error})")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True, capture_output=True)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    media.write_pictures(tmp_path / "burst", media.numbered_pictures(FRAMES))
    media.write_pictures(tmp_path, [media.numbered_picture(9)], "style.png")
    return tmp_path / "burst"


def _fill(folder: Path) -> None:
    """Take all the room there is but some kilobytes: the next picture finds none, the log's next line may."""
    ballast = folder / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 16))
    except OSError:
        pass
    with ballast.open("r+b") as file:
        file.truncate(ballast.stat().st_size - 8192)


def _pictures(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((run / "frames").glob("*.png"))}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mounts a tmpfs")
@pytest.mark.parametrize("when", ["after two frames", "before packing"])
@pytest.mark.parametrize("name", ["out.mkv", "out"])
def test_a_disk_that_fills_up_costs_nothing_that_was_finished(
    when: str, name: str, source: Path, little: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if when == "before packing":  # what is packed by then needs no more room
        monkeypatch.setattr(OverlappedOutput, "_suits", lambda early: False)
    config, style, run = build_config(CONFIG), tmp_path / "style.png", little / f"{name}.vidnst"
    whole = _undisturbed(source, style, config, tmp_path / "whole" / name)
    done = 0

    def listen(event: Event) -> None:
        nonlocal done
        done += isinstance(event, FrameDone)
        at_packing = isinstance(event, Stage) and event.stage == "encoding"
        if not (little / "ballast").exists() and (at_packing or (when == "after two frames" and done == 2)):
            _fill(little)

    with pytest.raises(DiskFullError, match="space"):
        vidnst.render(source, style=style, output=little / name, config=config, on_event=listen)
    assert not (little / name).exists()
    assert sorted(path.name for path in little.iterdir()) == ["ballast", f"{name}.vidnst"], "parts were left"
    kept = _pictures(run)
    assert len(kept) >= 2
    for picture in (run / "frames").glob("*.png"):
        assert cv2.imread(str(picture)) is not None, f"{picture} is cut off"
    for line in (run / "events.jsonl").read_text().splitlines():
        json.loads(line)
    (little / "ballast").unlink()
    again = 0

    def count(event: Event) -> None:
        nonlocal again
        again += isinstance(event, FrameDone)

    vidnst.render(source, style=style, output=little / name, config=config, on_event=count)
    assert again <= FRAMES - done, "frames that were finished were made again"
    assert _pictures(run) == whole
    assert kept.items() <= whole.items()


def _undisturbed(source: Path, style: Path, config: RenderConfig, output: Path) -> dict[str, bytes]:
    output.parent.mkdir()
    vidnst.render(source, style=style, output=output, config=config)
    return _pictures(output.with_name(output.name + ".vidnst"))
