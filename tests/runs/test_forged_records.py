"""Records of runs that name outputs which are not theirs."""

import json
import os
from pathlib import Path

import pytest
from support.command_line import Vidnst
from support.renders import quick_config, run_folder

import vidnst as api
from vidnst.errors import RunError
from vidnst.rendering.pipeline import run
from vidnst.runs.layout import continue_command, owns_output
from vidnst.runs.request import Request

FRAMES = 2


def forge(folder: Path, output: Path) -> None:
    """Let a run name an output, and say that it was being moved there."""
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record | {"output": str(output)}))
    lines = [line for line in (folder / "events.jsonl").read_text().splitlines() if '"finished"' not in line]
    lines.append(json.dumps({"time": 1.0, "kind": "writing", "output": os.path.abspath(output)}))
    (folder / "events.jsonl").write_text("\n".join(lines) + "\n")


@pytest.fixture
def sent(tmp_path: Path, burst: Path, style: Path) -> Path:
    """A finished run folder that somebody sent."""
    (tmp_path / "sent").mkdir()
    output = tmp_path / "sent" / "out.mkv"
    run(Request(str(burst), (str(style),), output, quick_config(optimize={"iterations": 1})))
    return run_folder(output)


@pytest.mark.parametrize("command", ["resume", "retry"])
def test_forged_record_replaces_no_video(command: str, sent: Path, tmp_path: Path, vidnst: Vidnst) -> None:
    holiday = tmp_path / "holiday.mkv"
    holiday.write_bytes(b"the only copy")
    forge(sent, holiday)
    result = vidnst(command, sent)
    assert result.status == RunError.exit_code
    assert "--overwrite" in result.err
    assert holiday.read_bytes() == b"the only copy"


def test_record_names_no_new_file_elsewhere_unconfirmed(sent: Path, tmp_path: Path) -> None:
    forge(sent, tmp_path / "new.mkv")
    with pytest.raises(RunError, match="does not lie next to"):
        api.resume(sent)
    assert not (tmp_path / "new.mkv").exists()
    assert api.resume(sent, overwrite=True).output == tmp_path / "new.mkv"


def test_run_killed_while_writing_its_own_output_resumes(sent: Path) -> None:
    output = sent.parent / "out.mkv"
    forge(sent, output)
    assert api.resume(sent).output == output


def test_output_belongs_to_the_folder_next_to_it(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert owns_output(tmp_path / "real" / "a.mp4.vidnst", tmp_path / "link" / "a.mp4")
    assert owns_output(tmp_path / "a_%04d.png.vidnst", tmp_path / "a_%04d.png")
    for folder in (tmp_path / "b.mp4.vidnst", tmp_path / "real" / "a.mp4.vidnst", tmp_path / "a.mp4"):
        assert not owns_output(folder, tmp_path / "a.mp4")


def test_hints_confirm_an_output_that_lies_elsewhere(tmp_path: Path) -> None:
    output = tmp_path / "a b.mp4"
    assert continue_command("resume", run_folder(output), output) == f"vidnst resume '{run_folder(output)}'"
    assert continue_command("retry", tmp_path / "work", output) == f"vidnst retry {tmp_path / 'work'} --overwrite"
