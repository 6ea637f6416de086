"""Draw the gallery: every control off and on, with vidnst itself, from what lies in this folder.

    python samples/make_gallery.py                 all of it, into samples/gallery
    python samples/make_gallery.py --only colour   the exhibits whose names have that in them

Drafts with the backbone that ships, in a quarter of an hour of one core; the seeds are fixed. The page is
samples/gallery/README.md.
"""

import argparse
import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import vidnst
from vidnst.frames import Pixels
from vidnst.media.decode import FrameReader
from vidnst.media.pictures import read_picture, write_picture
from vidnst.media.probe import probe
from vidnst.presets import load_config

SAMPLES = Path(__file__).resolve().parent
GALLERY = SAMPLES / "gallery"
PANEL = (240, 135)
COMMON = (
    "input.size=240",
    "losses.content_layers={relu3_4: 1}",
    "model.backbone=slim",
    "optimize.iterations=100",
    "farm.executor=inline",
    "farm.threads=1",
    "output.measure=false",
)


@dataclass(frozen=True)
class Look:
    """One render: what stands on either side of an exhibit."""

    settings: tuple[str, ...] = ()
    """As after --set."""
    styles: tuple[str, ...] = ("swirls.jpg",)
    """Of samples/styles, with weights and whatever may follow a name."""
    source: str = "timelapse.mp4"
    frames: tuple[int, ...] = (34,)
    """Those that are shown, side by side; all from the first to the last are rendered."""
    preset: str | None = None


@dataclass(frozen=True)
class Exhibit:
    """A control off and on."""

    name: str
    chapter: str
    text: str
    """What it does, and how it is set."""
    on: Look
    off: Look = Look()


STRIP = (30, 34, 38)
"""Frames of a strip."""


def on(*settings: str, **how: Any) -> Look:
    """A look that is the usual one but for these settings."""
    return Look(settings, **how)


EXHIBITS = [
    Exhibit("style-weight", "Style", "`losses.style_weight` 15, 150", on("losses.style_weight=150")),
    Exhibit(
        "style-layers",
        "Style",
        "`losses.style_layers`: all five, the first two",
        on("losses.style_layers={relu1_1: 1, relu2_1: 1}"),
    ),
    *(
        Exhibit(f"kind-{kind}", "Style", f"`--style-loss` gram, {kind}", on(f"losses.style_kinds={{{kind}: 1}}"))
        for kind in ("moments", "mmd_linear", "mmd_polynomial", "mmd_gaussian", "wasserstein", "sliced")
    ),
    Exhibit(
        "kind-mix",
        "Style",
        "`losses.style_kinds` `{gram: 1}`, `{gram: 1, sliced: 1, moments: 0.5}`",
        on("losses.style_kinds={gram: 1, sliced: 1, moments: 0.5}"),
    ),
    Exhibit("scale-small", "Style", "`--style-scale` 1, 0.5", on("styles.scale=0.5")),
    Exhibit("scale-large", "Style", "`--style-scale` 1, 2", on("styles.scale=2")),
    Exhibit("scales", "Style", "`styles.scales` `[1]`, `[0.5, 1, 2]`", on("styles.scales=[0.5, 1, 2]")),
    Exhibit(
        "turns",
        "Style",
        "`styles.turns` `[0]`, `[0, 90, 180, 270]` with `styles.mirror`; the style is `woodcut`",
        on("styles.turns=[0, 90, 180, 270]", "styles.mirror=true", styles=("woodcut.jpg",)),
        on(styles=("woodcut.jpg",)),
    ),
    Exhibit("content-weight", "Content", "`losses.content_weight` 1, 8", on("losses.content_weight=8")),
    Exhibit(
        "content-layers",
        "Content",
        "`losses.content_layers` `{relu4_2: 1}`, `{relu3_1: 1, relu3_4: 1}`",
        on("losses.content_layers={relu3_1: 1, relu3_4: 1}"),
        on("losses.content_layers={relu4_2: 1}"),
    ),
    Exhibit("edges", "Content", "`losses.edges_weight` 0, 3", on("losses.edges_weight=3")),
    Exhibit("tv", "Content", "`losses.tv_weight` 2, 60", on("losses.tv_weight=60")),
    Exhibit("optimizer", "Optimisation", "`--optimizer` adam, lbfgs", on("optimize.optimizer=lbfgs")),
    Exhibit("scales-of-frame", "Optimisation", "`optimize.scales` 2, 1", on("optimize.scales=1")),
    Exhibit("init-noise", "Optimisation", "`--init` content, noise", on("optimize.init=noise")),
    Exhibit("init-blend", "Optimisation", "`--init` content, blend", on("optimize.init=blend")),
    Exhibit(
        "init-style",
        "Optimisation",
        "`--init` content, style; `losses.content_weight` 10",
        on("optimize.init=style", "losses.content_weight=10"),
        on("losses.content_weight=10"),
    ),
    Exhibit(
        "match-init",
        "Optimisation",
        "`optimize.match_init` false, true, after 8 evaluations",
        on("optimize.match_init=true", "optimize.iterations=8"),
        on("optimize.iterations=8"),
    ),
    Exhibit(
        "seed",
        "Optimisation",
        "`--seed` 0, 1, from noise",
        on("optimize.init=noise", "optimize.seed=1"),
        on("optimize.init=noise"),
    ),
    Exhibit("stop", "Optimisation", "`optimize.stop_at_loss` null, 1.5", on("optimize.stop_at_loss=1.5")),
    Exhibit("pooling", "Network", "`model.pooling` max, average", on("model.pooling=average")),
    Exhibit("padding", "Network", "`model.padding` zeros, replicate", on("model.padding=replicate")),
    Exhibit("keep-luminance", "Colour", "`--colour luminance`", on("colour.keep=luminance")),
    Exhibit("keep-matched", "Colour", "`--keep-colours`", on("colour.keep=matched")),
    *(
        Exhibit(f"transfer-{way}", "Colour", f"`--colour {way}`", on(f"colour.transfer={way}"))
        for way in ("histogram", "moments", "optimal")
    ),
    Exhibit(
        "photo",
        "Photographs",
        "`--preset photo`: the boat by day after the bay at dusk; off: `photo.enabled` false",
        on(preset="photo", source="burst", frames=(0,), styles=("dusk",)),
        on("photo.enabled=false", preset="photo", source="burst", frames=(0,), styles=("dusk",)),
    ),
    Exhibit("palette", "Classical looks", "`--filter palette:10`", on("filters.after=[palette:10]")),
    Exhibit(
        "palette-alone",
        "Classical looks",
        "`--filter palette:6 --iterations 0`, without a style",
        on("filters.after=[palette:6]", "optimize.iterations=0", styles=()),
        on("optimize.iterations=0", styles=()),
    ),
    Exhibit(
        "superpixels",
        "Classical looks",
        "`--filter superpixels:300 --iterations 0`: cells move with the picture",
        on("filters.after=[superpixels:300]", "optimize.iterations=0", styles=(), frames=STRIP),
        on("optimize.iterations=0", styles=(), frames=STRIP),
    ),
    Exhibit(
        "filter-before",
        "Classical looks",
        "`--filter-before superpixels:150`",
        on("filters.before=[superpixels:150]"),
    ),
]
"""In the order of the page."""


