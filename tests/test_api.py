"""The package from Python, as README shows it."""

from pathlib import Path

import cv2
import numpy as np
import torch

import vidnst

LOOK = {"style_layers": {"relu1_1": 1.0}, "content_layers": {"relu2_1": 1.0}}


def test_public_names_exist() -> None:
    for name in vidnst.__all__:
        assert hasattr(vidnst, name)
    assert set(vidnst.__all__) <= set(dir(vidnst))


def test_stylize_returns_tensor_and_keeps_input() -> None:
    config = vidnst.RenderConfig.model_validate(
        {"model": {"weights": "random"}, "losses": LOOK, "optimize": {"iterations": 12, "scales": 1}}
    )
    content = torch.rand(3, 48, 64, generator=torch.Generator().manual_seed(1))
    style = torch.zeros(3, 40, 40)
    style[0, ::4] = 1
    before = content.clone()
    picture = vidnst.stylize(content, style, config=config)
    assert picture.shape[-3:] == (3, 48, 64)
    assert 0 <= picture.min() <= picture.max() <= 1
    assert torch.equal(content, before)
    assert not torch.allclose(picture.reshape(content.shape), content, atol=0.02)


def test_render_takes_paths_and_returns_output(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    for name in ("in.png", "a.png", "b.png"):
        noise = np.asarray(cv2.GaussianBlur(noise, (0, 0), 2), np.uint8)
        cv2.imwrite(str(tmp_path / name), cv2.normalize(noise, None, 0, 255, cv2.NORM_MINMAX))
    config = vidnst.RenderConfig.model_validate(
        {
            "model": {"weights": "random"},
            "losses": LOOK,
            "optimize": {"iterations": 4},
            "farm": {"executor": "inline"},
        }
    )
    styles = [f"{tmp_path / 'a.png'}:100", f"{tmp_path / 'b.png'}:45"]
    output = vidnst.render(tmp_path / "in.png", style=styles, output=tmp_path / "out.png", config=config)
    assert output == tmp_path / "out.png"
    picture = cv2.imread(str(output))
    assert picture is not None
    assert picture.shape == (48, 64, 3)
