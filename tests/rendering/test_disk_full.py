"""A disk that fills up during a render: one clear error, nothing half written, and the same bytes on resume."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
from support.renders import SLIM_BACKBONE, TWO_LAYERS, frame_files, quick_config, quick_settings, run_folder

import vidnst
from vidnst.config import RenderConfig
from vidnst.errors import DiskFullError
from vidnst.events import Event, FrameDone, Stage
from vidnst.rendering import overlapped_output

FRAMES = 6
SETTINGS = quick_settings(
    SLIM_BACKBONE, losses=TWO_LAYERS, optimize={"iterations": 6}, schedule={"spacing": 2}, farm={"workers": 1}
)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 96 MiB in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a file system cannot be mounted ({error})")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True, capture_output=True)


def _fill(folder: Path) -> None:
    """Take all space but some kilobytes: too little for the next picture, but enough for a line of the event log."""
    ballast = folder / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 16))
    except OSError:
        pass
    with ballast.open("r+b") as file:
        file.truncate(ballast.stat().st_size - 8192)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mounts a tmpfs")
@pytest.mark.parametrize("when", ["after two frames", "before encoding"])
@pytest.mark.parametrize("name", ["out.mkv", "out"])
def test_full_disk_keeps_finished_frames(
    when: str, name: str, burst: Path, style: Path, small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if when == "before encoding":  # nothing is encoded earlier, which would need no space then
        monkeypatch.setattr(overlapped_output, "free_bytes", lambda path: 0)
    config, run = quick_config(SETTINGS), run_folder(small_disk / name)
    undisturbed = _undisturbed(burst, style, config, tmp_path / "undisturbed" / name)
    done = 0

    def listen(event: Event) -> None:
        nonlocal done
        done += isinstance(event, FrameDone)
        at_encoding = isinstance(event, Stage) and event.stage == "encoding"
        if not (small_disk / "ballast").exists() and (at_encoding or (when == "after two frames" and done == 2)):
            _fill(small_disk)

    with pytest.raises(DiskFullError, match="space"):
        vidnst.render(burst, style=style, output=small_disk / name, config=config, on_event=listen)
    assert not (small_disk / name).exists()
    assert sorted(path.name for path in small_disk.iterdir()) == ["ballast", f"{name}.vidnst"], "part files were left"
    kept = frame_files(run)
    assert len(kept) >= 2
    for picture in (run / "frames").glob("*.png"):
        assert cv2.imread(str(picture)) is not None, f"{picture} is cut off"
    for line in (run / "events.jsonl").read_text().splitlines():
        json.loads(line)
    (small_disk / "ballast").unlink()
    again = 0

    def count(event: Event) -> None:
        nonlocal again
        again += isinstance(event, FrameDone)

    vidnst.render(burst, style=style, output=small_disk / name, config=config, on_event=count)
    assert again <= FRAMES - done, "finished frames were rendered again"
    assert frame_files(run) == undisturbed
    assert kept.items() <= undisturbed.items()


def _undisturbed(burst: Path, style: Path, config: RenderConfig, output: Path) -> dict[str, bytes]:
    output.parent.mkdir()
    vidnst.render(burst, style=style, output=output, config=config)
    return frame_files(run_folder(output))
