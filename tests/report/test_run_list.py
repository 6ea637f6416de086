"""The list of runs in the page: one line each, failures on top, batches together, filters by state and name."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from vidnst.report.html.markup import read_asset
from vidnst.report.server.run_list import group_runs
from vidnst.runs.discovery import Batch, BatchJob

_PAGE = """
class Fake {
  constructor(tag) { Object.assign(this, { tag, children: [], dataset: {}, listeners: {}, text: "", hidden: false }); }
  get firstChild() { return this.children[0]; }
  get lastChild() { return this.children[this.children.length - 1]; }
  get textContent() { return this.text + this.children.map((child) => child.textContent).join(""); }
  set textContent(text) { this.text = text; this.children = []; }
  append(...made) { for (const child of made) this.insertBefore(child, null); }
  insertBefore(child, before) {
    if (child.parent) child.remove();
    child.parent = this;
    this.children.splice(before ? this.children.indexOf(before) : this.children.length, 0, child);
  }
  replaceChildren(...made) { this.children = []; this.append(...made); }
  remove() { this.parent.children.splice(this.parent.children.indexOf(this), 1); this.parent = null; }
  setAttribute(name, value) { this[name] = value; }
  getAttribute(name) { return this[name]; }
  addEventListener(name, heard) { this.listeners[name] = heard; }
  querySelector(name) {
    for (const child of this.children) {
      if ((child.className || "").split(" ").includes(name.slice(1))) return child;
      const inside = child.querySelector(name);
      if (inside) return inside;
    }
    return null;
  }
}
const parts = {};
const part = (name) => parts[name] = parts[name] || new Fake(name);
globalThis.document = { getElementById: part, createElement: (tag) => new Fake(tag), hidden: false };
globalThis.location = { search: "" };
globalThis.setTimeout = () => 0;
globalThis.fetch = async () => ({ ok: true, json: async () => TOLD });
"""
_ASK = """
const lines = () => part("runs").children.map((group) => [group.firstChild.firstChild.textContent,
  ...group.lastChild.children.map((row) => row.firstChild.children.map((cell) => cell.textContent).join("|"))]);
setImmediate(() => setImmediate(() => {
  const said = { all: lines(), states: part("states").children.map((button) => button.textContent) };
  part("states").children.find((button) => button.textContent.startsWith("failed")).listeners.click();
  said.failed = lines();
  part("states").children[0].listeners.click();
  part("named").listeners.input({ target: { value: " CLIP1 " } });
  said.named = lines();
  part("named").listeners.input({ target: { value: "" } });
  const row = part("runs").lastChild.lastChild.children[0];
  row.open = true;
  row.listeners.toggle();
  const output = row.lastChild.querySelector(".output").firstChild;
  said.output = [output.tag, output.src, output.controls];
  console.log(JSON.stringify(said));
}));
"""


def run_status(name: str, state: str, **more: Any) -> dict[str, Any]:
    blank = {"message": "", "frames": 4, "frames_done": 4, "stage": "", "eta_seconds": None, "shown_frame": None}
    lists = {key: [] for key in ("failed_frames", "failures", "warnings", "workers")}
    rest = {"folder": "/f", "per_second": None, "bytes": 1, "holder": "", "report": False, "plays": None, "updated": 1}
    return {"id": f"id-{name}", "name": name, "state": state} | blank | lists | rest | more


def described() -> dict[str, Any]:
    runs = [
        run_status("bad.mp4", "failed", message="no style"),
        run_status("clip1.mp4", "running", frames_done=1, eta_seconds=62.0),
        run_status("clip0.mp4", "finished"),
        run_status("alone.mp4", "finished", plays="video"),
    ]
    jobs = (
        BatchJob("clip0", run_folder="out/clip0.mp4.vidnst", state="done", frames=4, frames_done=4),
        BatchJob("clip1", run_folder="/home/out/clip1.mp4.vidnst", state="rendering", frames=4, frames_done=1),
        BatchJob("clip2", state="failed", message="it does not decode"),
        BatchJob("clip3", state="queued"),
    )
    batch = Batch("jobs.batch", jobs, "process 7", "/home")
    ids = {Path(f"/home/out/{name}.vidnst"): f"id-{name}" for name in ("clip0.mp4", "clip1.mp4")}
    return {"runs": runs, "groups": group_runs(runs, [batch], ids), "batches": [], "errors": []}


def test_failures_come_first_and_batches_stay_together() -> None:
    groups = described()["groups"]
    shown = {group["name"]: [(row["name"], row["state"]) for row in group["rows"]] for group in groups}
    assert list(shown) == ["failed", "jobs.batch", ""]
    assert shown["failed"] == [("clip2", "failed"), ("bad.mp4", "failed")]
    assert shown["jobs.batch"] == [("clip1.mp4", "running"), ("clip3", "waiting"), ("clip0.mp4", "finished")]
    assert shown[""] == [("alone.mp4", "finished")]
    assert groups[1]["counts"] == {"running": 1, "failed": 1, "queued": 1, "finished": 1}
    assert groups[0]["rows"][0]["message"] == "it does not decode"
    assert len({row["key"] for group in groups for row in group["rows"]}) == 6


def test_jobs_of_a_batch_that_nobody_renders_are_stopped() -> None:
    (group,) = group_runs([], [Batch("b", (BatchJob("a", state="rendering"), BatchJob("c", state="paused")))], {})
    assert [row["label"] for row in group["rows"]] == ["stopped", "stopped"]


def test_page_shows_a_line_for_each_run_and_filters_them() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    script = f"const TOLD = {json.dumps(described())};{_PAGE}{read_asset('dashboard.js').partition(';')[2]}{_ASK}"
    done = subprocess.run([node, "-"], input=script, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout)
    assert said["states"] == ["all 6", "failed 2", "running 1", "waiting 1", "finished 2"]
    assert said["all"] == [
        ["failed", "clip2|failed||0 of ?|it does not decode", "bad.mp4|failed||4 of 4|no style"],
        ["jobs.batch", "clip1.mp4|running||1 of 4|1:02 left", "clip3|queued||0 of ?|", "clip0.mp4|finished||4 of 4|"],
        ["other runs", "alone.mp4|finished||4 of 4|"],
    ]
    assert said["failed"] == said["all"][:1]
    assert said["named"] == [["jobs.batch", "clip1.mp4|running||1 of 4|1:02 left"]]
    assert said["output"] == ["video", "run/id-alone.mp4/output", True]


def test_36_runs_fit_about_two_screens() -> None:
    style = read_asset("dashboard.css")
    line = re.search(r"\.run>summary\{([^}]*)\}", style)
    assert line is not None
    assert "padding:2px" in line[1]
    assert "white-space:nowrap" in style
    assert re.search(r"\.name,\.left\{[^}]*nowrap", style)  # a line stays one line
