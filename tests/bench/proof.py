"""Compare a proof sheet with renders: `python tests/bench/proof.py --content PICTURE --style PICTURE ... -o FOLDER`.

The same settings are painted as cells of 192 pixels and at the size of a render; a cell at that size is what a render
makes of the frame. For each style it prints the relative style and content loss of every weight at both sizes, and
Spearman's rank correlation between the sizes: 1 where a sheet puts all weights in the order in which the render does.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

import vidnst
from vidnst.config.loader import load_config
from vidnst.tools.preview.proof import Proof

WEIGHTS = (1.0, 3.0, 8.0, 15.0, 40.0, 100.0)


def spearman(left: list[float], right: list[float]) -> float:
    """Spearman's rank correlation of values of which no two are equal."""
    ranks = [np.argsort(np.argsort(values)).astype(float) for values in (left, right)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def say(line: str) -> None:
    """Print a line without buffering."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--content", required=True)
    parser.add_argument("--style", action="append", required=True)
    parser.add_argument("--backbone", default="slim")
    parser.add_argument("--weights")
    parser.add_argument("--iterations", type=int, default=150)
    parser.add_argument("--size", type=int, default=640, help="of the render")
    parser.add_argument("--proof-size", type=int, default=192)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, required=True, help="a folder for the sheets")
    args = parser.parse_args()
    options = {"model.backbone": args.backbone, "model.weights": args.weights, "optimize.iterations": args.iterations}
    config = load_config(options={**options, "farm.threads": args.threads, "farm.workers": args.workers})
    args.output.mkdir(exist_ok=True)

    def sheet(style: str, size: int) -> Proof:
        name = args.output / f"{Path(style).stem}_{size}.png"
        axes = {"losses.style_weight": WEIGHTS}
        return vidnst.proof(args.content, style=style, output=name, config=config, axes=axes, size=size, overwrite=True)

    for style in args.style:
        sheets = {size: sheet(style, size).cells for size in (args.proof_size, args.size)}
        say(f"{Path(style).name}, {args.backbone}, {args.iterations} evaluations")
        say("  weight" + "".join(f"   style {size:4}  content {size:4}" for size in sheets))
        for row in zip(WEIGHTS, *sheets.values(), strict=True):
            weight, *cells = row
            numbers = "".join(f"   {cell.losses['style']:10.5f}  {cell.losses['content']:12.5f}" for cell in cells)
            say(f"  {weight:6g}{numbers}")
        for term in ("style", "content"):
            small, large = ([cell.losses[term] for cell in cells] for cells in sheets.values())
            say(f"  Spearman of {term} loss between the sizes: {spearman(small, large):.3f}")


if __name__ == "__main__":
    main()
