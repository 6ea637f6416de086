"""Which room may know which, and what must not load for `--help`."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "vidnst"
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

VOCABULARY = {"vidnst", "vidnst.errors", "vidnst.frames", "vidnst.config"}

MAY_KNOW = {
    "vidnst.ahead": set(),
    "vidnst.checkpoint": {"vidnst.errors"},
    "vidnst.reproducible": set(),
    "vidnst.media": VOCABULARY | {"vidnst.ahead"},
    "vidnst.motion": VOCABULARY,
    "vidnst.finish": VOCABULARY,
    "vidnst.direction": VOCABULARY,
    "vidnst.style": VOCABULARY | {"vidnst.direction", "vidnst.checkpoint", "vidnst.reproducible"},
    "vidnst.blending": VOCABULARY | {"vidnst.motion"},
    "vidnst.raft": VOCABULARY | {"vidnst.checkpoint", "vidnst.reproducible", "vidnst.motion"},
    "vidnst.plan": VOCABULARY,
    "vidnst.steadiness": VOCABULARY,
    "vidnst.pages": VOCABULARY,
    "vidnst.tally": VOCABULARY,
    "vidnst.meter": VOCABULARY | {"vidnst.motion", "vidnst.steadiness"},
    "vidnst.store": VOCABULARY | {"vidnst.plan"},
    "vidnst.timeline": VOCABULARY | {"vidnst.direction"},
    "vidnst.farm": VOCABULARY
    | {"vidnst.ahead", "vidnst.direction", "vidnst.plan", "vidnst.motion", "vidnst.style.thrift"},
    "vidnst.farm.room": VOCABULARY | {"vidnst.style", "vidnst.farm"},
    "vidnst.farm.worker": (
        VOCABULARY
        | {"vidnst.direction", "vidnst.plan", "vidnst.motion", "vidnst.blending", "vidnst.style", "vidnst.raft"}
        | {"vidnst.farm"}
    ),
}
"""For each room the rooms it may import from, besides itself. The longest name that fits counts."""

COMMAND_LINE = (
    "vidnst.__main__",
    "vidnst.cli",
    "vidnst.commands",
    "vidnst.console",
    "vidnst.console_bench",
    "vidnst.console_forecast",
    "vidnst.live",
)
"""What only knows the others, and is known to none of them."""

OUTSIDE = {
    "torch": (
        *("vidnst.style", "vidnst.raft", "vidnst.blending", "vidnst.checkpoint", "vidnst.reproducible"),
        *("vidnst.farm.worker", "vidnst.farm.room", "vidnst.bench", "vidnst.doctor", "vidnst.distill"),
    ),
    "torchvision": ("vidnst.raft", "vidnst.doctor"),
    "ray": ("vidnst.farm.ray",),
    "cv2": ("vidnst.media", "vidnst.motion", "vidnst.finish"),
    "skimage": ("vidnst.finish",),
    "scipy": ("vidnst.finish",),
    "imageio_ffmpeg": ("vidnst.media",),
    "scenedetect": ("vidnst.media",),
    "rich": ("vidnst.console", "vidnst.console_bench", "vidnst.console_forecast", "vidnst.live"),
    "typer": ("vidnst.cli", "vidnst.commands"),
    "click": (),
    "pickle": (),
}
"""Who may import a library."""


def imports(path: Path) -> Iterator[str]:
    """Modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module


def inside(name: str, room: str) -> bool:
    return name == room or name.startswith(f"{room}.")


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_rooms_it_may_know(module: str) -> None:
    room = max((room for room in MAY_KNOW if inside(module, room)), key=len, default=None)
    if room is None:
        return
    for name in imports(MODULES[module]):
        if name.split(".")[0] == "vidnst" and not inside(name, room):
            allowed = any(
                name == other or (other not in VOCABULARY and inside(name, other)) for other in MAY_KNOW[room]
            )
            assert allowed, f"{module} must not import {name}"


@pytest.mark.parametrize("module", MODULES)
def test_nothing_but_the_entry_points_knows_the_command_line(module: str) -> None:
    if any(inside(module, entry) for entry in COMMAND_LINE):
        return
    known = [name for name in imports(MODULES[module]) if any(inside(name, entry) for entry in COMMAND_LINE)]
    assert not known, f"{module} must not import {known[0]}"


@pytest.mark.parametrize("module", MODULES)
def test_a_library_is_imported_only_where_it_belongs(module: str) -> None:
    for name in imports(MODULES[module]):
        homes = OUTSIDE.get(name.split(".")[0])
        if homes is not None:
            assert any(inside(module, home) for home in homes), f"{module} must not import {name}"


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["render", "--help"], ["proof", "--help"], ["batch", "--help"], ["--version"], ["presets"]],
)
def test_nothing_heavy_loads_for_help(arguments: list[str]) -> None:
    script = (
        "import sys, runpy\n"
        f"sys.argv = ['vidnst', *{arguments!r}]\n"
        "try:\n"
        "    runpy.run_module('vidnst', run_name='__main__')\n"
        "except SystemExit as exit:\n"
        "    assert not exit.code, exit.code\n"
        "heavy = {'torch', 'torchvision', 'ray', 'cv2', 'numpy', 'scenedetect', 'skimage', 'scipy'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_importing_the_package_loads_nothing_heavy() -> None:
    script = "import sys, vidnst; assert not {'torch', 'ray', 'cv2', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
