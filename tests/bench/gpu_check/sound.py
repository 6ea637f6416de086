"""The soundtrack on the card: the same bytes every time, close to a CPU's, and what an evaluation takes."""

import numpy as np
import torch
from bench.gpu_check.check import Check, gib, relative_error
from bench.gpu_check.findings import FAIL

from vidnst.style.sound.chunks import Samples
from vidnst.style.sound.restyle import SoundStylizer

_RATE = 48_000


def check_sound(check: Check) -> None:
    """Restyle stereo noise after other noise."""
    seconds, filters = (0.25, 16) if check.dry else (10.0, 512)
    sound, style = _noise(seconds, 1, slope=0.9), _noise(min(seconds, 5.0), 2, slope=-0.5)
    stylizer = SoundStylizer(style, _RATE, filters=filters, seed=0, device=check.device)
    count = 2 if check.dry else 20
    one, two = (stylizer.restyle(sound, strength=0.5, iterations=count) for _ in range(2))
    same = one.samples.tobytes() == two.samples.tobytes()
    check.judge("sound, twice", "the same bytes" if same else "other bytes", same, bad=FAIL)
    short = sound[:, : _RATE // 4]
    results = [
        torch.from_numpy(
            SoundStylizer(style, _RATE, filters=16, seed=0, device=device)
            .restyle(short, strength=0.5, iterations=1)
            .samples
        )
        for device in (check.device, torch.device("cpu"))
    ]
    off = relative_error(results[0] - torch.from_numpy(short), results[1] - torch.from_numpy(short))
    check.judge("sound: first step against a CPU's", f"{off:.2%} off", off < 0.02)

    def restyle() -> None:
        stylizer.restyle(sound, strength=0.5, iterations=count)

    took, peak = check.shortest_seconds(restyle, tries=1, warm=0), check.peak_gib(restyle)
    each = took / count / seconds * 1e3
    check.say(f"sound, {filters} filters, stereo", f"{each:.1f} ms an evaluation of a second, {gib(peak)}")


def _noise(seconds: float, seed: int, *, slope: float) -> Samples:
    noise = np.random.default_rng(seed).standard_normal((2, round(seconds * _RATE)))
    noise[:, 1:] += slope * noise[:, :-1]
    return (0.05 * noise).astype(np.float32)
