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
    "vidnst.parallel": set(),
    "vidnst.weights_file": {"vidnst.errors"},
    "vidnst.determinism": set(),
    "vidnst.media": VOCABULARY | {"vidnst.parallel"},
    "vidnst.motion": VOCABULARY,
    "vidnst.media.effects": VOCABULARY,
    "vidnst.style.guidance": VOCABULARY,
    "vidnst.style": VOCABULARY | {"vidnst.style.guidance", "vidnst.weights_file", "vidnst.determinism"},
    "vidnst.motion.gpu": VOCABULARY | {"vidnst.motion"},
    "vidnst.motion.raft": VOCABULARY | {"vidnst.weights_file", "vidnst.determinism", "vidnst.motion"},
    "vidnst.farm.plan": VOCABULARY,
    "vidnst.report.measure.result": VOCABULARY,
    "vidnst.report.html": VOCABULARY,
    "vidnst.runs.log_summary": VOCABULARY,
    "vidnst.report.measure.meter": VOCABULARY | {"vidnst.motion", "vidnst.report.measure.result"},
    "vidnst.runs": VOCABULARY | {"vidnst.farm.plan"},
    "vidnst.render.styles.timeline": VOCABULARY | {"vidnst.style.guidance"},
    "vidnst.farm": VOCABULARY
    | {"vidnst.parallel", "vidnst.style.guidance", "vidnst.farm.plan", "vidnst.motion", "vidnst.style.memory.modes"},
    "vidnst.farm.memory_fallback": VOCABULARY | {"vidnst.style", "vidnst.farm"},
    "vidnst.farm.workers": (
        VOCABULARY
        | {
            "vidnst.style.guidance",
            "vidnst.farm.plan",
            "vidnst.motion",
            "vidnst.motion.gpu",
            "vidnst.style",
            "vidnst.motion.raft",
        }
        | {"vidnst.farm"}
    ),
}
"""For each room the rooms it may import from, besides itself. The longest name that fits counts."""

COMMAND_LINE = (
    "vidnst.__main__",
    "vidnst.cli.app",
    "vidnst.cli.commands",
    "vidnst.cli.tables",
    "vidnst.cli.tables_bench",
    "vidnst.cli.tables_forecast",
    "vidnst.cli.progress",
)
"""What only knows the others, and is known to none of them."""

OUTSIDE = {
    "torch": (
        *("vidnst.style", "vidnst.motion.raft", "vidnst.motion.gpu", "vidnst.weights_file", "vidnst.determinism"),
        *(
            "vidnst.farm.workers",
            "vidnst.farm.memory_fallback",
            "vidnst.tools.bench",
            "vidnst.tools.doctor",
            "vidnst.tools.distill",
        ),
    ),
    "torchvision": ("vidnst.motion.raft", "vidnst.tools.doctor"),
    "ray": ("vidnst.farm.ray",),
    "cv2": ("vidnst.media", "vidnst.motion", "vidnst.media.effects"),
    "skimage": ("vidnst.media.effects",),
    "scipy": ("vidnst.media.effects",),
    "imageio_ffmpeg": ("vidnst.media",),
    "scenedetect": ("vidnst.media",),
    "rich": ("vidnst.cli.tables", "vidnst.cli.tables_bench", "vidnst.cli.tables_forecast", "vidnst.cli.progress"),
    "typer": ("vidnst.cli.app", "vidnst.cli.commands"),
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
