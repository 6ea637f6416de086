"""A fish leaping before the sun, laid in glass: rows of tesserae that follow the contours of every shape.

The cells are those of A. Hausner, "Simulating decorative mosaics" (SIGGRAPH 2001): a centroidal Voronoi diagram whose
distance is measured along the axes of a square that is turned to the nearest contour. Here a cell never leaves the
shape in which it lies, the tesserae begin on rows parallel to the contours, and the metric is the maximum norm.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .sheet import curve
from .texture import Field, Picture, blur, grid, halve, hex_colours, mix, noise_like, ramp, relief, smoothstep

SIZE = (480, 640)
_FINE = 2
"""The mosaic is laid this many times larger."""
_PITCH = 19.0
"""Side of a tessera with its share of the joint, in pixels of the large mosaic."""
_ROUNDS = 9
"""Times that the tesserae are moved to the middle of their cells."""

_SKY = hex_colours("fff0c2", "fbe09a", "f1d8a4", "c9dabd", "97ccca", "69b0cb", "478fbf", "3570aa", "2a5894")
_SUN = hex_colours("fff3b0", "ffd84d", "f7b32b", "ee8f1f")
_RAYS = hex_colours("d8412f", "f3a62c")
_SEA = hex_colours("122a52", "163a70", "1c5596", "1f7fae", "35a5b3", "8ccfc4", "f4efdc")
_BACK = hex_colours("7c1420", "b3202a", "dd3d26", "f0682c", "f79a4b", "fbd9a0", "fdf3dc")
_FIN = hex_colours("8c1b22", "d8412f", "f08a2c", "fbc95a")


_TAIL = [(0.315, 0.47), (0.275, 0.44), (0.205, 0.435), (0.235, 0.50), (0.225, 0.565), (0.265, 0.60), (0.305, 0.575)]
_TAIL += [(0.35, 0.61), (0.40, 0.59), (0.375, 0.53), (0.36, 0.48)]
_CREST = [
    (0.43, 0.30),
    (0.44, 0.215),
    (0.50, 0.135),
    (0.58, 0.115),
    (0.66, 0.14),
    (0.63, 0.18),
    (0.60, 0.25),
    (0.50, 0.31),
]
_BELLY = [(0.66, 0.33), (0.665, 0.41), (0.605, 0.495), (0.565, 0.49), (0.565, 0.42), (0.57, 0.34)]
_FINS = (_TAIL, _CREST, _BELLY)
"""Points along the outlines of the fins, in shares of the width."""


@dataclass(frozen=True, slots=True)
class _Cartoon:
    """The design under the mosaic.

    Attributes:
        colour: `(H, W, 3)`.
        shape: `(H, W)` int32, the number of the shape at each place.
        rows: `(H, W)`, a coordinate across the rows of tesserae, in pitches.
    """

    colour: Picture
    shape: NDArray[np.int32]
    rows: Field

    def with_shape(self, inside: NDArray[np.bool_], colour: Picture, rows: Field | None = None) -> "_Cartoon":
        """The cartoon with one more shape on top; without `rows` they follow the shape's own contour."""
        if rows is None:
            rows = _depth(inside)
        number = np.int32(self.shape.max() + 1)
        return _Cartoon(
            np.where(inside[..., None], colour, self.colour),
            np.where(inside, number, self.shape),
            np.where(inside, rows, self.rows).astype(np.float32),
        )


