"""Results that are lost with a machine before they are stored: the render goes on, to the same bytes."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.batches import batch_differences, job_states, write_jobs
from support.lost_node import two_nodes
from support.media import write_burst
from support.renders import done_nodes, frame_files, logged_events, quick_config, run_folder, warnings_in

import vidnst
from vidnst.errors import LostValueError
from vidnst.events import Event, NodeStarted
from vidnst.farm.plan import StateId
from vidnst.farm.workers import StyleWorker
from vidnst.rendering.batch.run import run_batch

FRAMES = 8
SETTINGS: dict[str, dict[str, Any]] = {"schedule": {"spacing": 4, "passes": 2}, "farm": {"workers": 2}}


def render(burst: Path, style: Path, folder: Path, **farm: Any) -> tuple[Path, list[Event]]:
    events: list[Event] = []
    config = quick_config(SETTINGS, farm=farm)
    vidnst.render(burst, style=style, output=folder / "out", config=config, on_event=events.append)
    return run_folder(folder / "out"), events


@pytest.fixture(scope="module")
def undisturbed(burst: Path, style: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, bytes]:
    """The frames of a render that loses nothing."""
    return frame_files(render(burst, style, tmp_path_factory.mktemp("undisturbed"))[0])


def losing_run(lost: set[StateId]) -> Callable[..., Any]:
    """Return a `StyleWorker.run` to which one start of each of some nodes is lost, once."""
    original = StyleWorker.run

    def run(self: StyleWorker, job: Any, **options: Any) -> Any:
        if job.node in lost:
            lost.discard(job.node)
            raise LostValueError("the machine is gone")
        return original(self, job, **options)

    return run


def test_render_goes_on_when_a_start_is_lost(
    burst: Path, style: Path, undisturbed: dict[int, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StyleWorker, "run", losing_run({StateId(4), StateId(3, 1)}))
    run, events = render(burst, style, tmp_path)
    assert frame_files(run) == undisturbed
    assert len([text for text in warnings_in(events) if "a machine was lost" in text]) == 2
    assert max(Counter(done_nodes(run)).values()) == 1  # what was stored is not made again
    assert not logged_events(run, "given_up")


def test_render_goes_on_when_an_unstored_result_is_lost(
    burst: Path, style: Path, undisturbed: dict[int, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[object] = []

    def losing(value: object) -> object:
        calls.append(value)
        if len(calls) == 5:
            raise LostValueError("the machine is gone")
        return value

    monkeypatch.setattr("vidnst.runs.run_store.opened", losing)
    run, events = render(burst, style, tmp_path)
    assert len(calls) > 5
    assert frame_files(run) == undisturbed
    assert len([text for text in warnings_in(events) if "a machine was lost" in text]) == 1
    assert max(Counter(done_nodes(run)).values()) == 1


def test_render_that_loses_everything_ends(
    burst: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: object) -> object:
        raise LostValueError("the machine is gone")

    monkeypatch.setattr(StyleWorker, "run", run)
    with pytest.raises(LostValueError, match="the machine is gone"):
        render(burst, style, tmp_path)


def test_batch_goes_on_when_a_start_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [write_jobs(tmp_path / name, clips=2, styles=1) for name in ("undisturbed", "lost")]
    run_batch(paths[0])
    monkeypatch.setattr(StyleWorker, "run", losing_run({StateId(3), StateId(2, 1)}))
    run_batch(paths[1])
    assert set(job_states(paths[1]).values()) == {"done"}
    differences = batch_differences(*paths)
    assert differences["same_bytes"]
    assert (differences["repeated"], differences["missing"]) == (0, 0)


@pytest.mark.ray
def test_raylet_that_ends_takes_no_bytes_with_it(style: Path, tmp_path: Path) -> None:
    """Its states are large enough to lie in its object store."""
    burst = write_burst(tmp_path / "burst", FRAMES, size=(240, 160), cells=(12, 16))
    (tmp_path / "undisturbed").mkdir()
    expected = frame_files(render(burst, style, tmp_path / "undisturbed")[0])
    begun: list[str] = []
    with two_nodes() as (cluster, second):

        def hear(event: Event) -> None:
            if isinstance(event, NodeStarted) and event.role != "flow":
                begun.append(event.node)
                if len(begun) == FRAMES:
                    cluster.remove_node(second, allow_graceful=False)

        config = quick_config(SETTINGS, farm={"executor": "ray", "address": cluster.address, "workers": 2})
        vidnst.render(burst, style=style, output=tmp_path / "out", config=config, on_event=hear)
    run = run_folder(tmp_path / "out")
    assert frame_files(run) == expected
    assert max(Counter(done_nodes(run)).values()) == 1
