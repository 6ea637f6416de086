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

ROOMS = (
    ("files", "processes", "devices"),
    ("config",),
    ("media", "motion", "style"),
    ("farm",),
    ("runs",),
    ("report",),
    ("rendering",),
    ("tools",),
    ("cli",),
)
"""The rooms from the bottom up. Each knows only rooms on lower floors; those of one floor do not know each other."""

FLOOR = {room: number for number, rooms in enumerate(ROOMS) for room in rooms}

PUBLIC = {"vidnst", "vidnst.api", "vidnst.__main__"}
"""The entry points, which know every room: the Python API, and the command line."""

OUTSIDE = {
    "torch": (
        *("vidnst.style", "vidnst.motion.raft", "vidnst.motion.gpu", "vidnst.files.weights_file"),
        *("vidnst.farm.workers", "vidnst.farm.network_work", "vidnst.farm.memory_fallback"),
        *("vidnst.farm.frame_transfer", "vidnst.farm.warm_start", "vidnst.farm.sound_work"),
        *("vidnst.tools.bench", "vidnst.tools.doctor", "vidnst.tools.distill", "vidnst.tools.pretrain"),
        *("vidnst.tools.checkpoints", "vidnst.devices"),
    ),
    "torchvision": ("vidnst.motion.raft", "vidnst.tools.doctor"),
    "ray": ("vidnst.farm.ray",),
    "cv2": ("vidnst.media", "vidnst.motion"),
    "skimage": ("vidnst.media.effects",),
    "scipy": ("vidnst.media.effects",),
    "imageio_ffmpeg": ("vidnst.media",),
    "av": (
        "vidnst.media.input.stream_reader",
        "vidnst.media.input.stream_decoder",
        "vidnst.media.input.picture_decoder",
    ),
    "OpenEXR": ("vidnst.media.input.picture_decoder", "vidnst.media.exr"),
    "PyOpenColorIO": ("vidnst.media.scene_light",),
    "scenedetect": ("vidnst.media",),
    "rich": ("vidnst.cli",),
    "typer": ("vidnst.cli",),
    "click": (),
    "pickle": (),
}
"""Which part of the package may import a library."""


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


def room_of(module: str) -> str | None:
    """The room of a module; None for the vocabulary and the helpers next to the rooms."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in FLOOR else None


def test_every_folder_is_a_room() -> None:
    assert {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"} == FLOOR.keys()


@pytest.mark.parametrize("module", sorted(MODULES.keys() - PUBLIC))
def test_module_imports_lower_rooms_only(module: str) -> None:
    room = room_of(module)
    for name in imports(MODULES[module]):
        other = room_of(name)
        if name.split(".")[0] != "vidnst" or other is None or other == room:
            continue
        assert FLOOR[other] < (-1 if room is None else FLOOR[room]), f"{module} must not import {name}"


@pytest.mark.parametrize("module", MODULES)
def test_library_stays_in_its_rooms(module: str) -> None:
    for name in imports(MODULES[module]):
        homes = OUTSIDE.get(name.split(".")[0])
        if homes is not None:
            assert any(inside(module, home) for home in homes), f"{module} must not import {name}"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--help-all"],
        ["render", "--help"],
        ["proof", "--help"],
        ["batch", "--help"],
        ["--version"],
        ["presets"],
    ],
)
def test_nothing_heavy_loads_for_help(arguments: list[str]) -> None:
    script = (
        "import sys, runpy\n"
        f"sys.argv = ['vidnst', *{arguments!r}]\n"
        "try:\n"
        "    runpy.run_module('vidnst', run_name='__main__')\n"
        "except SystemExit as exit:\n"
        "    assert not exit.code, exit.code\n"
        "heavy = {'torch', 'torchvision', 'ray', 'cv2', 'numpy', 'scenedetect', 'skimage', 'scipy', 'av'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_importing_the_package_loads_nothing_heavy() -> None:
    script = "import sys, vidnst; assert not {'torch', 'ray', 'cv2', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
