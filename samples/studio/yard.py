"""What stays in place in the garden: the wall with its window, the paving, a pot and a post with a nesting box."""

import numpy as np

from .perspective import FINE, Camera, Panel, Stage, plain
from .sheet import Points, Sheet
from .texture import Field, Picture, blur, hex_colours, mix, noise_like, relief, smoothstep

WALL = 4.0
"""How far ahead the wall stands, in metres."""

POT = (-0.62, 3.1)
"""Where the pot stands: metres to the right, and ahead."""

POST = (1.52, 3.0)
"""Where the post stands."""

_PER_METRE = 260


def wall(rng: np.random.Generator, wide: float, tall: float) -> Panel:
    """A wall of brick under old plaster."""
    shape = (round(tall * _PER_METRE), round(wide * _PER_METRE))
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32) / _PER_METRE
    rough = noise_like(rng, shape, slope=0.9, low=6)
    soft = noise_like(rng, shape, slope=1.9, low=2)
    course = np.floor(rows / 0.085)
    shift = columns + 0.12 * np.mod(course, 2) + 0.004 * soft
    joint = np.minimum(np.mod(rows + 0.002 * rough, 0.085), np.mod(shift, 0.24))
    stone = np.mod(np.sin(course * 12.9898 + np.floor(shift / 0.24) * 78.233) * 43758.5, 1)
    mortar = smoothstep(0.013, 0.006, joint)
    clay = mix(hex_colours("8e4a35")[0], hex_colours("c07a54")[0], np.asarray(stone, np.float32))
    brick = mix(clay * (1 + 0.10 * rough)[..., None], hex_colours("b3a48e")[0], mortar)
    bump = relief(blur(1 - mortar, 1.5) * 3 + 0.35 * rough, strength=1.2, angle=250)
    brick = brick * (1 + 0.20 * bump)[..., None]
    plaster = hex_colours("dbc193")[0] * (1 + 0.035 * rough + 0.07 * soft)[..., None]
    streak = noise_like(rng, (8, shape[1]), slope=1.0, low=8)[:1] * smoothstep(0.9, 0.1, rows)
    plaster = plaster * (1 - 0.03 * np.clip(streak, 0, 3))[..., None]
    edge = 0.95 * soft + 0.12 * rough + 1.5 * (tall - rows - 0.62)
    bare = smoothstep(0.06, -0.06, edge)
    crust = np.exp(-((edge / 0.10) ** 2))
    colour = mix(plaster * (1 - 0.22 * crust)[..., None], brick, bare)
    damp = smoothstep(0.35, 0.0, tall - rows)
    return plain(np.clip(mix(colour, hex_colours("5d6244")[0], 0.45 * damp * (0.6 + 0.3 * soft)), 0, 1))


def paving(rng: np.random.Generator, camera: Camera) -> Picture:
    """Flagstones with moss between, `FINE` times the picture's size."""
    fine = camera.finer()
    place = fine.meet((0, 0, 0), (0, 1, 0))
    z = np.clip(np.where(place[..., 2] > 0, place[..., 2], 9), 0, 9)
    rough = noise_like(rng, fine.shape, slope=0.9, low=10)
    soft = noise_like(rng, fine.shape, slope=1.8, low=2)
    line = np.floor(z / 0.32)
    across = place[..., 0] + 0.21 * np.mod(line * 1.7, 2) + 0.012 * soft
    stone = np.mod(np.sin(line * 21.7 + np.floor(across / 0.44) * 57.3) * 9431.7, 1)
    joint = np.minimum(np.mod(z + 0.010 * soft, 0.32), np.mod(across, 0.44))
    gap = smoothstep(0.026, 0.010, joint + 0.003 * rough)
    base = mix(hex_colours("8f8473")[0], hex_colours("b9ab94")[0], np.asarray(stone, np.float32))
    base = base * (1 + 0.055 * rough + 0.05 * soft)[..., None]
    return np.asarray(
        np.clip(mix(base, hex_colours("4b5a30")[0] * (1 + 0.2 * rough)[..., None], gap), 0, 1), np.float32
    )


def window(rng: np.random.Generator) -> Panel:
    """A window with blue shutters and a sill of stone, 1.9 m wide and 1.25 m high."""
    wide, tall, scale = 1.9, 1.25, 240
    sheet = Sheet((round(tall * scale), round(wide * scale)), fine=2)

    def box(left: float, top: float, right: float, bottom: float, colour: str) -> None:
        sheet.box(left * scale, top * scale, right * scale, bottom * scale, colour)

    box(0.50, 0.02, 1.40, 1.12, "e9dfc8")
    box(0.56, 0.08, 1.34, 1.10, "8a8474")
    box(0.59, 0.11, 1.31, 1.09, "28323a")
    for left, right in ((0.59, 0.82), (1.08, 1.31)):
        box(left, 0.11, right, 0.62, "b9b4a4")
        for fold in np.arange(left, right - 0.02, 0.055):
            box(fold, 0.11, fold + 0.02, 0.62, "98927f")
    for at in (0.59, 0.935, 1.285):
        box(at, 0.11, at + 0.03, 1.09, "f0ead8")
    for at in (0.11, 0.58, 1.06):
        box(0.59, at, 1.31, at + 0.03, "f0ead8")
    for left in (0.02, 1.42):
        box(left, 0.03, left + 0.46, 1.12, "3c6580")
        for low, high in ((0.09, 0.54), (0.60, 1.06)):
            box(left + 0.05, low, left + 0.41, high, "2f5068")
            for slat in np.arange(low + 0.01, high - 0.03, 0.045):
                box(left + 0.06, slat, left + 0.40, slat + 0.026, "5582a0")
    box(0.42, 1.12, 1.48, 1.18, "cfc4ae")
    box(0.45, 1.18, 1.45, 1.22, "8d8170")
    colour, alpha = sheet.parts()
    worn = noise_like(rng, alpha.shape, slope=1.0, low=4)
    glass = np.asarray(np.abs(colour - hex_colours("28323a")[0]).max(-1) < 0.02, np.float32) * alpha
    return Panel(np.clip(colour * (1 + 0.06 * worn)[..., None], 0, 1), alpha, np.zeros_like(colour), glass)


