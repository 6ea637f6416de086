"""Robust local regression over time: LOESS with lines and bisquare weights (Cleveland 1979)."""

import numpy as np
from numpy.typing import NDArray


def fit_lines(values: NDArray[np.float64], window: int, *, rounds: int, invisible: float) -> NDArray[np.float64]:
    """Smooth series over time: at each frame, a line is fitted to the nearest ones.

    Lines, unlike means, keep the slope of a sunset up to the first and last frame; a single flash has no influence.

    Args:
        values: `(T,)`, or `(T, N)` for N series.
        window: number of frames that each line is fitted to, from 3 to T.
        rounds: number of fits; each but the first without the outliers of the previous one.
        invisible: residuals below it are no outliers.
    """
    trust = np.ones_like(values)
    trend = values
    for _ in range(rounds):
        trend = _fit(values, trust, window)
        residual = np.abs(values - trend)
        if residual.max() < invisible:
            break
        spread = np.maximum(6 * np.median(residual, axis=0), invisible)
        trust = np.maximum(1e-6, (1 - np.minimum(residual / spread, 1) ** 2) ** 2)
    return trend


def _fit(values: NDArray[np.float64], trust: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    count = len(values)
    trend = np.empty_like(values)
    for index in range(count):
        first = min(max(0, index - window // 2), count - window)
        near = np.arange(first, first + window, dtype=np.float64) - index
        weights = (1 - (np.abs(near) / (np.abs(near).max() + 1)) ** 3) ** 3
        part, trusted = values[first : first + window].T, trust[first : first + window].T * weights
        trusted = trusted / trusted.sum(axis=-1, keepdims=True)
        middle, level = trusted @ near, (trusted * part).sum(axis=-1)
        away = near - middle[..., None]
        slope = (trusted * away * part).sum(axis=-1) / (trusted * away * near).sum(axis=-1)
        trend[index] = level - slope * middle
    return trend
