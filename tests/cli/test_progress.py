"""What a command shows while it runs."""

import json
import subprocess
import sys

import pytest

_UNTIL_TORCH = """
import os, sys

class UntilTorch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            os._exit(7)

sys.meta_path.insert(0, UntilTorch())
from vidnst.__main__ import main
main()
"""
"""Runs the command line up to the import of torch, which takes seconds."""


@pytest.mark.parametrize("command", ["render a.mp4 --style b.png -o c.mp4 --json", "batch jobs.yaml --json"])
def test_first_sign_comes_before_torch_is_loaded(command: str) -> None:
    words = [sys.executable, "-c", _UNTIL_TORCH, *command.split()]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 7, done.stderr
    (line,) = done.stdout.splitlines()
    event = json.loads(line)
    assert (event["event"], event["stage"]) == ("stage", "starting")
