"""Records and job files from strangers: they reach no host and no file of which the person said nothing."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.command_line import Vidnst
from support.media import write_burst, write_style
from support.renders import frame_files, quick_config, run_folder, stop_after, write_settings

import vidnst as package
from vidnst.config.loader import with_settings
from vidnst.errors import CancelledError, ConfigError, WeightsError
from vidnst.files.weights_file import encode_safetensors
from vidnst.rendering.batch.job_file import read_jobs
from vidnst.rendering.pipeline import run
from vidnst.runs.request import load_request
from vidnst.style.network.random_filters import random_features

FRAMES = 4


class Listener:
    """A socket on loopback that counts who connects and keeps what they send."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(0.05)
        self.port = self._socket.getsockname()[1]
        self.heard: list[bytes] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._socket.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(1)
                try:
                    self.heard.append(connection.recv(1 << 16))
                except OSError:
                    self.heard.append(b"")

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._socket.close()


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a-secret-token")
    found = Listener()
    yield found
    found.close()


def stopped_run(folder: Path, **model: Any) -> Path:
    """Render two frames of a clip, and stop."""
    clip, style = write_burst(folder / "clip", FRAMES), write_style(folder / "style.png")
    config = quick_config(model=model)
    with pytest.raises(CancelledError):
        package.render(clip, style=style, output=folder / "out", config=config, **stop_after(2))
    return run_folder(folder / "out")


def forge(run: Path, **keys: Any) -> None:
    """Change settings in the record of a run, by dotted key with __ for the dot."""
    record = json.loads((run / "run.json").read_text())
    for key, value in keys.items():
        section, name = key.split("__")
        record["config"].setdefault(section, {})[name] = value
        if name in ("weights", "network", "raft_weights"):
            record[name] = value
    (run / "run.json").write_text(json.dumps(record))


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}"])
@pytest.mark.parametrize("command", ["resume", "retry"])
def test_forged_address_is_not_connected_to(
    command: str, form: str, listener: Listener, vidnst: Vidnst, tmp_path: Path
) -> None:
    run = stopped_run(tmp_path)
    forge(run, farm__address=form.format(listener.port), farm__executor="ray")
    status, _, err = vidnst(command, run)
    assert status == 2
    assert f"{run / 'run.json'} sets farm.address" in err
    assert "--address or RAY_ADDRESS" in err
    assert listener.heard == []


def test_looking_at_a_forged_run_connects_to_nobody(listener: Listener, vidnst: Vidnst, tmp_path: Path) -> None:
    run = stopped_run(tmp_path)
    address = f"127.0.0.1:{listener.port}"
    forge(run, farm__address=address, farm__executor="ray", output__hardware="vaapi")
    for command in ("status", "report"):
        assert vidnst(command, run)[0] == 0
    page = (run / "report.html").read_text()
    assert f"--set farm.address={address}" not in page.replace("&#39;", "")
    assert "hardware=vaapi" not in page
    assert f"add these yourself if they are yours: farm.address {address}; output.hardware vaapi" in page
    assert listener.heard == []


def test_given_executor_and_address_replace_forged_ones(listener: Listener, vidnst: Vidnst, tmp_path: Path) -> None:
    run = stopped_run(tmp_path)
    forge(run, farm__address=f"127.0.0.1:{listener.port}", farm__executor="ray")
    status, _, err = vidnst("resume", run, "--executor", "inline", "--address", "local")
    assert status == 0, err
    assert listener.heard == []


@pytest.mark.parametrize("where", ["defaults", "dotted", "entry", "spaced"])
def test_job_file_cannot_name_an_address(where: str, listener: Listener, vidnst: Vidnst, tmp_path: Path) -> None:
    write_burst(tmp_path / "clip", 2)
    write_style(tmp_path / "style.png")
    address = f"127.0.0.1:{listener.port}"
    asked: dict[str, Any] = {
        "defaults": {"farm": {"address": address}},
        "entry": {"farm": {"address": address}},
        "dotted": {"farm.address": address},
        "spaced": {" farm.address ": address},
    }[where]
    entry = {"sources": "clip", "styles": "style.png"} | ({"set": asked} if where == "entry" else {})
    defaults = {} if where == "entry" else {"set": asked}
    path = tmp_path / "jobs.yaml"
    path.write_text(json.dumps({"defaults": defaults, "jobs": [entry]}))
    for command in (("batch", path), ("batch", path, "--dry-run")):
        status, _, err = vidnst(*command)
        assert status == 2
        assert "farm.address" in err
        assert str(path) in err
    assert listener.heard == []


