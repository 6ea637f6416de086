"""HDR video (PQ and HLG) to SDR and back, by the equations of ITU-R BT.2100 and BT.2390.

To SDR: the transfer's inverse gives light on a display in cd/m2, BT.2020 becomes BT.709, and the tone curve of BT.2390
(its EETF) compresses the largest of R, G and B, so that hues stay. White of SDR is 203 cd/m2, the HDR reference white
of BT.2408. Colours outside of BT.709 are mixed with grey of their luminance. Back to HDR is the inverse, step by step:
what was outside of BT.709 stays lost.
"""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidnst.frames import HdrInfo

Image = NDArray[np.float32]

SDR_WHITE_NITS = 203.0
PQ = "smpte2084"
HLG = "arib-std-b67"
TRANSFERS = {PQ: "PQ", HLG: "HLG"}
"""ffmpeg's names of the transfers of HDR, and the usual ones."""

_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_PQ_NITS = 10_000.0
_HLG_NITS, _HLG_GAMMA = 1000.0, 1.2
_A = 0.17883277
_B, _C = 1 - 4 * _A, 0.5 - _A * float(np.log(4 * _A))
_WIDE_LUMINANCE = np.array([0.2627, 0.6780, 0.0593], np.float32)
_NARROW_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
_TO_WIDE = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])  # BT.2087
_CURVE_POINTS = 8193


def pq_to_nits(codes: NDArray[Any]) -> NDArray[Any]:
    """Return the light in cd/m2 of PQ's codes in 0 to 1: the EOTF of BT.2100."""
    power = np.clip(codes, 0, 1) ** (1 / _M2)
    return np.asarray(_PQ_NITS * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1))


def nits_to_pq(nits: NDArray[Any]) -> NDArray[Any]:
    """Return PQ's codes of light in cd/m2: the inverse of `pq_to_nits`."""
    power = (np.clip(nits, 0, _PQ_NITS) / _PQ_NITS) ** _M1
    return np.asarray(((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2)


def hlg_to_nits(codes: Image) -> Image:
    """Return the light in cd/m2, on a display of 1000, of `(H, W, 3)` HLG codes: inverse OETF, then OOTF of BT.2100."""
    codes = np.clip(codes, 0, 1)
    scene = np.where(codes <= 0.5, codes**2 / 3, (np.exp((codes - _C) / _A) + _B) / 12)
    luminance = scene @ _WIDE_LUMINANCE
    return np.asarray(_HLG_NITS * luminance[..., None] ** (_HLG_GAMMA - 1) * scene, np.float32)


def nits_to_hlg(nits: Image) -> Image:
    """Return HLG's codes of `(H, W, 3)` light in cd/m2: the inverse of `hlg_to_nits`."""
    display = np.clip(nits, 0, _HLG_NITS) / _HLG_NITS
    luminance = np.maximum(display @ _WIDE_LUMINANCE, 1e-9) ** (1 / _HLG_GAMMA)
    scene = np.clip(display * luminance[..., None] ** (1 - _HLG_GAMMA), 0, 1)
    curve = _A * np.log(np.maximum(12 * scene - _B, 1e-9)) + _C
    return np.asarray(np.where(scene <= 1 / 12, np.sqrt(3 * scene), curve), np.float32)


def to_sdr(codes: Image, hdr: HdrInfo) -> Image:
    """Map `(H, W, 3)` R'G'B' of HDR video, 0 to 1, to sRGB in 0 to 1."""
    nits = np.asarray(pq_to_nits(codes) if hdr.transfer == PQ else hlg_to_nits(codes), np.float32)
    if hdr.wide:
        nits = nits @ np.linalg.inv(_TO_WIDE).T.astype(np.float32)
    nits = _into_gamut(nits)
    light, mapped = _tone_curve(hdr.peak_nits)
    scaled = _scaled(nits, light, mapped) / np.float32(SDR_WHITE_NITS)
    scaled = np.clip(scaled, 0, 1)
    return np.asarray(np.where(scaled <= 0.0031308, 12.92 * scaled, 1.055 * scaled ** (1 / 2.4) - 0.055), np.float32)


def to_hdr(srgb: Image, hdr: HdrInfo) -> Image:
    """Map `(H, W, 3)` sRGB to R'G'B' of the HDR video that it was made of: the inverse of `to_sdr`."""
    scaled = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4).astype(np.float32)
    light, mapped = _tone_curve(hdr.peak_nits)
    nits = _scaled(scaled * np.float32(SDR_WHITE_NITS), mapped, light)
    if hdr.wide:
        nits = nits @ _TO_WIDE.T.astype(np.float32)
    return np.asarray(nits_to_pq(nits) if hdr.transfer == PQ else nits_to_hlg(nits), np.float32)


def _scaled(nits: Image, before: NDArray[np.float64], after: NDArray[np.float64]) -> Image:
    """Scale each pixel so that the largest of R, G and B follows a curve."""
    largest = nits.max(axis=-1)
    gain = np.interp(largest, before, after) / np.maximum(largest, 1e-6)
    return np.asarray(nits * gain[..., None].astype(np.float32), np.float32)


def _into_gamut(nits: Image) -> Image:
    """Mix colours that have a negative part with grey of their luminance, until that part is zero."""
    luminance = np.maximum(nits @ _NARROW_LUMINANCE, 0)[..., None]
    least = nits.min(axis=-1, keepdims=True)
    share = np.where(least < 0, luminance / np.maximum(luminance - least, 1e-9), 1)
    return np.asarray(luminance + share * (nits - luminance), np.float32)


@cache
def _tone_curve(peak_nits: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return light in cd/m2 and what the EETF of BT.2390, section 5.4.1, makes of it; both ascend."""
    peak = float(nits_to_pq(np.array(peak_nits)))
    grid = np.linspace(0, 1, _CURVE_POINTS)
    most = float(nits_to_pq(np.array(SDR_WHITE_NITS))) / peak
    if most >= 1:
        return pq_to_nits(grid * peak), pq_to_nits(grid * peak)
    knee = 1.5 * most - 0.5
    t = np.clip((grid - knee) / (1 - knee), 0, 1)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * most
    return pq_to_nits(grid * peak), pq_to_nits(np.where(grid < knee, grid, spline) * peak)
