"""Results of single commands: paths, plans, sources, checks, weights."""

import dataclasses
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from vidnst.cli import terminal
from vidnst.cli.tables.basics import make_table, write_json, write_json_line, write_pairs
from vidnst.formatting import printable

if TYPE_CHECKING:  # they bring numpy and torch
    from vidnst.frames import ClipInfo
    from vidnst.media.output.fates import FateRow
    from vidnst.motion.raft import RaftReport
    from vidnst.style.network.weights import WeightsReport
    from vidnst.style.transform.network_file import NetworkFile
    from vidnst.tools.choose_keys import KeyChoices
    from vidnst.tools.doctor import Check

_VALUE_COLUMNS = 55
_PATHS = frozenset({"source", "output", "run_folder"})
_KEY_ROW = "key of frame "


def write_result(path: Path, *, as_json: bool = False) -> None:
    """Write the path of a result, alone on stdout (as JSON it was in the last event)."""
    if not as_json:
        terminal.out.name(str(path))


def write_keys(choices: "KeyChoices", *, as_json: bool) -> None:
    """Write the frames worth painting to stdout, and how much of the clip follows them to stderr."""
    if as_json:
        write_json_line(choices)
        return
    for key in choices.keys:
        terminal.out.name(str(key.path))
    terminal.err.message(
        f"{choices.coverage:.0%} of all pixels can be traced to a key, least of frame {choices.poorest_frame}"
        f" ({choices.poorest_share:.0%}); {choices.sheet} shows what each key covers"
    )


def write_address(url: str, *, token: bool) -> None:
    """Write the address of a page to stdout, and what to know about it to stderr."""
    terminal.out.line(url)
    if token:
        terminal.err.message("add ?token=... to the address the first time; Ctrl-C stops the server")


def write_plan(outline: dict[str, Any], *, as_json: bool) -> None:
    """Write what a render would do."""
    if as_json:
        write_json(outline)
    else:
        write_pairs(_lines_of(_readable(outline)))


def _readable(outline: dict[str, Any]) -> dict[str, Any]:
    """Return what a person wants to know of an outline; JSON has all of it, with every setting."""
    shots = outline["shots"]
    notes = dict.fromkeys([*outline["fates"], *outline["warnings"]])
    return {
        **{key: outline[key] for key in ("source", "output", "run_folder")},
        "styles": ", ".join(Path(style).name for style in outline["styles"]),
        "frames": f"{outline['frames']} ({outline['range'][0]} to {outline['range'][1] - 1})",
        "size": "{}x{}".format(*outline["size"]),
        "rate": f"{outline['rate']}{', variable' if outline['variable_rate'] else ''}",
        "audio": outline["audio"] or "none",
        "schedule": outline["schedule"],
        "shots": len(shots),
        "nodes": ", ".join(f"{count} {role}" for role, count in outline["nodes"].items()),
        "evaluations": outline["evaluations"],
        **{f"{_KEY_ROW}{frame}": path for frame, path in outline["keys"].items()},
        **{f"existing {name}": words for name, words in outline["existing"].items()},
        **{f"note {number}": note for number, note in enumerate(notes, start=1)},
    }


