"""The houses of the street: their fronts, roofs and chimneys, and where they stand."""

from dataclasses import dataclass

import numpy as np

from .perspective import Panel, Stage, plain, shade
from .sheet import Sheet
from .texture import Field, Picture, blur, hex_colours, look_up, mix, noise_like, smoothstep, tileable_noise

_SCALE = 36
"""Pixels per metre of a front."""

LEFT, RIGHT = -9.0, 7.0
"""Where the fronts of both rows stand, in metres to the right of the camera."""

_DEEP = 4.2
"""How far behind its front the ridge of a roof is."""

_WALLS = ("d9b877", "c9765a", "e6dcc6", "b9c4c0", "a8523f", "e3c3a4", "93a5b1", "d8cfa8", "b5653f", "dcb4a0")
_TRIMS = ("f4efe2", "e8e0cc", "f7f3ea", "d9d2c0")
_SHUTTERS = ("3f6b5c", "4a5f7f", "7a3b34", "5d6b3f", "")
_SIGNS = ("2f4d46", "7a2f2c", "2c3d5c", "8a6a2c", "4a3350")
_GOODS = ("9a5a34", "b98a4a", "6d5a3c", "8c3f2e", "5f6a4a", "c7a873", "4a4638", "7a6a80")
_LIGHTS = hex_colours("ffcf7d", "ffb95e", "ffdf9f", "ffc488", "f4e3b8", "ff9f58")


@dataclass(frozen=True, slots=True)
class House:
    """A house of a row.

    Attributes:
        side: -1 in the left row, 1 in the right one.
        near: where it begins, in metres ahead.
        far: where it ends.
        eave: height of its front.
        rise: how much higher its ridge is.
        gabled: its gable faces the street, not the neighbours.
    """

    side: int
    near: float
    far: float
    eave: float
    rise: float
    gabled: bool

    @property
    def front(self) -> float:
        """Where its front stands."""
        return LEFT if self.side < 0 else RIGHT

    @property
    def ridge(self) -> float:
        """Where its ridge is, to the right of the camera."""
        return self.front + self.side * _DEEP


def row(rng: np.random.Generator, side: int, *, begin: float, end: float) -> list[House]:
    """Houses along one side of the street, the nearest first."""
    houses: list[House] = []
    at = begin
    while at < end:
        wide = float(rng.uniform(6.0, 9.5))
        gabled = bool(rng.random() < 0.38)
        eave = float(rng.choice([6.6, 7.2, 8.9, 9.6, 10.2]) - (1.2 if gabled else 0))
        rise = float(wide * 0.42 if gabled else rng.uniform(2.0, 3.0))
        houses.append(House(side, at, at + wide, eave, rise, gabled))
        at += wide
    return houses


def skyline(houses: list[House], z: Field) -> tuple[Field, Field]:
    """Heights of a row at `z` metres ahead: at its fronts, and at its ridges."""
    front, ridge = np.zeros_like(z), np.zeros_like(z)
    for house in houses:
        inside = (z >= house.near) & (z < house.far)
        half = (house.far - house.near) / 2
        gable = house.eave + house.rise * (1 - np.abs(z - house.near - half) / half)
        front = np.where(inside, gable if house.gabled else house.eave, front)
        ridge = np.where(inside, gable if house.gabled else house.eave + house.rise, ridge)
    return np.asarray(front, np.float32), np.asarray(ridge, np.float32)