def _depth(inside: NDArray[np.bool_]) -> Field:
    """Distance to the shape's outline in pitches."""
    framed = cv2.copyMakeBorder(inside.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    return np.asarray(cv2.distanceTransform(framed, cv2.DIST_L2, 5)[1:-1, 1:-1] / _PITCH, np.float32)


def _polygon(size: tuple[int, int], points: list[tuple[float, float]]) -> NDArray[np.bool_]:
    """The closed curve through points in shares of the width, filled."""
    smooth = curve(np.array(points) * size[1], steps=12, closed=True)
    mask = np.zeros(size, np.uint8)
    cv2.fillPoly(mask, [np.rint(smooth).astype(np.int32)], 1)
    return mask.astype(bool)


def _heaven(size: tuple[int, int], rng: np.random.Generator) -> _Cartoon:
    """The sky in rings around a sun with rays."""
    x, y = grid(size)
    width = size[1]
    dx, dy = x - 0.285 * width, y - 0.235 * width
    away = np.hypot(dx, dy) / width
    wander = noise_like(rng, size, slope=2.2, low=2)
    colour = ramp(away + 0.008 * wander, np.linspace(0.13, 0.72, len(_SKY)), _SKY)
    cartoon = _Cartoon(colour, np.zeros(size, np.int32), away * np.float32(width / _PITCH))
    turn = np.arctan2(dy, dx) / (2 * np.pi) * 12
    point = 1 - np.abs(np.mod(turn, 1) * 2 - 1)
    ray = (away > 0.092) & (away < 0.092 + 0.085 * point)
    which = np.mod(np.floor(turn), 2).astype(np.intp)
    for parity in (0, 1):
        cartoon = cartoon.with_shape(ray & (which == parity), np.broadcast_to(_RAYS[parity], colour.shape))
    disc = ramp(away, [0.0, 0.04, 0.07, 0.09], _SUN)
    return cartoon.with_shape(away <= 0.092, disc, (0.092 - away) * np.float32(width / _PITCH))


def _spine() -> NDArray[np.float32]:
    """Points `(N, 2)` along the fish's middle from tail to mouth, in shares of the width."""
    t = np.linspace(0, 1, 160)[:, None]
    tail, bend, over, mouth = np.array([[0.315, 0.505], [0.345, 0.31], [0.56, 0.17], [0.795, 0.365]])
    line = (1 - t) ** 3 * tail + 3 * (1 - t) ** 2 * t * bend + 3 * (1 - t) * t**2 * over + t**3 * mouth
    return np.asarray(line, np.float32)


def _along_spine(size: tuple[int, int]) -> tuple[Field, Field]:
    """How far along the fish each place is (0 tail, 1 mouth), and how far off its middle in shares of the width."""
    spine = _spine()
    coarse = (size[0] // 4, size[1] // 4)
    x, y = grid(coarse)
    places = np.stack([x, y], -1)[..., None, :] / coarse[1]
    gap = places - spine
    distance = np.linalg.norm(gap, axis=-1)
    nearest = distance.argmin(-1)
    ahead = np.gradient(spine, axis=0)[nearest]
    offset = np.take_along_axis(gap, nearest[..., None, None], 2)[..., 0, :]
    side = np.sign(ahead[..., 0] * offset[..., 1] - ahead[..., 1] * offset[..., 0])
    along = (nearest / (len(spine) - 1)).astype(np.float32)
    across = (distance.min(-1) * side).astype(np.float32)
    large = (size[1], size[0])
    return cv2.resize(along, large), cv2.resize(across, large)


def _fish(cartoon: _Cartoon) -> _Cartoon:
    """Fins, body, gill and eye."""
    height, width = cartoon.shape.shape
    size = (height, width)
    along, across = _along_spine(size)
    x, y = grid(size)
    for fin in _FINS:
        inside = _polygon(size, fin)
        web = np.sin(_depth(inside) * 2.6 + along * 30)
        cartoon = cartoon.with_shape(inside, ramp(_depth(inside) / 2.6 + 0.12 * web, [0.0, 0.3, 0.6, 1.0], _FIN))
    half = 0.086 * np.sin(np.pi * np.clip(0.07 + 0.865 * along, 0, 1) ** 1.18) ** 0.72
    body = (np.abs(across) < half) & (along > 0.004) & (along < 0.996)
    belly = across / half * 0.5 + 0.5
    scales = 0.09 * np.sin(along * 62) * (along < 0.74)
    colour = ramp(belly + scales, [0.02, 0.14, 0.30, 0.46, 0.62, 0.78, 0.92], _BACK)
    outline = _depth(body) < 0.8
    colour = mix(colour, hex_colours("5a0f1c")[0], outline)
    cartoon = cartoon.with_shape(body, colour)
    gill = body & (np.abs(along - 0.775 + 0.9 * across**2 / 0.01 * 0.02) < 0.014) & (np.abs(across) < half * 0.75)
    cartoon = cartoon.with_shape(gill, np.broadcast_to(hex_colours("fbc95a")[0], colour.shape))
    eye = np.hypot(x / width - 0.712, y / width - 0.278)
    cartoon = cartoon.with_shape(eye < 0.021, np.broadcast_to(hex_colours("fdf3dc")[0], colour.shape))
    return cartoon.with_shape(eye < 0.0095, np.broadcast_to(hex_colours("15131c")[0], colour.shape))


def _waves(cartoon: _Cartoon) -> _Cartoon:
    """Rows of scallops, each before the one behind it."""
    height, width = cartoon.shape.shape
    x, y = grid((height, width))
    radius = 0.0905 * width
    for row in range(6):
        middle = 0.632 * width + row * radius * 0.52
        for column in range(-1, 8):
            centre = (column + 0.5 * (row % 2)) * 2 * radius * 0.92
            away = np.hypot(x - centre, (y - middle) * 1.05)
            colour = ramp(away / radius, np.linspace(0.12, 0.97, len(_SEA)), _SEA[:])
            cartoon = cartoon.with_shape(away < radius, colour, ((radius - away) / _PITCH).astype(np.float32))
    return cartoon


def _border(cartoon: _Cartoon) -> _Cartoon:
    """Three rows around the edge: lapis, gold with red, lapis."""
    height, width = cartoon.shape.shape
    x, y = grid((height, width))
    inward = np.minimum(np.minimum(x, width - 1 - x), np.minimum(y, height - 1 - y)) / _PITCH
    beat = np.mod(np.floor((x + y) / (_PITCH * 3)), 2)
    gold = mix(hex_colours("f0bf45")[0], hex_colours("c23b2c")[0], beat)
    colour = np.where(((inward > 1) & (inward < 2))[..., None], gold, hex_colours("173b6e")[0])
    return cartoon.with_shape(inward < 3, colour.astype(np.float32), inward.astype(np.float32))


def _first_places(rng: np.random.Generator, cartoon: _Cartoon) -> NDArray[np.float32]:
    """Places `(N, 2)` on the middle lines of the rows, no two nearer than nine tenths of a pitch."""
    middle = np.abs(np.mod(cartoon.rows, 1) - 0.5) < 0.10
    rows, columns = np.nonzero(middle)
    order = rng.permutation(len(rows))
    taken = np.zeros(cartoon.shape.shape, np.uint8)
    places = []
    for x, y in zip(columns[order].tolist(), rows[order].tolist(), strict=True):
        if not taken[y, x]:
            cv2.circle(taken, (x, y), round(_PITCH * 0.86), 1, -1)
            places.append((x, y))
    return np.array(places, np.float32)


def _cells(cartoon: _Cartoon, places: NDArray[np.float32], axes: NDArray[np.float32]) -> NDArray[np.int32]:
    """The number of the nearest place of the same shape for each pixel, -1 where none is near."""
    height, width = cartoon.shape.shape
    owner = np.full((height, width), -1, np.int32)
    nearest = np.full((height, width), np.inf, np.float32)
    reach = int(_PITCH * 1.15)
    for number, (x, y) in enumerate(places):
        column, row = int(x), int(y)
        top, left = max(row - reach, 0), max(column - reach, 0)
        window = np.s_[top : row + reach + 1, left : column + reach + 1]
        shapes = cartoon.shape[window]
        dy = np.arange(top, top + shapes.shape[0], dtype=np.float32)[:, None] - y
        dx = np.arange(left, left + shapes.shape[1], dtype=np.float32)[None] - x
        cos, sin = axes[row, column]
        distance = np.maximum(np.abs(dx * cos + dy * sin), np.abs(dy * cos - dx * sin))
        mine = (distance < nearest[window]) & (shapes == cartoon.shape[row, column])
        owner[window][mine] = number
        nearest[window][mine] = distance[mine]
    return owner


def _settled(cartoon: _Cartoon, places: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """The places after they have moved to the middles of their cells, and the cells."""
    smooth = blur(cartoon.rows, 2.0)
    slope = np.stack([cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)], -1)
    axes = slope / np.maximum(np.linalg.norm(slope, axis=-1, keepdims=True), 1e-6)
    x, y = grid(cartoon.shape.shape)
    cells = _cells(cartoon, places, axes)
    for _ in range(_ROUNDS):
        inside = cells >= 0
        count = np.maximum(np.bincount(cells[inside], minlength=len(places)), 1)
        middle = np.stack(
            [np.bincount(cells[inside], axis[inside], minlength=len(places)) / count for axis in (x, y)], -1
        )
        same = cartoon.shape[middle[:, 1].astype(np.intp), middle[:, 0].astype(np.intp)]
        before = cartoon.shape[places[:, 1].astype(np.intp), places[:, 0].astype(np.intp)]
        places = np.where((same == before)[:, None], middle, places).astype(np.float32)
        cells = _cells(cartoon, places, axes)
    return places, cells


def _glass(rng: np.random.Generator, colours: Picture) -> Picture:
    """Colours of single pieces: no two melts of glass are alike, and here and there one is gold or quite another."""
    count = len(colours)
    tint = 0.035 * rng.standard_normal((count, 3))
    vivid = colours + 0.18 * (colours - colours.mean(-1, keepdims=True))
    glass = vivid * (1.04 + 0.13 * rng.standard_normal((count, 1))) + tint
    stray = rng.random(count) < 0.06
    glass[stray] = 0.55 * glass[stray] + 0.45 * glass[rng.permutation(count)][stray]
    return np.asarray(np.clip(glass, 0.03, 1), np.float32)


def _lay(rng: np.random.Generator, cartoon: _Cartoon, places: NDArray[np.float32], cells: NDArray[np.int32]) -> Picture:
    """The pieces in their bed of mortar, in a light from the upper left."""
    x, y = grid(cartoon.shape.shape)
    fallen = places.astype(np.intp)
    glass = _glass(rng, blur(cartoon.colour, 2.0)[fallen[:, 1], fallen[:, 0]])
    seam = np.zeros(cells.shape, np.uint8)
    seam[:, 1:] |= cells[:, 1:] != cells[:, :-1]
    seam[1:] |= cells[1:] != cells[:-1]
    seam |= cells < 0
    depth = cv2.distanceTransform(1 - seam, cv2.DIST_L2, 5)
    rough = noise_like(rng, cells.shape, slope=1.0, low=20)
    depth = np.asarray(blur(depth, 1.3) + 0.30 * rough, np.float32)
    piece = smoothstep(1.5, 2.8, depth)

    number = np.maximum(cells, 0)
    tilt = 0.5 * rng.standard_normal((len(places), 2)).astype(np.float32)
    lean = (tilt[number, 0] * (x - places[number, 0]) + tilt[number, 1] * (y - places[number, 1])) / _PITCH
    facing = -(tilt[number, 0] + tilt[number, 1])
    streaks = noise_like(rng, cells.shape, slope=0.9, low=12)
    colour = glass[number] * (1 + 0.30 * lean + 0.035 * streaks + 0.07 * facing)[..., None]
    bevel = relief(np.minimum(depth, 5.5).astype(np.float32), strength=1.6)
    colour = colour * (1 + 0.34 * bevel)[..., None]
    shine = np.maximum(facing - 0.75, 0) * np.exp(-((lean * 3.2 - 0.4) ** 2)) * 0.30
    colour = colour + (1 - colour) * shine[..., None]

    grain = noise_like(rng, cells.shape, slope=0.5, low=30)
    mortar = hex_colours("6f675c")[0] * (1 + 0.10 * grain + 0.25 * relief(depth, strength=0.8))[..., None]
    return mix(mortar, colour, piece)


def paint(seed: int) -> Picture:
    """The picture: `(480, 640, 3)` float32, RGB in [0, 1]."""
    rng = np.random.default_rng(seed)
    size = (SIZE[0] * _FINE, SIZE[1] * _FINE)
    cartoon = _border(_waves(_fish(_heaven(size, rng))))
    places, cells = _settled(cartoon, _first_places(rng, cartoon))
    return halve(np.clip(_lay(rng, cartoon, places, cells), 0, 1))