def _lines_of(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each value in lines of 80 columns, the first with its name; paths stay whole."""
    for key, value in values.items():
        words = printable(str(value))
        lines = [words] if key in _PATHS or key.startswith(_KEY_ROW) else textwrap.wrap(words, _VALUE_COLUMNS)
        yield key, lines[0] if lines else ""
        yield from (("", line) for line in lines[1:])


_HOW_IT_IS_READ = frozenset({"decoder", "background", "plane"})


def write_clip(clip: "ClipInfo", fates: "Sequence[FateRow]", output: Path, *, as_json: bool) -> None:
    """Write what a source contains, and what becomes of it in an output."""
    from vidnst.media.output.chroma import chroma_name

    values = {field.name: getattr(clip, field.name) for field in dataclasses.fields(clip)}
    stamps = values.pop("pts_seconds")
    values = {name: value for name, value in values.items() if name not in _HOW_IT_IS_READ}
    summary = values | {"frame_count": clip.frame_count, "duration_seconds": clip.duration_seconds}
    if as_json:
        lists = {"paths": [str(path) for path in clip.paths], "pts_seconds": [str(stamp) for stamp in stamps]}
        write_json(summary | lists | {"output": output, "fates": [dataclasses.asdict(row) for row in fates]})
        return
    summary["paths"] = clip.paths[0] if len(clip.paths) == 1 else f"{clip.paths[0]} ... {clip.paths[-1]}"
    summary["hdr"] = None if clip.hdr is None else f"{clip.hdr.transfer}, peak {clip.hdr.peak_nits:g} cd/m2"
    summary["chroma"] = chroma_name(clip.chroma)
    summary["numbers"] = f"{clip.numbers[0]} to {clip.numbers[-1]}" if clip.numbers else ""
    summary["rate"] = f"{clip.rate} ({float(clip.rate):.3f} frames per second)"
    summary["duration_seconds"] = f"{float(clip.duration_seconds):.3f}"
    summary["last_duration_seconds"] = f"{float(clip.last_duration_seconds):.3f}"
    summary["notes"] = ". ".join(clip.notes) or None
    summary["first and last frame at"] = f"{float(stamps[0]):.3f} s, {float(stamps[-1]):.3f} s"
    write_pairs(summary.items())
    rows = [(row.name, row.value, row.fate, row.how) for row in fates]
    columns = ("source holds", "what", output.name, "how or why")
    terminal.out.line()
    terminal.out.show(make_table(columns, rows, left=columns))


def write_checks(checks: "Iterable[Check]", *, as_json: bool) -> bool:
    """Write each check as soon as it is done, with its remedy; return True if a render at the defaults works."""
    works, rows = True, []
    for check in checks:
        works &= not check.blocks
        rows.append(dataclasses.asdict(check))
        if not as_json:
            verdict = Text("ok", "green") if check.ok else Text("no", "red" if check.blocks else "yellow")
            terminal.out.show(verdict.append(printable(f"  {check.name:<9}{check.found}"), "default"), wrap=False)
            if check.needed_for and not check.ok:
                terminal.out.line(f"             optional: only {check.needed_for} needs it")
            if check.remedy:
                terminal.out.line(f"             -> {check.remedy}")
    if as_json:
        write_json(rows)
    return works


def write_network(network: "NetworkFile", path: Path, *, as_json: bool) -> None:
    """Write what a transform network has learned."""
    values = {"file": str(path), "styles_learned": network.styles, "fingerprint": network.fingerprint}
    if as_json:
        write_json_line(values | {"notes": dict(network.notes)})
    else:
        write_pairs([*values.items(), *network.notes.items()])


def write_weights(report: "WeightsReport | RaftReport", *, as_json: bool, after_events: bool = False) -> None:
    """Write what a weights file contains, on one line if the command has written events before."""
    values = dataclasses.asdict(report)
    if as_json:
        (write_json_line if after_events else write_json)(values)
        return
    notes: dict[str, str] = values.pop("notes", {})
    write_pairs([*values.items(), *notes.items()])


def write_weights_list(found: "Iterable[tuple[str, WeightsReport]]", *, as_json: bool) -> None:
    """Write what each weights file on this machine contains, and how to ask for it."""
    rows = [{"use": use, **dataclasses.asdict(report)} for use, report in found]
    if as_json:
        write_json(rows)
        return
    for number, row in enumerate(rows):
        notes: dict[str, str] = row.pop("notes")
        licence = {name: text for name, text in notes.items() if name in ("package", "licence")}
        if number:
            terminal.out.line()
        write_pairs([*row.items(), *licence.items()])