class _Front:
    """One front as it is drawn: boxes in metres from its left and from the ground."""

    def __init__(self, rng: np.random.Generator, house: House) -> None:
        self.rng = rng
        self.house = house
        self.wide = house.far - house.near
        self.tall = house.eave + (house.rise if house.gabled else 0)
        shape = (round(self.tall * _SCALE), round(self.wide * _SCALE))
        self.sheet, self.light, self.panes = (Sheet(shape, fine=2) for _ in range(3))
        self.windows: list[tuple[float, float, float, float]] = []
        self.wall = str(rng.choice(_WALLS))
        self.trim = str(rng.choice(_TRIMS))

    def box(self, sheet: Sheet, left: float, low: float, right: float, high: float, colour: str) -> None:
        sheet.box(left * _SCALE, (self.tall - high) * _SCALE, right * _SCALE, (self.tall - low) * _SCALE, colour)

    def window(self, left: float, low: float, right: float, high: float, *, shutter: str = "", bars: int = 2) -> None:
        """A window with its frame, sill and lintel, and the light behind it."""
        box, sheet = self.box, self.sheet
        box(sheet, left - 0.16, high, right + 0.16, high + 0.20, shade(self.trim, 0.95))
        box(sheet, left - 0.10, low, right + 0.10, high, self.trim)
        box(sheet, left, low, right, high, "343c47")
        box(sheet, left, high - 0.22, right, high, "20252e")
        glow = _LIGHTS[self.rng.integers(len(_LIGHTS))] * self.rng.uniform(0.62, 0.92)
        colour = np.rint(glow * 255).astype(int).tolist()
        box(self.light, left, low, right, high, bytes(colour).hex())
        box(self.light, left, low, right, low + 0.3 * (high - low), shade(bytes(colour).hex(), 0.72))
        box(self.panes, left, low, right, high, "ffffff")
        if self.rng.random() < 0.6:
            for edge, over in ((left, left + 0.2), (right - 0.2, right)):
                box(sheet, edge, low, over, high, "8d867c")
                box(self.light, edge, low, over, high, shade(bytes(colour).hex(), 0.6))
        for part in range(1, bars):
            at = left + (right - left) * part / bars
            self._bar(at - 0.035, low, at + 0.035, high)
        self._bar(left, low + 0.62 * (high - low), right, low + 0.62 * (high - low) + 0.06)
        box(sheet, left - 0.2, low - 0.12, right + 0.2, low, shade(self.trim, 1.04))
        box(sheet, left - 0.17, low - 0.24, right + 0.17, low - 0.12, shade(self.wall, 0.62))
        if shutter:
            for edge in (left - 0.62, right + 0.12):
                box(sheet, edge, low, edge + 0.5, high, shutter)
                for slat in np.arange(low + 0.1, high - 0.05, 0.16):
                    box(sheet, edge + 0.06, slat, edge + 0.44, slat + 0.05, shade(shutter, 0.72))
        self.windows.append((left / self.wide, 1 - high / self.tall, right / self.wide, 1 - low / self.tall))

    def _bar(self, left: float, low: float, right: float, high: float) -> None:
        self.box(self.sheet, left, low, right, high, self.trim)
        self.box(self.light, left, low, right, high, "3a2a18")
        self.box(self.panes, left, low, right, high, "000000")

    def storeys(self) -> None:
        """Rows of windows above the ground floor, with a course of stone below each."""
        shutter = str(self.rng.choice(_SHUTTERS))
        count = max(2, int(self.wide / (2.6 if shutter else 2.2)))
        width = float(self.rng.uniform(0.95, 1.2))
        for floor in np.arange(3.5, self.house.eave - 2.2, 2.85):
            self.box(self.sheet, 0, floor - 0.28, self.wide, floor - 0.10, self.trim)
            self.box(self.sheet, 0, floor - 0.36, self.wide, floor - 0.28, shade(self.wall, 0.6))
            for number in range(count):
                middle = self.wide * (number + 0.5) / count
                self.window(middle - width / 2, floor + 0.62, middle + width / 2, floor + 2.2, shutter=shutter)
        if self.house.gabled:
            middle = self.wide / 2
            self.window(middle - 0.45, self.house.eave + 0.5, middle + 0.45, self.house.eave + 1.7)

    def ground_floor(self) -> None:
        """A shop, or a door between windows."""
        door = str(self.rng.choice([*_SIGNS]))
        self.box(self.sheet, 0, 0, self.wide, 0.55, shade(self.wall, 0.66))
        if self.rng.random() < 0.55:
            self.box(self.sheet, 0.4, 0, self.wide - 0.4, 3.0, shade(door, 0.9))
            self.box(self.sheet, 0.4, 2.45, self.wide - 0.4, 2.98, door)
            for left in np.arange(1.0, self.wide - 1.2, 0.55):
                self.box(self.sheet, left, 2.62, left + 0.32, 2.82, "e8d9a8")
            split = self.wide - 1.9
            self.window(0.7, 0.6, split - 0.3, 2.3, bars=3)
            self._goods(0.75, split - 0.35)
            self.window(split, 0.25, self.wide - 0.75, 2.3, bars=1)
            return
        self.box(self.sheet, 0.75, 0, 2.05, 2.75, self.trim)
        self.box(self.sheet, 0.9, 0, 1.9, 2.3, door)
        for low in (0.3, 1.25):
            self.box(self.sheet, 1.05, low, 1.75, low + 0.75, shade(door, 0.75))
        self.window(0.95, 2.36, 1.85, 2.66, bars=1)
        for left in np.arange(2.9, self.wide - 1.4, 2.1):
            self.window(left, 1.0, left + 1.15, 2.5)

    def _goods(self, left: float, right: float) -> None:
        """What a shop shows in its window: things on two shelves, seen by the shop's own light."""
        for low, room in ((0.6, 0.75), (1.45, 0.5)):
            self.box(self.light, left, low - 0.05, right, low, "6a4a2a")
            at = left + 0.1
            while at < right - 0.2:
                wide, high = float(self.rng.uniform(0.12, 0.34)), float(self.rng.uniform(0.3, 1.0)) * room
                colour = str(self.rng.choice(_GOODS))
                self.box(self.light, at, low, min(at + wide, right), low + high, colour)
                self.box(self.sheet, at, low, min(at + wide, right), low + high, shade(colour, 0.42))
                at += wide + float(self.rng.uniform(0.03, 0.22))

    def panel(self) -> Panel:
        """The front, with the wall's plaster or brick under what was drawn."""
        colour, drawn = self.sheet.parts()
        shape = drawn.shape
        rows, columns = np.mgrid[: shape[0], : shape[1]] / _SCALE
        rough = noise_like(self.rng, shape, slope=0.9, low=3)
        stain = noise_like(self.rng, shape, slope=2.0, low=1)
        wall = np.broadcast_to(hex_colours(self.wall)[0], (*shape, 3))
        tone = 1 + 0.045 * rough + 0.05 * stain - 0.10 * smoothstep(1.6, 0, self.tall - rows)
        if self.wall in ("c9765a", "a8523f", "b5653f"):
            course = np.floor(rows / 0.16)
            joint = (np.mod(rows, 0.16) < 0.035) | (np.mod(columns + 0.2 * np.mod(course, 2), 0.4) < 0.035)
            brick = np.mod(
                np.sin(course * 12.9 + np.floor((columns + 0.2 * np.mod(course, 2)) / 0.4) * 78.2) * 437.5, 1
            )
            tone = tone * (0.88 + 0.24 * brick) + 0.10 * joint
        base = wall * np.asarray(tone, np.float32)[..., None]
        base = mix(base, hex_colours(self.trim)[0], self._cornice(rows))
        alpha = self._outline(rows, columns)
        painted = mix(base, colour * (1 + 0.03 * rough)[..., None], drawn)
        glow, lit = self.light.parts()
        glass, there = self.panes.parts()
        sheen = glass[..., 0] * there * alpha
        return Panel(np.clip(painted, 0, 1), alpha, glow * lit[..., None], sheen, tuple(self.windows))

    def _cornice(self, rows: Field) -> Field:
        if self.house.gabled:
            return np.zeros(rows.shape, np.float32)
        return np.asarray((rows < 0.34) * (0.75 + 0.25 * (np.mod(rows, 0.17) > 0.05)), np.float32)

    def _outline(self, rows: Field, columns: Field) -> Field:
        if not self.house.gabled:
            return np.ones(rows.shape, np.float32)
        half = self.wide / 2
        slope = self.house.rise * np.abs(columns - half) / half
        return np.asarray(np.clip((rows - slope) * _SCALE, 0, 1), np.float32)


