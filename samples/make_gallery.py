"""Draw the gallery: every control off and on, with vidnst itself, from the samples in this folder.

    python samples/make_gallery.py                 all of it, into samples/gallery
    python samples/make_gallery.py --only colour   the exhibits whose names contain a text

Drafts with the bundled backbone; the seeds are fixed. It took half an hour on two cores that had two other jobs. The
page is samples/gallery/README.md.
"""

import argparse
import hashlib
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import vidnst
from vidnst.config.loader import load_config
from vidnst.frames import Pixels
from vidnst.media.images import read_image, write_image
from vidnst.media.input.frame_reader import FrameReader
from vidnst.media.input.probe import probe

SAMPLES = Path(__file__).resolve().parent
GALLERY = SAMPLES / "gallery"
PANEL = (240, 135)
COMMON = (
    "input.size=240",
    "model.backbone=slim",
    "optimize.iterations=100",
    "farm.executor=inline",
    "farm.threads=1",
    "output.measure=false",
)


@dataclass(frozen=True)
class GalleryRender:
    """The render on one side of an exhibit."""

    settings: tuple[str, ...] = ()
    """As after --set."""
    styles: tuple[str, ...] = ("swirls.jpg",)
    """Files of samples/styles, with weights and whatever else may follow a name."""
    source: str = "timelapse.mp4"
    frames: tuple[int, ...] = (34,)
    """Frames that are shown side by side; all from the first to the last are rendered."""
    preset: str | None = None


@dataclass(frozen=True)
class Exhibit:
    """A control off and on."""

    name: str
    chapter: str
    text: str
    """The setting and its two values."""
    on: GalleryRender
    off: GalleryRender = GalleryRender()


STEADY = ("schedule.passes=3", "schedule.spacing=4", "optimize.iterations=60")
"""Settings of exhibits with several frames."""
STRIP = (30, 34, 38)
"""Frames of a strip."""


