"""What a render does around the optimisation, for a frame by itself: filters, colours, directions, finishing.

The same functions as in a render, so that a proof shows what will come. What needs the frames around is as it is at the
first frame of a shot: cells do not move, and what a palette or the source's colours are learned from is what is shown.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Literal

from vidnst.config import RenderConfig
from vidnst.config.loader import with_settings
from vidnst.events import Warned
from vidnst.farm.jobs import Stylized
from vidnst.frames import Pixels, from_float, to_bits, to_float
from vidnst.rendering.effects_pass import coloured
from vidnst.rendering.styles.guidance_builder import GuidanceBuilder, is_directed
from vidnst.rendering.styles.regions import Guides, RegionSource, find_masks
from vidnst.rendering.styles.style_spec import StylePicture, placed
from vidnst.rendering.styles.timeline import check_shots
from vidnst.style.guidance import Guidance
from vidnst.tools.preview.single_frames import StillSource, shot_of


def filtered(pixels: Pixels, config: RenderConfig) -> Pixels:
    """A source frame `(H, W, 3)` after the filters that come before rendering."""
    if not config.filters.before:
        return pixels
    from vidnst.media.effects.effect_chain import source_chain

    picture = to_float(pixels)
    chain = source_chain(config).fit([(picture, picture)])
    return from_float(chain(picture, picture, {}, None)[0], 16 if pixels.dtype.itemsize == 2 else 8)


def recoloured(
    styles: Sequence[StylePicture], frames: Sequence[Pixels], config: RenderConfig
) -> tuple[StylePicture, ...]:
    """Styles in the colours of some frames, where that is asked for."""
    if config.colour.transfer == "none" and config.colour.keep != "matched":
        return tuple(styles)
    from vidnst.media.effects.colour_space import shrink_image
    from vidnst.media.effects.colour_transfer import sample_colours

    colours = sample_colours([shrink_image(to_float(pixels), 256) for pixels in frames], seed=config.optimize.seed)
    return tuple(replace(style, pixels=coloured(style.pixels, colours, config)) for style in styles)


def directed(
    styles: Sequence[StylePicture], footage: StillSource, index: int, size: tuple[int, int]
) -> Guidance | None:
    """Which styles pull where in a frame; None where all do everywhere. A mask of one picture is taken as it is.

    Args:
        index: of the frame in the whole source.
        size: its width and height as it is painted.

    Raises:
        ConfigError: a moment, a region or a mask is wrong, or no style is for the frame's shot.
    """
    if not is_directed(styles, footage.config):
        return None
    config = with_settings(footage.config, {"regions.follow": False})
    clip, (start, end) = footage.clip, (footage.start, footage.end)
    entries, shots = placed(styles, clip), footage.shots()
    check_shots(entries, len(shots))
    masks = find_masks(config, entries, clip, start=start, end=end, size=size)
    if footage.config.regions.follow and index != start and not all(mask.moves for mask in masks):
        footage.on_event(Warned(f"masks that follow what moves are shown at frame {index} as they are at {start}"))
    guides = Guides(masks, RegionSource(clip, shots, size, config), Path()) if masks else None
    with closing(GuidanceBuilder(styles, entries, clip, guides)) as director:
        return director(shot_of(shots, index), index)


def finished(painted: Stylized, source: Pixels, config: RenderConfig, *, bits: Literal[8, 16] = 8) -> Pixels:
    """What a viewer sees of a painted frame."""
    state = painted.state if painted.shown is None else painted.shown
    if not config.finishes:
        return to_bits(state, bits)
    from vidnst.media.effects.effect_chain import finishing_chain

    picture, original = to_float(state), to_float(source)
    chain = finishing_chain(config).fit([(picture, original)])
    return from_float(chain(picture, original, {}, None)[0], bits)