def _tiles(rng: np.random.Generator, long: float) -> Picture:
    """A slope of roof tiles, in rows."""
    shape = (150, round(long * 24))
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    course = np.floor(rows / 9)
    lip = np.mod(rows, 9) / 9
    joint = np.mod(columns + 4 * np.mod(course, 2), 8) < 1.4
    noise = tileable_noise(rng, 128, slope=0.8, low=2)
    patch = look_up(noise, columns / 300, rows / 300)
    base = hex_colours(str(rng.choice(["8d4b38", "6f5148", "59585c", "a05a40", "4f5560"])))[0]
    tone = 0.75 + 0.33 * lip - 0.18 * joint + 0.07 * patch
    return np.asarray(np.clip(base * tone[..., None], 0, 1), np.float32)


def _side_wall(rng: np.random.Generator, house: House) -> Panel:
    """The wall toward a lower neighbour, bare, as far back as the ridge and beyond."""
    tall = house.eave + (0 if house.gabled else house.rise)
    shape = (round(tall * 16), round(2 * _DEEP * 16))
    rows, columns = np.mgrid[: shape[0], : shape[1]] / 16
    base = hex_colours(str(rng.choice(["a99a86", "9a7d68", "b3aa9a"])))[0]
    tone = 0.86 + 0.07 * noise_like(rng, shape, slope=1.1, low=2) - 0.05 * (np.mod(rows, 0.4) < 0.07)
    alpha = np.ones(shape, np.float32)
    if not house.gabled:
        slope = house.rise * np.abs(columns - _DEEP) / _DEEP
        alpha = np.asarray(np.clip((rows - slope) * 16, 0, 1), np.float32)
    return plain(np.asarray(base * tone[..., None], np.float32), alpha)


