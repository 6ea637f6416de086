"""Renders that follow painted frames: exactness, transparency, resuming, batches, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from support.media import soft_noise, write_picture, write_pictures
from support.renders import TWO_LAYERS, done_nodes, frame_files, quick_config, run_folder, stop_after, warnings_in

import vidnst
from vidnst.errors import CancelledError, ConfigError, RangeError, RunError, SourceError, StyleError, VidnstError
from vidnst.events import Event
from vidnst.media.images import read_image
from vidnst.rendering.pipeline import run
from vidnst.runs.request import Request, load_request
from vidnst.tools.forecast.render_plan import describe_render

WIDTH, HEIGHT, FRAMES, STEP = 96, 64, 9, 2
NETWORK: dict[str, Any] = {
    "schedule": {"kind": "network", "passes": 1, "training": {"steps": 6, "stage_steps": 2, "crop": 64, "rate": 0.01}}
}
INSTANT: dict[str, Any] = {"kind": "network", "training": {"start": "pretrained", "steps": 0}}


@pytest.fixture(scope="module")
def pan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A texture that moves to the right by two pixels a frame."""
    texture = soft_noise((WIDTH, HEIGHT), (12, 16), low=60, high=190)
    folder = tmp_path_factory.mktemp("pan")
    write_pictures(folder, [np.roll(texture, STEP * number, axis=1) for number in range(FRAMES)])
    return folder


