"""Compare the temporal stability of renders of the same clip: `python tests/bench/steadiness.py RUN.vidnst ...`.

Give run folders that kept their frames (`--keep-frames`). Each becomes a row: evaluations of the loss, Lai's warping
error of neighbours (next to the source's own) and at gaps of 5 and 15 frames, the error at key frames over that
elsewhere, sharpness over the source's, and the mean losses, since a frozen or blurred clip games every other number.
Losses are the run's own; with `--style` VGG19 evaluates them, whatever network the run used. `vidnst measure
RUN.vidnst` reports more about a single one.
"""

import argparse
import sys
from pathlib import Path

from vidnst.errors import VidnstError
from vidnst.rendering.measure_output import MeasureRequest, measure_output

COLUMNS = (
    *("run", "evaluations", "error", "source's own", "5 apart", "15 apart"),
    *("at keys / elsewhere", "sharpness / source", "style loss", "content loss"),
)


def row(folder: Path, style: str | None) -> list[str]:
    """Measure a run folder and format its row."""
    request = MeasureRequest(folder, with_losses=False)
    if style is not None:
        request = MeasureRequest(folder, styles=(style,), backbone="vgg19")
    found = measure_output(request)
    errors = (found.error().output, found.error().source, found.error(5).output, found.error(15).output)
    ratios = (found.keys.ratio if found.keys else None, found.sharpness.ratio)
    losses = (found.losses.get("style"), found.losses.get("content"))
    cells = ["-" if number is None else f"{number:.3g}" for number in (*errors, *ratios, *losses)]
    return [folder.name.removesuffix(".vidnst"), str(found.evaluations or "-"), *cells]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--style", help="a picture; losses are evaluated in it by VGG19")
    options = parser.parse_args()
    for cells in (COLUMNS, ["---"] * len(COLUMNS)):
        sys.stdout.write(f"| {' | '.join(cells)} |\n")
    for folder in options.folders:
        if not any((folder / "frames").glob("*.png")):
            sys.exit(f"{folder} keeps no frames; render with --keep-frames")
        try:
            sys.stdout.write(f"| {' | '.join(row(folder, options.style))} |\n")
        except VidnstError as error:
            sys.exit(str(error))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