def build(rng: np.random.Generator, stage: Stage, houses: list[House]) -> None:
    """Put up a row of houses, the farthest first."""
    for house in sorted(houses, key=lambda one: -one.near):
        x, back, ridge = house.front, house.front + 2 * house.side * _DEEP, house.ridge
        near, far, eave, top = house.near, house.far, house.eave, house.eave + house.rise
        wall = _side_wall(rng, house)
        high = eave if house.gabled else top
        stage.put(wall, [(x, high, near), (back, high, near), (back, 0, near), (x, 0, near)])
        if house.gabled:
            middle = (near + far) / 2
            slope = plain(_tiles(rng, 9))
            stage.put(slope, [(x, top, middle), (back, top, middle), (back, eave, near), (x, eave, near)])
        else:
            slope = plain(_tiles(rng, far - near))
            _chimney(stage, house, float(rng.uniform(near + 0.6, far - 1.4)))
            over = x - 0.35 * house.side
            low = eave - 0.1
            stage.put(slope, [(ridge, top, far), (ridge, top, near), (over, low, near), (over, low, far)])
        front = _Front(rng, house)
        front.ground_floor()
        front.storeys()
        ends = (far, near) if house.side > 0 else (near, far)
        tall = front.tall
        corners = [(x, tall, ends[0]), (x, tall, ends[1]), (x, 0, ends[1]), (x, 0, ends[0])]
        stage.put(front.panel(), corners)


def _chimney(stage: Stage, house: House, at: float) -> None:
    """A chimney of brick on the ridge, seen from two sides."""
    top, low = house.eave + house.rise + 1.2, house.eave + house.rise - 0.8
    x, edge = house.ridge, house.ridge - 0.45 * house.side
    face = np.full((24, 12, 3), hex_colours("8a5240")[0], np.float32)
    face[::4] *= 0.85
    face[:4] = hex_colours("5a4038")[0]
    face = blur(face, 0.6)
    back = x + 0.45 * house.side
    stage.put(plain(face * 0.8), [(back, top, at), (edge, top, at), (edge, low, at), (back, low, at)])
    ends = (at + 0.8, at) if house.side > 0 else (at, at + 0.8)
    corners = [(edge, top, ends[0]), (edge, top, ends[1]), (edge, low, ends[1]), (edge, low, ends[0])]
    stage.put(plain(face), corners)
