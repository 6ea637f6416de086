"""What the parts find: rows of a table, and figures. Written as Markdown and as JSON."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OK = "OK"
FAIL = "FAIL"
LOOK = "LOOK"
"""Something that is not wrong, but that a person should look at."""
NEEDS_CUDA = "needs CUDA"
NEEDS_PACKAGE = "needs a package"
LEFT_OUT = "left out"
"""No time was left."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    part: str
    what: str
    value: str
    verdict: str = ""
    """Empty for a figure that is neither right nor wrong."""


@dataclass(slots=True)
class Findings:
    """All that was found."""

    machine: dict[str, Any] = field(default_factory=dict)
    """The card's name, versions and settings."""
    rows: list[Row] = field(default_factory=list)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Figures of each part."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Of each part that ended."""

    @property
    def verdicts(self) -> Counter[str]:
        """How often each verdict was given."""
        return Counter(row.verdict for row in self.rows if row.verdict)

    @property
    def passed(self) -> bool:
        """True if nothing failed, and nothing was left out."""
        return not self.verdicts[FAIL] and not self.verdicts[LEFT_OUT]

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write the table and the figures, named after the card."""
        stem = folder / file_stem(self.machine)
        table, figures = stem.with_suffix(".md"), stem.with_suffix(".json")
        table.write_text(self.to_markdown(), "utf-8")
        values = {
            "machine": self.machine,
            "passed": self.passed,
            "rows": [[row.part, row.what, row.value, row.verdict] for row in self.rows],
            "facts": self.facts,
            "seconds": self.seconds,
        }
        figures.write_text(json.dumps(values, indent=1, default=str) + "\n", "utf-8")
        return table, figures

    def to_markdown(self) -> str:
        """The table, below a line about the machine and one about the verdicts."""
        dry = " (dry run on a CPU: figures mean nothing)" if self.machine.get("dry") else ""
        about = ", ".join(f"{name} {value}" for name, value in self.machine.items() if name not in ("card", "dry"))
        counts = ", ".join(f"{verdict} {count}" for verdict, count in sorted(self.verdicts.items()))
        lines = [f"# {self.machine.get('card', 'unknown')}{dry}", "", f"{about}.", ""]
        lines += [f"Verdicts: {counts or 'none'}. All parts took {sum(self.seconds.values()):.0f} s.", ""]
        lines += ["| part | what | found | verdict |", "|---|---|---|---|"]
        lines += [
            f"| {row.part} | {_cell(row.what)} | {_cell(row.value)} | {_bold(row.verdict)} |" for row in self.rows
        ]
        lines += ["", "Seconds: " + ", ".join(f"{part} {took:.1f}" for part, took in self.seconds.items()) + "."]
        return "\n".join(lines) + "\n"


def file_stem(machine: Mapping[str, Any]) -> str:
    """A name for files about a machine: `nvidia-h200`, or `dry-run`."""
    name = "dry-run" if machine.get("dry") else str(machine.get("card", "unknown"))
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "unknown"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _bold(verdict: str) -> str:
    return f"**{verdict}**" if verdict in (FAIL, LOOK) else verdict
