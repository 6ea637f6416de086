"""ARCHITECTURE.md tells the truth: the rooms it draws are those that the imports make, and its files exist."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
ROOMS = (
    *("files", "processes", "devices", "config", "media", "motion", "style"),
    *("farm", "runs", "report", "rendering", "tools", "cli"),
)
_IMPORT = re.compile(r"^\s*(?:from|import) vidnst\.(\w+)", re.MULTILINE)


def room_graph() -> list[str]:
    """Draw which rooms each room imports, a line for each."""
    lines = []
    for room in ROOMS:
        known = {
            name for path in (ROOT / "vidnst" / room).rglob("*.py") for name in _IMPORT.findall(path.read_text("utf-8"))
        }
        listed = ", ".join(other for other in ROOMS if other in known - {room}) or "-"
        lines.append(f"{room:<10} imports {listed}")
    return lines


def test_room_graph_is_that_of_the_imports() -> None:
    drawn = re.search(r"```\n(files +imports .*?)```", PAGE, re.DOTALL)
    assert drawn is not None
    assert drawn[1].splitlines() == room_graph()


def test_named_files_exist() -> None:
    named = set(re.findall(r"`((?:[\w-]+/)+[\w-]*(?:\.\w+)?|[\w/]+\.py)`", PAGE))
    places = (
        ROOT,
        ROOT / "vidnst",
        *(ROOT / "vidnst" / room for room in ROOMS),
        ROOT / "vidnst" / "style" / "textures",
    )
    missing = {name for name in named if not any((place / name).exists() for place in places)}
    assert not missing
