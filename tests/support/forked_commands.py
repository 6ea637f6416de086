"""Runs command lines, each in a process of its own with a pipe or a terminal, and keeps what they write.

The processes are forks of one that has imported everything, since importing takes longer than most commands.
"""

import base64
import json
import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn


def write_by(commands: Sequence[Sequence[str]], folder: Path, *, in_terminal: bool) -> list[bytes]:
    """Run command lines one after the other in a folder; return what each writes to standard output and error.

    Args:
        commands: the arguments of each.
        folder: the working directory.
        in_terminal: True for a terminal, False for a pipe.
    """
    request = json.dumps({"commands": list(map(list, commands)), "in_terminal": in_terminal})
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "200"}
    driver = [sys.executable, __file__]
    done = subprocess.run(
        driver, cwd=folder, input=request.encode(), stdout=subprocess.PIPE, check=True, env=environment
    )
    return [base64.b64decode(text) for text in json.loads(done.stdout)]


def _run(arguments: list[str], *, in_terminal: bool) -> bytes:
    if in_terminal:
        process, reader = pty.fork()
    else:
        reader, writer = os.pipe()
        process = os.fork()
        if not process:
            os.dup2(writer, 1)
            os.dup2(writer, 2)
        os.close(writer)
    if not process:
        _be_command_line(arguments)
    chunks = []
    try:
        while chunk := os.read(reader, 1 << 16):
            chunks.append(chunk)
    except OSError:  # a terminal that nobody holds any more
        pass
    os.close(reader)
    os.waitpid(process, 0)
    return b"".join(chunks)


def _be_command_line(arguments: list[str]) -> NoReturn:
    from vidnst.__main__ import main

    try:
        for name, number in (("stdout", 1), ("stderr", 2)):
            stream = open(number, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - until the process ends
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
        sys.argv = ["vidnst", *arguments]
        main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _answer() -> None:
    import vidnst.cli.app
    import vidnst.rendering.measure_output
    import vidnst.rendering.pipeline
    import vidnst.tools.bench.report
    import vidnst.tools.distill
    import vidnst.tools.pretrain
    import vidnst.tools.preview.evolve
    import vidnst.tools.preview.proof  # noqa: F401 - all that commands import

    request = json.loads(sys.stdin.buffer.read())
    written = [_run(arguments, in_terminal=request["in_terminal"]) for arguments in request["commands"]]
    sys.stdout.write(json.dumps([base64.b64encode(data).decode() for data in written]))


if __name__ == "__main__":
    _answer()
