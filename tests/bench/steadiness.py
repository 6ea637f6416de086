"""Compare the temporal stability of renders of the same clip: `python tests/bench/steadiness.py RUN.vidnst ...`.

Give run folders that kept their frames (`--keep-frames`), or folders of frames with `--source` and its range. Each
becomes a row: evaluations of the loss, Lai's warping error of neighbours (next to the source's own) and at gaps of 5
and 15 frames, the error at key frames over that elsewhere, sharpness over the source's, and the mean losses, since a
frozen or blurred clip games every other number. Losses are the run's own; with `--style` the whole VGG19 evaluates
them. `vidnst measure RUN.vidnst` reports more about a single one.
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


def row(request: MeasureRequest) -> list[str]:
    """Measure frames and format their row."""
    found = measure_output(request)
    errors = (found.error().output, found.error().source, found.error(5).output, found.error(15).output)
    ratios = (found.keys.ratio if found.keys else None, found.sharpness.ratio)
    losses = (found.losses.get("style"), found.losses.get("content"))
    cells = ["-" if number is None else f"{number:.3g}" for number in (*errors, *ratios, *losses)]
    return [request.output.name.removesuffix(".vidnst"), str(found.evaluations or "-"), *cells]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--style", help="a picture; losses are evaluated in it by VGG19")
    parser.add_argument("--source", help="of folders of frames")
    parser.add_argument("--start", help="of the source")
    parser.add_argument("--end", help="of the source")
    options = parser.parse_args()
    for cells in (COLUMNS, ["---"] * len(COLUMNS)):
        sys.stdout.write(f"| {' | '.join(cells)} |\n")
    for folder in options.folders:
        if options.source is None and not any((folder / "frames").glob("*.png")):
            sys.exit(f"{folder} keeps no frames; render with --keep-frames")
        request = MeasureRequest(
            folder,
            source=options.source,
            styles=(options.style,) if options.style else (),
            backbone="vgg19",
            start=options.start,
            end=options.end,
            with_losses=options.style is not None,
        )
        try:
            sys.stdout.write(f"| {' | '.join(row(request))} |\n")
        except VidnstError as error:
            sys.exit(str(error))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