def rendered(look: Look, folder: Path) -> NDArray[np.uint8]:
    """The frames of a look, `(H, W, 3)` RGB side by side; each look is rendered once."""
    first, last = look.frames[0], look.frames[-1]
    output = folder / hashlib.sha256(repr(look).encode()).hexdigest()[:16]
    if not output.exists():
        spans = (f"input.start={first}", f"input.end={last + 1}")
        config = load_config(preset=look.preset, assignments=(*COMMON, *spans, *look.settings))
        styles = [str(style_path(name, folder)) for name in look.styles]
        vidnst.render(SAMPLES / look.source, style=styles, output=output, config=config)
    return np.hstack([panel(read_picture(output / f"{index:06d}.png")) for index in look.frames]).astype(np.uint8)


def style_path(name: str, folder: Path) -> Path:
    """A style of the samples, or the bay at dusk: the last frame of the clip."""
    if name != "dusk":
        return SAMPLES / "styles" / name
    path = folder / "dusk.png"
    with FrameReader(probe(SAMPLES / "timelapse.mp4")) as reader:
        write_picture(path, reader.read(64).pixels)
    return path


def panel(picture: Pixels) -> NDArray[np.uint8]:
    """A picture at the size in which it is shown."""
    small = cv2.resize(picture.astype(np.uint8), PANEL, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def page(exhibits: list[Exhibit]) -> str:
    """The gallery's text."""
    lines = [
        "# Gallery",
        "",
        "Every control, off (left) and on (right): drafts of the samples at 240 pixels with `--backbone slim`, 100",
        "evaluations, made by `python samples/make_gallery.py`. Larger renders with VGG19 are finer; what a control",
        "does is the same. Settings are written as after `--set`.",
    ]
    for chapter in dict.fromkeys(exhibit.chapter for exhibit in exhibits):
        lines += ["", f"## {chapter}", "", "| | off, on |", "|---|---|"]
        for exhibit in exhibits:
            if exhibit.chapter == chapter:
                lines.append(f"| {exhibit.text} | ![off and on]({exhibit.name}.jpg) |")
    return "\n".join(lines) + "\n"


def drawn(exhibit: Exhibit, folder: Path) -> NDArray[np.uint8]:
    """Off beside on, or above it where each shows several frames."""
    off, on = rendered(exhibit.off, folder), rendered(exhibit.on, folder)
    across = len(exhibit.on.frames) == 1
    gap = np.full((len(on), 6, 3) if across else (6, on.shape[1], 3), 255, np.uint8)
    return np.concatenate([off, gap, on], axis=1 if across else 0)


def main() -> None:
    """Draw what was asked for, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="exhibits whose names have this in them")
    parser.add_argument("--into", type=Path, default=GALLERY)
    options = parser.parse_args()
    options.into.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for exhibit in EXHIBITS:
            if options.only in exhibit.name:
                shown = cv2.cvtColor(drawn(exhibit, Path(folder)), cv2.COLOR_RGB2BGR)
                cv2.imwrite(str(options.into / f"{exhibit.name}.jpg"), shown, (cv2.IMWRITE_JPEG_QUALITY, 80))
    (options.into / "README.md").write_text(page(EXHIBITS), "utf-8")


if __name__ == "__main__":
    main()