def on(*settings: str, **how: Any) -> GalleryRender:
    """Change settings of the default render."""
    return GalleryRender(settings, **how)


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
    ),
    Exhibit("edges", "Content", "`losses.edges_weight` 0, 3", on("losses.edges_weight=3")),
    Exhibit("tv", "Content", "`losses.tv_weight` 6, 60", on("losses.tv_weight=60")),
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
    Exhibit("stop", "Optimisation", "`optimize.stop_at_loss` null, 3", on("optimize.stop_at_loss=3")),
    Exhibit(
        "several",
        "Several styles",
        "`--style swirls.jpg`; `--style swirls.jpg:2 --style woodcut.jpg:1`",
        on(styles=("swirls.jpg:2", "woodcut.jpg:1")),
    ),
    Exhibit(
        "over-time",
        "Several styles",
        "`--style swirls.jpg@30 --style mosaic.jpg@38`: from one to the other in 8 frames",
        on(*STEADY, styles=("swirls.jpg@30", "mosaic.jpg@38"), frames=STRIP),
        on(*STEADY, frames=STRIP),
    ),
    Exhibit(
        "per-shot",
        "Several styles",
        "`--style swirls.jpg --style woodcut.jpg@shot1`: the second shot begins at frame 34",
        on(*STEADY, "input.shots=[34]", styles=("swirls.jpg", "woodcut.jpg@shot1"), frames=STRIP),
        on(*STEADY, "input.shots=[34]", frames=STRIP),
    ),
    Exhibit(
        "style-clip",
        "Several styles",
        "`--style CLIP`: a style for every frame, here `swirls` going from blue to orange",
        on(*STEADY, styles=("turning",), frames=STRIP),
        on(*STEADY, frames=STRIP),
    ),
    Exhibit(
        "region",
        "Regions",
        "`--region sky=MASK --style swirls.jpg#sky --style woodcut.jpg`",
        on("regions.masks.sky=<sky>", styles=("swirls.jpg#sky", "woodcut.jpg")),
        on(styles=("swirls.jpg", "woodcut.jpg")),
    ),
    Exhibit(
        "region-bare",
        "Regions",
        "`--region land=MASK --style swirls.jpg`: no style for the sea and the land",
        on("regions.masks.land=<land>"),
    ),
    Exhibit(
        "feather",
        "Regions",
        "`regions.feather` 0, 0.15",
        on("regions.masks.land=<land>", "regions.feather=0.15"),
        on("regions.masks.land=<land>", "regions.feather=0"),
    ),
    Exhibit(
        "follow",
        "Regions",
        "`regions.follow` false, true: a mask of the boat in the first picture of a burst, after 7 more",
        on("regions.masks.boat=<boat>", source="burst", frames=(0, 4, 7), styles=("swirls.jpg",)),
        on("regions.masks.boat=<boat>", "regions.follow=false", source="burst", frames=(0, 4, 7)),
    ),
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
    *(
        Exhibit(
            f"recipe-{name}",
            "Recipes",
            f"`--preset {name}`, with 100 evaluations instead of its own number",
            on(preset=name, styles=("swirls.jpg:100", "woodcut.jpg:45") if name == "two_styles" else ("swirls.jpg",)),
        )
        for name in ("gatys2015", "slices", "noisemix", "tvmix", "early_layers", "two_styles")
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


def rendered(setup: GalleryRender, folder: Path) -> NDArray[np.uint8]:
    """Render, and join the shown frames `(H, W, 3)` side by side."""
    output = rendered_into(setup, folder)
    return np.hstack([panel(read_image(output / f"{index:06d}.png")) for index in setup.frames]).astype(np.uint8)


def rendered_into(setup: GalleryRender, folder: Path) -> Path:
    """Render once, and return the folder of the frames."""
    first, last = setup.frames[0], setup.frames[-1]
    output = folder / hashlib.sha256(repr(setup).encode()).hexdigest()[:16]
    if not output.exists():
        spans = (f"input.start={first}", f"input.end={last + 1}")
        settings = (re.sub("<(.*)>", lambda found: str(mask(found[1], folder)), text) for text in setup.settings)
        config = load_config(preset=setup.preset, assignments=(*COMMON, *spans, *settings))
        styles = [style_path(name, folder) for name in setup.styles]
        vidnst.render(SAMPLES / setup.source, style=styles, output=output, config=config)
    return output


def style_path(name: str, folder: Path) -> str:
    """A style as after --style: of the samples, the bay at dusk, or a clip that goes from blue to orange."""
    if name == "dusk":
        with FrameReader(probe(SAMPLES / "timelapse.mp4")) as reader:
            write_image(folder / "dusk.png", reader.read(64).pixels)
        return str(folder / "dusk.png")
    if name == "turning":
        clip = folder / "turning"
        clip.mkdir(exist_ok=True)
        swirls = read_image(SAMPLES / "styles" / "swirls.jpg")
        for index in range(STRIP[-1] + 1):
            blue = min(1.0, (STRIP[-1] - index) / (STRIP[-1] - STRIP[0]))
            turned = swirls * blue + swirls[..., ::-1] * (1 - blue)
            write_image(clip / f"{index:03}.png", np.rint(turned).astype(np.uint8))
        return str(clip)
    return str(SAMPLES / "styles" / name)


def mask(name: str, folder: Path) -> Path:
    """A mask as somebody might paint it, white inside, drawn over a picture of 640 pixels."""
    across = np.linspace(0, 640, 9)
    horizon = np.column_stack([across, [188, 176, 186, 196, 204, 204, 204, 198, 176]])
    outlines = {
        "sky": np.vstack([horizon, [(640, 0), (0, 0)]]),
        "land": np.vstack([horizon, [(640, 360), (0, 360)]]),
        "boat": np.array([(90, 230), (200, 50), (235, 40), (330, 225), (330, 285), (105, 295)]),
    }
    paper = np.zeros((426 if name == "boat" else 360, 640, 3), np.uint8)
    cv2.fillPoly(paper, [np.rint(outlines[name]).astype(np.int32)], (255, 255, 255))
    write_image(folder / f"{name}.png", paper)
    return folder / f"{name}.png"


def panel(picture: Pixels) -> NDArray[np.uint8]:
    """Scale a picture to the size of a panel."""
    small = cv2.resize(picture.astype(np.uint8), PANEL, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def page(exhibits: list[Exhibit]) -> str:
    """Write the gallery's page."""
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
    lines += ["", "## Seeing before deciding", ""]
    lines += [line for name, text in SHEETS.items() for line in (f"{text}:", "", f"![{name}]({name}.jpg)", "")]
    return "\n".join(lines).rstrip() + "\n"


def drawn(exhibit: Exhibit, folder: Path) -> NDArray[np.uint8]:
    """Join off and on side by side, or one above the other if each shows several frames."""
    off, on = rendered(exhibit.off, folder), rendered(exhibit.on, folder)
    across = len(exhibit.on.frames) == 1
    gap = np.full((len(on), 6, 3) if across else (6, on.shape[1], 3), 255, np.uint8)
    return np.concatenate([off, gap, on], axis=1 if across else 0)


SHEETS = {
    "proof": "`vidnst proof timelapse.mp4 --style swirls.jpg --frames 34 --axis losses.style_weight=3,15,75 --axis"
    " styles.scale=0.6,1,1.6`",
    "evolve": "`vidnst evolve timelapse.mp4 --style swirls.jpg --frame 34 -o film.mp4`: the last frame of the film",
    "compare": "`vidnst compare A B -o sheet.png --source timelapse.mp4 --diff`",
}


def draw_sheets(folder: Path, into: Path) -> None:
    """Draw what proof, evolve and compare make."""
    config = load_config(assignments=(*COMMON, *STEADY))
    clip, style = SAMPLES / "timelapse.mp4", SAMPLES / "styles" / "swirls.jpg"
    axes = {"losses.style_weight": [3, 15, 75], "styles.scale": [0.6, 1, 1.6]}
    vidnst.proof(clip, style=style, output=folder / "proof.png", config=config, axes=axes, frames=[34], size=200)
    vidnst.evolve(clip, style=style, output=folder / "film", config=config, frame=34)
    (folder / "film" / "last.png").write_bytes(max((folder / "film").glob("*.png")).read_bytes())
    renders = [on(*STEADY, frames=STRIP), on(*STEADY, "styles.scale=0.5", frames=STRIP)]
    runs = [rendered_into(render, folder) for render in renders]
    vidnst.compare(
        runs,
        output=folder / "compare.png",
        source=clip,
        start=str(STRIP[0]),
        labels=["A", "B"],
        difference=True,
        count=2,
    )
    for name, path in (("proof", "proof.png"), ("evolve", "film/last.png"), ("compare", "compare.png")):
        write_small(into / f"{name}.jpg", read_image(folder / path))


def write_small(path: Path, picture: Pixels) -> None:
    """Write a JPEG of moderate quality."""
    cv2.imwrite(str(path), cv2.cvtColor(picture.astype(np.uint8), cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, 80))


def main() -> None:
    """Draw what was asked for, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="exhibits whose names contain this")
    parser.add_argument("--into", type=Path, default=GALLERY)
    options = parser.parse_args()
    options.into.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for exhibit in EXHIBITS:
            if options.only in exhibit.name:
                write_small(options.into / f"{exhibit.name}.jpg", drawn(exhibit, Path(folder)))
        if any(options.only in name for name in SHEETS):
            draw_sheets(Path(folder), options.into)
    (options.into / "README.md").write_text(page(EXHIBITS), "utf-8")


if __name__ == "__main__":
    main()