def _ring(middle: tuple[float, float], half: float, flat: float) -> Points:
    turn = np.linspace(0, 2 * np.pi, 40)
    return np.stack([middle[0] + half * np.cos(turn), middle[1] + flat * half * np.sin(turn)], -1)


def pot(sheet: Sheet, camera: Camera) -> tuple[float, float, float]:
    """Draw a pot of clay; where the middle of its earth is in pixels, and half its width."""
    x, y = camera.pixels([(POT[0], 0, POT[1])])[0]
    size = camera.focal / POT[1]
    top, half, foot = y - 0.50 * size, 0.34 * size, 0.23 * size
    sheet.polygon(_ring((x, y), foot * 1.25, 0.20), "6f5a44")
    body = [(x - half * 0.93, top + 0.08 * size), (x + half * 0.93, top + 0.08 * size), (x + foot, y), (x - foot, y)]
    sheet.polygon(_ring((x, y), foot, 0.16), "b5623f")
    sheet.polygon(body, "b5623f")
    for share, tone in ((0.45, "9c5234"), (0.50, "c97a52"), (0.72, "a1563a")):
        wide = half * 0.93 + (foot - half * 0.93) * share
        level = top + (0.08 + 0.42 * share) * size
        arc = _ring((x, level), wide, 0.14)[:20]
        sheet.line(arc, tone, width=1.8)
    sheet.polygon(
        np.concatenate([_ring((x, top + 0.11 * size), half, 0.13)[:20], [(x - half, top), (x + half, top)]]), "c26d47"
    )
    sheet.line(_ring((x, top + 0.11 * size), half, 0.13)[:20], "8a4a30", width=1.6)
    sheet.polygon(_ring((x, top), half, 0.15), "cf7c54")
    sheet.polygon(_ring((x, top + 0.6), half * 0.90, 0.14), "4a3426")
    return float(x), float(top), float(half)


def post(sheet: Sheet, camera: Camera) -> None:
    """Draw a post with a nesting box on it."""
    x, y = camera.pixels([(POST[0], 0, POST[1])])[0]
    size = camera.focal / POST[1]

    def box(left: float, low: float, right: float, high: float, colour: str) -> None:
        sheet.box(x + left * size, y - high * size, x + right * size, y - low * size, colour)

    box(-0.055, -0.02, 0.055, 1.20, "75604a")
    box(-0.055, -0.02, -0.025, 1.20, "8d765c")
    box(0.03, -0.02, 0.055, 1.20, "5c4a38")
    for low in np.arange(0.05, 1.1, 0.11):
        box(-0.01, low, 0.0, low + 0.07, "5c4a38")
    box(-0.17, 1.10, 0.17, 1.48, "b98d55")
    for left in (-0.17, -0.06, 0.05):
        box(left, 1.10, left + 0.008, 1.48, "8f6a3c")
    box(-0.19, 1.07, 0.19, 1.11, "8a6840")
    sheet.polygon(_ring((x, y - 1.32 * size), 0.055 * size, 1.0), "2a211a")
    box(-0.012, 1.17, 0.012, 1.21, "6b4f30")
    roof = np.array([(x - 0.25 * size, y - 1.45 * size), (x, y - 1.70 * size), (x + 0.25 * size, y - 1.45 * size)])
    sheet.polygon(
        np.array([(x - 0.17 * size, y - 1.48 * size), (x, y - 1.66 * size), (x + 0.17 * size, y - 1.48 * size)]),
        "a87e4a",
    )
    sheet.line(roof, "7a3f34", width=0.055 * size)
    sheet.line(roof - np.array([0, 1.6]), "a35a4a", width=0.018 * size)


def build(rng: np.random.Generator, stage: Stage) -> None:
    """Put up the wall with its window, and lay the paving."""
    camera = stage.camera
    stage.put(wall(rng, 6.6, 3.2), [(-3.3, 3.2, WALL), (3.3, 3.2, WALL), (3.3, 0, WALL), (-3.3, 0, WALL)])
    left, top, front = -0.02, 2.02, WALL - 0.001
    stage.put(
        window(rng),
        [(left, top, front), (left + 1.9, top, front), (left + 1.9, top - 1.25, front), (left, top - 1.25, front)],
    )
    ground = camera.meet((0, 0, 0), (0, 1, 0))
    there = (ground[..., 2] > 0) & (ground[..., 2] < WALL)
    stage.place[there] = ground[there]
    stage.normal[there] = (0, 1, 0)
    fine = np.repeat(np.repeat(there.astype(np.float32), FINE, 0), FINE, 1)
    stage.paint(paving(rng, camera), fine)


def near_wall(place: Picture) -> Field:
    """How much of the sky the wall and the ground hide from each other near their corner, in [0, 1]."""
    to_wall, to_ground = WALL - place[..., 2], place[..., 1]
    return np.asarray(0.45 * np.exp(-np.maximum(to_wall, to_ground) / 0.16), np.float32)
