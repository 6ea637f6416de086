"""Conventions of the code that no linter checks."""

import ast
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = sorted((ROOT / "vidnst").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))

MAX_NAME_LENGTH = 60
MAX_MODULE_LINES = 350

TERMINAL = tuple(f"vidnst/cli/{name}.py" for name in ("terminal", "streams", "stop_signals", "process_end"))
"""Where texts may be written to standard output and error; the last two work before others can be imported."""
WRITERS = {"print", "Console", "echo", "secho", "print_exc", "print_exception", "Progress"}
"""Functions and classes that write to a terminal, or draw on one."""


IN_STATE_FOLDERS = ("vidnst/runs/", "vidnst/rendering/batch/", "vidnst/report/server/")
"""Where code works in run and batch folders."""
OPENS_AND_DELETES = ("vidnst/runs/safe_files.py", "vidnst/runs/removal.py")
FILE_CALLS = frozenset(
    {"read_bytes", "read_text", "write_bytes", "write_text", "unlink", "rmdir", "rmtree", "load", "touch"}
)
"""Names of functions that open, follow or delete; `load` is NumPy's."""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def nodes_of(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text("utf-8"))))


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_names_of_tests_are_short(path: Path) -> None:
    functions = (node.name for node in nodes_of(path) if isinstance(node, ast.FunctionDef))
    too_long = [name for name in functions if name.startswith("test_") and len(name) > MAX_NAME_LENGTH]
    assert not too_long


@pytest.mark.parametrize("path", PACKAGE, ids=name_of)
def test_modules_have_docstrings_and_are_short(path: Path) -> None:
    text = path.read_text("utf-8")
    assert ast.get_docstring(ast.parse(text)), "no docstring"
    assert text.count("\n") <= MAX_MODULE_LINES


def test_class_names_are_unique() -> None:
    names = Counter(node.name for path in PACKAGE for node in nodes_of(path) if isinstance(node, ast.ClassDef))
    assert not [name for name, count in names.items() if count > 1]


@pytest.mark.parametrize("path", [path for path in PACKAGE if name_of(path) not in TERMINAL], ids=name_of)
def test_only_the_terminal_prints(path: Path) -> None:
    nodes = nodes_of(path)
    calls = (node.func for node in nodes if isinstance(node, ast.Call))
    names = {function.id if isinstance(function, ast.Name) else getattr(function, "attr", "") for function in calls}
    assert not names & WRITERS
    streams = [node for node in nodes if isinstance(node, ast.Attribute) and node.attr in ("stdout", "stderr")]
    of_sys = {id(node) for node in streams if isinstance(node.value, ast.Name) and node.value.id == "sys"}
    # A child process answers on the buffer below, which holds no texts for people.
    buffers = {id(node.value) for node in nodes if isinstance(node, ast.Attribute) and node.attr == "buffer"}
    assert of_sys <= buffers


def opens_by_itself(call: ast.Call) -> bool:
    """True if a call opens or deletes a file, other than a temporary one or one of the system."""
    match call.func:
        case ast.Name("open"):
            return not (isinstance(call.args[0], ast.Constant) and str(call.args[0].value).startswith("/proc/"))
        case ast.Attribute(ast.Name("os"), "open" | "remove" | "fdopen"):
            return True
        case ast.Attribute(ast.Name("part" | "source" | "clip" | "RunStore"), "open"):
            return False
        case ast.Attribute(ast.Name("np"), "load"):
            return not isinstance(call.args[0], ast.Name) or call.args[0].id != "file"
        case ast.Attribute(ast.Name("jar"), "load"):
            return False
        case ast.Attribute(_, name):
            return name in FILE_CALLS or (name == "open" and bool(call.args))
        case _:
            return False


@pytest.mark.parametrize("path", [path for path in PACKAGE if name_of(path).startswith(IN_STATE_FOLDERS)], ids=name_of)
def test_files_of_run_folders_are_opened_in_one_place(path: Path) -> None:
    calls = (node for node in nodes_of(path) if isinstance(node, ast.Call))
    found = [f"line {call.lineno}: {ast.unparse(call)}" for call in calls if opens_by_itself(call)]
    assert not found or name_of(path) in OPENS_AND_DELETES
