"""Choosing the frames worth painting: coverage along the flow, the files, the sheet, and painting on from them."""

import json
from pathlib import Path

import numpy as np
import pytest
from support.command_line import Vidnst
from support.media import soft_noise, write_picture, write_pictures

from vidnst.config import InputConfig
from vidnst.errors import CancelledError, OutputError
from vidnst.events import Event, Warned
from vidnst.media.images import read_image
from vidnst.motion.coverage import choose_frames, coverage, trace
from vidnst.motion.flow import Flow, FlowPair
from vidnst.tools.choose_keys import write_keys

WIDTH, HEIGHT = 96, 64


def shift(pixels: int, *, valid: bool = True) -> FlowPair:
    """Flows between neighbours of a clip that moves sideways; what leaves the frame is lost."""
    x = np.arange(WIDTH)
    flows = []
    for step in (-pixels, pixels):
        vectors = np.zeros((HEIGHT, WIDTH, 2), np.float32)
        vectors[..., 0] = step
        inside = ((x + step >= 0) & (x + step < WIDTH) & valid) * np.uint8(255)
        flows.append(Flow(vectors, np.broadcast_to(inside, (HEIGHT, WIDTH)).astype(np.uint8).copy()))
    return FlowPair(*flows)


def test_trace_loses_what_leaves_the_frame() -> None:
    found = dict(trace([shift(8)] * 6, 3))
    assert sorted(found) == list(range(7))
    assert found[3].all()
    shares = [found[frame].mean() for frame in (4, 5, 6)]
    assert shares == sorted(shares, reverse=True)
    assert shares[2] == pytest.approx(0.75, abs=0.05)
    assert not found[6][:, 0].any()
    assert found[6][:, -1].all()
    assert not found[0][:, -1].any()


def test_trace_ends_where_nothing_is_valid() -> None:
    assert sorted(dict(trace([shift(1), shift(1, valid=False), shift(1)], 0))) == [0, 1]


def test_keys_are_chosen_until_they_cover_enough() -> None:
    one = {frame: np.ones((2, 2), bool) for frame in (0, 1, 2)}
    two = {frame: np.ones((2, 2), bool) for frame in (2, 3)}
    part = {3: np.eye(2, dtype=bool)}
    maps = {3: part, 2: two, 0: one}
    assert choose_frames(maps, range(4), share=0.95) == [0, 2]
    assert choose_frames(maps, range(4), share=0.95, count=1) == [0]
    assert choose_frames(maps, range(4), share=0.95, count=3) == [0, 2, 3]
    assert coverage(part, range(4)) == 0.125


@pytest.fixture(scope="module")
def two_scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four frames that move slowly, and four of another picture."""
    folder = tmp_path_factory.mktemp("scenes")
    pictures = [soft_noise((WIDTH, HEIGHT), (12, 16), low=40, high=210, seed=seed) for seed in (1, 2)]
    write_pictures(folder, [np.roll(picture, number, axis=1) for picture in pictures for number in range(4)])
    return folder


def test_each_scene_gets_a_frame_at_full_size(two_scenes: Path, tmp_path: Path) -> None:
    heard: list[Event] = []
    found = write_keys(str(two_scenes), tmp_path / "keys", config=InputConfig(shots=(4,)), on_event=heard.append)
    frames = [key.frame for key in found.keys]
    assert len([frame for frame in frames if frame < 4]) >= 1
    assert len([frame for frame in frames if frame >= 4]) >= 1
    assert found.coverage >= 0.95
    sources = sorted(two_scenes.glob("*.png"))
    for key in found.keys:
        assert key.path.name == f"{key.frame:04}.png"
        np.testing.assert_array_equal(read_image(key.path), read_image(sources[key.frame]))
    assert read_image(found.sheet).shape[1] > 5 * WIDTH
    with pytest.raises(OutputError, match="exists"):
        write_keys(str(two_scenes), tmp_path / "keys", config=InputConfig(shots=(4,)))


def test_choosing_frames_can_be_stopped(two_scenes: Path, tmp_path: Path) -> None:
    with pytest.raises(CancelledError):
        write_keys(str(two_scenes), tmp_path / "keys", config=InputConfig(), cancelled=lambda: True)


def test_pictures_from_before_are_named(two_scenes: Path, tmp_path: Path) -> None:
    heard: list[Event] = []
    config, output = InputConfig(shots=(4,)), tmp_path / "keys"
    write_keys(str(two_scenes), output, config=config, count=2, on_event=heard.append)
    assert not [event for event in heard if isinstance(event, Warned)]
    write_picture(output / "0099.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    write_keys(str(two_scenes), output, config=config, count=2, overwrite=True, on_event=heard.append)
    (said,) = [event.message for event in heard if isinstance(event, Warned)]
    assert said.endswith("takes them as keys: 0099.png")


def test_command_writes_the_number_asked_for(two_scenes: Path, tmp_path: Path, vidnst: Vidnst) -> None:
    result = vidnst("keys", two_scenes, "-o", tmp_path / "keys", "--count", "2", "--json")
    last = json.loads(result.out.splitlines()[-1])
    assert [Path(key["path"]).name for key in last["keys"]] == sorted(
        p.name for p in (tmp_path / "keys").glob("0*.png")
    )
    assert len(last["keys"]) == 2
