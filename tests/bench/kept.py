"""Write a table of what each kind of output keeps of sources that hold all kinds of things.

    python tests/bench/kept.py [--output FILE.md]

The sources are generated, small, and passed through the encoder without painting. A cell compares what the
outputs really hold, read with PyAV, Pillow, OpenCV and OpenEXR, with what the table of `vidnst probe` says: `lost in
silence` must not occur.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from support import kept_media

from vidnst.media.output.fates import Fate


def main() -> None:
    """Encode all combinations and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="the Markdown file; default: standard output")
    given = parser.parse_args()
    lines = [f"| source | feature | {' | '.join(kept_media.OUTPUTS)} |", "|---" * (2 + len(kept_media.OUTPUTS)) + "|"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for source, path in kept_media.write_sources(folder).items():
            columns = [_column(source, path, folder / source / output) for output in kept_media.OUTPUTS]
            lines += [f"| {source} | {name} | {' | '.join(c[name] for c in columns)} |" for name in columns[0]]
    text = "\n".join(lines) + "\n"
    if given.output is None:
        sys.stdout.write(text)
    else:
        given.output.write_text(text, "utf-8")


def _column(source: str, path: Path, output: Path) -> dict[str, str]:
    frames = output.with_name(f"{output.name} frames")
    frames.mkdir(parents=True)
    _, rows = kept_media.convert(path, output, frames)
    found, table = kept_media.read_features(output), {row.name: row for row in rows}
    cells = {}
    for feature, wanted in kept_media.features_of(source).items():
        told = {table[name].fate for name in kept_media.ROWS[feature] if name in table} - {Fate.KEPT}
        if kept_media.is_kept(feature, wanted, found):
            cells[feature] = "changed" if Fate.CHANGED in told else "kept"
        else:
            cells[feature] = ", ".join(sorted(told)) or "lost in silence"
    return cells


if __name__ == "__main__":
    main()