@pytest.mark.parametrize(
    ("key", "value"),
    [("model.weights", "../w.safetensors"), ("model.network", "n.safetensors"), ("output.hardware", "vaapi")],
)
def test_jobs_cannot_name_files_and_devices(key: str, value: str, tmp_path: Path) -> None:
    path = tmp_path / "jobs.yaml"
    path.write_text(json.dumps({"jobs": [{"sources": "a.mp4", "styles": "x.png", "set": {key: value}}]}))
    with pytest.raises(ConfigError, match=rf"jobs\.yaml: jobs\[0\] sets {key} .*job file may not decide"):
        read_jobs(path)


def test_job_file_leaves_the_address_to_the_person(tmp_path: Path) -> None:
    path = tmp_path / "jobs.yaml"
    settings = {"farm": {"address": "203.0.113.9:1", "workers": 2}}
    path.write_text(json.dumps({"defaults": {"set": settings}, "jobs": [{"sources": "a.mp4", "styles": "x.png"}]}))
    jobs = read_jobs(path, farm={"address": "127.0.0.1:7"})
    assert (jobs.farm.address, jobs.farm.workers) == ("127.0.0.1:7", 2)
    assert jobs.clips[0].request.config.farm == jobs.farm


def test_settings_file_cannot_name_an_address(listener: Listener, vidnst: Vidnst, tmp_path: Path) -> None:
    clip, style = write_burst(tmp_path / "clip", 2), write_style(tmp_path / "style.png")
    look = write_settings(tmp_path / "look.yaml", {"farm": {"address": f"127.0.0.1:{listener.port}"}})
    status, _, err = vidnst("render", clip, "-s", style, "-o", tmp_path / "out", "--config", look)
    assert status == 2
    assert "look.yaml sets farm.address" in err
    assert listener.heard == []


def test_recorded_weights_resume_while_they_are_the_same(tmp_path: Path) -> None:
    weights = tmp_path / "mine.safetensors"
    weights.write_bytes(encode_safetensors(random_features("relu1_1"), {}))
    folder = stopped_run(tmp_path, weights=str(weights))
    other = random_features("relu1_1", 7)
    kept = weights.read_bytes()
    weights.write_bytes(encode_safetensors(other, {}))
    with pytest.raises(WeightsError, match=r"model\.weights .*does not hold what it held.*--weights"):
        run(load_request(folder, {}))
    weights.write_bytes(kept)
    run(load_request(folder, {}))
    assert len(frame_files(folder)) == FRAMES


def test_record_cannot_name_pickled_or_piped_weights(vidnst: Vidnst, tmp_path: Path) -> None:
    folder = stopped_run(tmp_path)
    forge(folder, model__weights=str(tmp_path / "evil.pth"))
    status, _, err = vidnst("resume", folder)
    assert (status, "sets model.weights" in err, "--weights" in err) == (2, True, True)
    assert vidnst("resume", folder, "--weights", "random")[0] == 0
    pipe = tmp_path / "pipe.safetensors"
    os.mkfifo(pipe)
    for settings in ({"model__weights": str(pipe)}, {"model__weights": "random", "model__network": str(pipe)}):
        forge(folder, schedule__kind="network", **settings)
        assert vidnst("resume", folder, "--overwrite")[0] in (2, 5)


def test_measuring_takes_weights_only_from_the_person(vidnst: Vidnst, tmp_path: Path) -> None:
    folder = stopped_run(tmp_path)
    run(load_request(folder, {}))
    forge(folder, model__weights=str(tmp_path / "evil.pth"))
    status, _, err = vidnst("measure", tmp_path / "out")
    assert (status, "sets model.weights" in err) == (2, True)
    assert vidnst("measure", tmp_path / "out", "--no-losses")[0] == 0
    assert vidnst("measure", tmp_path / "out", "--weights", "random")[0] == 0


def test_run_of_other_options_resumes_when_they_are_repeated(tmp_path: Path, vidnst: Vidnst) -> None:
    folder = stopped_run(tmp_path)
    forge(folder, farm__device="cuda")
    status, _, err = vidnst("resume", folder)
    assert (status, "give --set farm.device yourself" in err) == (2, True)
    assert vidnst("resume", folder, "--set", "farm.device=cpu")[0] == 0


def test_settings_of_the_look_do_not_change_at_a_resume(tmp_path: Path, vidnst: Vidnst) -> None:
    folder = stopped_run(tmp_path)
    status, _, err = vidnst("resume", folder, "--set", "losses.style_weight=3")
    assert (status, "losses.style_weight: 15.0 -> 3.0" in err) == (8, True)


def test_networks_are_safetensors_and_nothing_else(tmp_path: Path) -> None:
    clip, style = write_burst(tmp_path / "clip", 2), write_style(tmp_path / "style.png")
    network = tmp_path / "network.pth"
    network.write_bytes(b"x")
    config = with_settings(quick_config(schedule={"kind": "network"}), {"model.network": str(network)})
    with pytest.raises(WeightsError, match=r"network\.pth is no \.safetensors file"):
        package.render(clip, style=style, output=tmp_path / "out", config=config)