def painting_of(pan: Path, frame: int, *, hue: int = 0) -> NDArray[np.uint8]:
    """A frame in a false palette that no network knows."""
    grey = cv2.cvtColor(read_image(sorted(pan.glob("*.png"))[frame]), cv2.COLOR_RGB2GRAY)
    bands = (grey // 32).astype(np.uint8) * 32
    return np.stack(np.roll([255 - bands, bands, np.full_like(bands, 90)], hue, axis=0), axis=-1)


@pytest.fixture(scope="module")
def painted(pan: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_picture(tmp_path_factory.mktemp("painted") / "4.png", painting_of(pan, 4))


@pytest.fixture(scope="module")
def style(tmp_path_factory: pytest.TempPathFactory) -> Path:
    noise = np.random.default_rng(1).integers(0, 256, (32, 32, 3))
    return write_picture(tmp_path_factory.mktemp("style") / "style.png", noise.astype(np.uint8))


def rendered(pan: Path, output: Path, keys: dict[str, Any], **options: Any) -> list[NDArray[np.uint8]]:
    settings = quick_config({"losses": TWO_LAYERS, "optimize": {"iterations": 8}}, keys=keys, **options.pop("set", {}))
    vidnst.render(pan, output=output, config=settings, **options)
    return [read_image(path) for path in sorted(output.glob("*.png"))]


def distance(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    inside = (slice(8, -8), slice(20, -20))
    return float(np.abs(one[inside].astype(float) - other[inside]).mean())


def test_painted_frame_is_exact_and_others_follow(pan: Path, painted: Path, style: Path, tmp_path: Path) -> None:
    frames = rendered(pan, tmp_path / "out", {"pictures": {4: str(painted)}}, style=style)
    key = read_image(painted)
    np.testing.assert_array_equal(frames[4], key)
    for frame in (0, 3, 5, 8):
        moved = np.roll(key, STEP * (frame - 4), axis=1)
        assert distance(frames[frame], moved) < 6
        assert distance(frames[frame], key) > 1.5 * distance(frames[frame], moved)


def test_paintings_are_the_style_without_one(pan: Path, painted: Path, tmp_path: Path) -> None:
    rendered(pan, tmp_path / "out", {"pictures": {4: str(painted)}})
    record = json.loads((run_folder(tmp_path / "out") / "run.json").read_text())
    assert [one["path"] for one in record["look"]["styles"]] == [str(painted)]
    assert list(record["look"]["keys"]) == ["4"]


def test_only_what_is_opaque_is_given(pan: Path, style: Path, tmp_path: Path) -> None:
    key = painting_of(pan, 0)
    alpha = np.zeros((HEIGHT, WIDTH), np.uint8)
    alpha[:, : WIDTH // 2] = 255
    path = tmp_path / "0.png"
    cv2.imwrite(str(path), np.dstack([cv2.cvtColor(key, cv2.COLOR_RGB2BGR), alpha]))
    frames = rendered(pan, tmp_path / "out", {"pictures": {0: str(path)}}, style=style)
    np.testing.assert_array_equal(frames[0][:, : WIDTH // 2], key[:, : WIDTH // 2])
    assert np.abs(frames[0][:, WIDTH // 2 :].astype(int) - key[:, WIDTH // 2 :]).mean() > 2
    with pytest.raises(StyleError, match="transparent somewhere"):
        rendered(pan, tmp_path / "other", {"pictures": {0: str(path)}})


def test_lower_weight_touches_a_painting_up(pan: Path, painted: Path, style: Path, tmp_path: Path) -> None:
    keys = {"pictures": {4: str(painted)}, "weight": 0.5}
    touched = rendered(pan, tmp_path / "out", keys, style=style)[4]
    assert 0 < np.abs(touched.astype(int) - read_image(painted)).mean() < 12


def test_two_paintings_blend_by_distance(pan: Path, painted: Path, tmp_path: Path) -> None:
    first = write_picture(tmp_path / "0.png", painting_of(pan, 0))
    last = write_picture(tmp_path / "8.png", painting_of(pan, 8, hue=1))
    frames = rendered(pan, tmp_path / "out", {"pictures": {0: str(first), 8: str(last)}}, style=painted)
    reds = [float(frame[8:-8, 20:-20, 0].mean() - frame[8:-8, 20:-20, 2].mean()) for frame in frames]
    steps = np.abs(np.diff(reds))
    assert steps.max() < 2 * abs(reds[8] - reds[0]) / 8


def test_folder_names_say_the_frames(pan: Path, painted: Path, style: Path, tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    folder.mkdir()
    (folder / "shot2_0004.png").write_bytes(painted.read_bytes())
    write_picture(folder / "sheet.jpg", painting_of(pan, 0))
    frames = rendered(pan, tmp_path / "out", {"folder": str(folder)}, style=style)
    np.testing.assert_array_equal(frames[4], read_image(painted))


def test_painting_of_another_size_is_fitted(pan: Path, style: Path, tmp_path: Path) -> None:
    large = cv2.resize(painting_of(pan, 2), (2 * WIDTH, 2 * HEIGHT), interpolation=cv2.INTER_NEAREST)
    path = write_picture(tmp_path / "2.png", large)
    heard: list[Event] = []
    frames = rendered(pan, tmp_path / "out", {"pictures": {2: str(path)}}, style=style, on_event=heard.append)
    np.testing.assert_array_equal(frames[2], painting_of(pan, 2))
    assert any("fitted from 192x128 to 96x64" in text for text in warnings_in(heard))


def test_plan_names_keys_and_says_that_they_are_fitted(pan: Path, tmp_path: Path) -> None:
    keys = {frame: str(write_picture(tmp_path / f"{frame}.png", painting_of(pan, frame))) for frame in (0, 4)}
    settings = quick_config(keys={"pictures": keys}, input={"size": WIDTH // 2})
    outline, refusal = describe_render(Request(str(pan), (), tmp_path / "out", settings))
    assert refusal is None
    assert outline["keys"] == {"0": keys[0], "4": keys[4]}
    fitted = [text for text in outline["warnings"] if "fitted" in text]
    missing = quick_config(keys={"folder": str(tmp_path / "nope")})
    with pytest.raises(ConfigError, match=r"there is no folder .*nope of keys; check the path"):
        describe_render(Request(str(pan), (), tmp_path / "out", missing))
    assert fitted == ["the 2 painted keys of frames 0, 4 are fitted from 96x64 to 48x32 pixels"]


def test_effects_after_painting_are_said(pan: Path, painted: Path, style: Path, tmp_path: Path) -> None:
    keys = {"pictures": {4: str(painted)}}
    heard: list[Event] = []
    later: dict[str, Any] = {"colour": {"keep": "luminance"}, "filters": {"after": ["palette:4"]}}
    settings = quick_config({"optimize": {"iterations": 8}}, keys=keys, **later)
    vidnst.plan(pan, style=style, output=tmp_path / "out", config=settings, timed=False, on_event=heard.append)
    said = [text for text in warnings_in(heard) if "painted keys are changed" in text]
    changed_by = "colour.keep luminance (--keep-colours) and filters.after (--filter)"
    assert said == [f"the painted keys are changed by {changed_by} after painting"]


@pytest.mark.parametrize(
    ("keys", "settings", "error", "words"),
    [
        ({"pictures": {9: "4.png"}}, {}, RangeError, "frame 9, and the range has frames 0 to 8"),
        ({"pictures": {4: "4.png"}, "folder": "."}, {}, ConfigError, "frame 4 has two keys"),
        ({"pictures": {4: "gone.png"}}, {}, SourceError, "no key .*gone.png"),
        ({"folder": "gone"}, {}, ConfigError, "no folder"),
        ({"pictures": {4: "4.png"}}, {"schedule": {"kind": "chain"}}, ConfigError, "not with chain.* --stability 0"),
        ({"pictures": {4: "4.png"}}, {"schedule": INSTANT}, ConfigError, "not trained on the clip cannot learn"),
        ({"pictures": {4: "4.png"}}, NETWORK | {"model": {"network": "n"}}, ConfigError, "n is trained, and learns no"),
        ({"pictures": {4: "4.png"}}, {"schedule": {"loop": True}}, ConfigError, "--loop"),
        ({"pictures": {4: "4.png"}}, {"optimize": {"iterations": 0}}, ConfigError, "without iterations"),
        ({"pictures": {4: "4.png"}}, {"input": {"registration": "ecc"}}, ConfigError, "registration"),
        ({"pictures": {4: "4.png"}}, {"motion": {"light_share": 0.5}}, ConfigError, "--light-share"),
    ],
)
def test_keys_that_cannot_be_used_are_refused(
    pan: Path,
    painted: Path,
    style: Path,
    tmp_path: Path,
    keys: dict[str, Any],
    settings: dict[str, Any],
    error: type[VidnstError],
    words: str,
) -> None:
    folder = painted.parent
    placed = dict(keys)
    if "pictures" in keys:
        placed["pictures"] = {frame: str(folder / name) for frame, name in keys["pictures"].items()}
    if "folder" in keys:
        placed["folder"] = str(folder / keys["folder"])
    with pytest.raises(error, match=words):
        rendered(pan, tmp_path / "out", placed, style=style, set=settings)


@pytest.mark.parametrize(
    ("name", "shape", "error", "words"),
    [
        ("4.png", (HEIGHT, HEIGHT), SourceError, "another shape"),
        ("picture.png", (HEIGHT, WIDTH), ConfigError, "ends in no frame"),
    ],
)
def test_pictures_that_are_no_keys_are_refused(
    pan: Path, style: Path, tmp_path: Path, name: str, shape: tuple[int, int], error: type[VidnstError], words: str
) -> None:
    folder = tmp_path / "keys"
    folder.mkdir()
    write_picture(folder / name, np.full((*shape, 3), 90, np.uint8))
    with pytest.raises(error, match=words):
        rendered(pan, tmp_path / "out", {"folder": str(folder)}, style=style)


@pytest.mark.parametrize(
    ("keys", "error", "words"),
    [
        ({"pictures": {4: "movie.mp4"}}, SourceError, "key .*movie.mp4 of frame 4 is no picture; paint over one frame"),
        (
            {"pictures": {4: "text.png"}},
            SourceError,
            "key .*text.png of frame 4 cannot be used: .* not a readable image",
        ),
        ({"pictures": {4: "cut.png"}}, SourceError, "key .*cut.png of frame 4 cannot be used: .* does not decode"),
        ({"pictures": {4: "clear.png"}}, SourceError, "key .*clear.png of frame 4 is transparent everywhere"),
        ({"pictures": {4: "empty"}}, SourceError, "no key .*empty of frame 4"),
        ({"folder": "empty"}, ConfigError, "folder .*empty of keys cannot be used: there are no images"),
        ({"folder": "text.png"}, ConfigError, "--keys takes a folder, and .*text.png is a file; name a single key"),
        ({"folder": "twice"}, ConfigError, "frame 4 has two keys, .*4.jpg and .*0004.png"),
    ],
)
def test_files_that_are_no_keys_are_refused(
    pan: Path, style: Path, tmp_path: Path, keys: dict[str, Any], error: type[VidnstError], words: str
) -> None:
    places = tmp_path / "files"
    for name in ("empty", "twice"):
        (places / name).mkdir(parents=True)
    whole = write_picture(places / "twice" / "0004.png", painting_of(pan, 4))
    write_picture(places / "twice" / "4.jpg", painting_of(pan, 4))
    (places / "cut.png").write_bytes(whole.read_bytes()[:200])
    (places / "text.png").write_text("no picture")
    (places / "movie.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    cv2.imwrite(str(places / "clear.png"), np.zeros((HEIGHT, WIDTH, 4), np.uint8))
    chosen = {"pictures": {frame: str(places / name) for frame, name in keys.get("pictures", {}).items()}}
    chosen |= {"folder": str(places / keys["folder"])} if "folder" in keys else {}
    with pytest.raises(error, match=words):
        rendered(pan, tmp_path / "out", chosen, style=style)
    assert not run_folder(tmp_path / "out").exists()


def test_stopped_render_resumes_to_the_same_bytes(
    pan: Path, painted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {"pictures": {4: str(painted)}}
    rendered(pan, tmp_path / "whole", keys, set={"farm": {"workers": 2}})
    stop: dict[str, Callable[..., Any]] = stop_after(3)
    with pytest.raises(CancelledError):
        rendered(pan, tmp_path / "out", keys, **stop)
    monkeypatch.chdir(tmp_path)
    vidnst.resume(run_folder(tmp_path / "out"))
    assert frame_files(run_folder(tmp_path / "out")) == frame_files(run_folder(tmp_path / "whole"))


def test_network_paints_as_the_painting_does(pan: Path, painted: Path, tmp_path: Path) -> None:
    training = NETWORK["schedule"]["training"] | {"steps": 40, "stage_steps": 20}
    schedule = NETWORK["schedule"] | {"spacing": 2, "training": training}
    keys = {"pictures": {4: str(painted)}, "clip_share": 0, "features_weight": 0}
    frames = rendered(pan, tmp_path / "out", keys, set={"schedule": schedule})
    np.testing.assert_array_equal(frames[4], read_image(painted))
    sources = [read_image(path) for path in sorted(pan.glob("*.png"))]
    for frame in (0, 8):
        wanted = painting_of(pan, frame)
        assert distance(frames[frame], wanted) < 0.5 * distance(sources[frame], wanted)
    assert distance(frames[5], painting_of(pan, 5)) < 0.8 * distance(frames[8], painting_of(pan, 8))


def test_stopped_training_of_a_painting_resumes_to_same_bytes(pan: Path, painted: Path, tmp_path: Path) -> None:
    keys = {"pictures": {4: str(painted)}}
    rendered(pan, tmp_path / "whole", keys, set=NETWORK)
    folder = run_folder(tmp_path / "out")

    def two_are_done() -> bool:
        return (folder / "events.jsonl").exists() and len(done_nodes(folder)) >= 2

    with pytest.raises(CancelledError):
        rendered(pan, tmp_path / "out", keys, set=NETWORK, cancelled=two_are_done)
    assert not list(folder.glob("frames/*.png"))
    vidnst.resume(folder)
    assert frame_files(folder) == frame_files(run_folder(tmp_path / "whole"))


def test_network_learns_only_what_is_opaque(pan: Path, style: Path, tmp_path: Path) -> None:
    opaque = np.zeros((HEIGHT, WIDTH), bool)
    opaque[:, : WIDTH // 2] = True
    picture = np.dstack([painting_of(pan, 4), opaque.astype(np.uint8) * 255])
    path = tmp_path / "key.png"
    cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGBA2BGRA))
    frames = rendered(pan, tmp_path / "out", {"pictures": {4: str(path)}}, style=style, set=NETWORK)
    np.testing.assert_array_equal(frames[4][opaque], painting_of(pan, 4)[opaque])
    with pytest.raises(ConfigError, match="another picture of one changes every frame"):
        run(load_request(run_folder(tmp_path / "out"), {}), overwrite=True, redo_keys={4: path})


def test_changed_painting_is_another_render(pan: Path, style: Path, tmp_path: Path) -> None:
    path = write_picture(tmp_path / "4.png", painting_of(pan, 4))
    rendered(pan, tmp_path / "out", {"pictures": {4: str(path)}}, style=style)
    write_picture(path, painting_of(pan, 4, hue=1))
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="the key of frame 4 has other bytes"):
        rendered(pan, tmp_path / "out", {"pictures": {4: str(path)}}, style=style)


def test_jobs_of_a_batch_have_their_own_keys(pan: Path, painted: Path, tmp_path: Path) -> None:
    (tmp_path / "given.png").write_bytes(painted.read_bytes())
    settings = quick_config({"losses": TWO_LAYERS, "optimize": {"iterations": 8}}).model_dump(mode="json")
    chosen = {name: settings[name] for name in ("model", "losses", "optimize", "schedule", "farm")}
    job = {"sources": [str(pan)], "keys": {4: "given.png"}, "output": "out"}
    (tmp_path / "jobs.yaml").write_text(json.dumps({"defaults": {"set": chosen}, "jobs": [job]}))
    assert vidnst.batch(tmp_path / "jobs.yaml").done == 1
    frames = sorted((tmp_path / "out").glob("*.png"))
    np.testing.assert_array_equal(read_image(frames[4]), read_image(painted))
    (tmp_path / "jobs.yaml").write_text(json.dumps({"jobs": [{"sources": [str(pan)], "output": "out"}]}))
    with pytest.raises(ConfigError, match="styles is missing"):
        vidnst.batch(tmp_path / "jobs.yaml")


def test_replaced_painting_renders_again_what_follows_it(pan: Path, tmp_path: Path) -> None:
    keys = {frame: write_picture(tmp_path / f"{frame}.png", painting_of(pan, frame)) for frame in (0, 4, 8)}
    better = write_picture(tmp_path / "better.png", painting_of(pan, 8, hue=1))
    folder = run_folder(tmp_path / "out")
    rendered(pan, tmp_path / "out", {"pictures": {frame: str(path) for frame, path in keys.items()}})
    before, done = frame_files(folder), len(done_nodes(folder))
    request = load_request(folder, {})
    run(request, overwrite=True, redo_keys={8: better})
    after = frame_files(folder)
    np.testing.assert_array_equal(read_image(sorted((tmp_path / "out").glob("*.png"))[8]), read_image(better))
    assert {frame for frame in after if after[frame] == before[frame]} == {0, 1, 2, 3, 4}
    assert 0 < len(done_nodes(folder)) - done < done
    look = json.loads((folder / "run.json").read_text())["look"]
    assert [Path(one["path"]).name for one in look["styles"]] == ["0.png", "4.png", "8.png"]
    vidnst.resume(folder, overwrite=True)
    assert frame_files(folder) == after
    with pytest.raises(ConfigError, match=r"frame 5 has no key .*; its keys are of frames 0, 4, 8; add one with --key"):
        run(request, overwrite=True, redo_keys={5: better})
