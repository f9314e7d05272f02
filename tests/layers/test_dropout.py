"""Dropout that keeps mean and variance; whole channels; in place; gradients."""

import numpy as np
import pytest

import trigrad as tg
from trigrad import nn

F = nn.functional


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_alpha_dropout_keeps_mean_and_variance(p):
    tg.manual_seed(0)
    x = tg.randn(200, 200, requires_grad=True)
    out = F.alpha_dropout(x, p, training=True)
    assert out.mean().item() == pytest.approx(0, abs=0.02) and out.std().item() == pytest.approx(1, abs=0.02)
    out.sum().backward()
    share = (x.grad == 0).float().mean().item()
    assert share == pytest.approx(p, abs=0.02)
    a = 1 / np.sqrt((1 - p) * (1 + p * 1.7580993408473766**2))
    np.testing.assert_allclose(np.unique(x.grad.numpy()), [0, a], rtol=1e-5)
    dropped = out.numpy(force=True)[x.grad.numpy() == 0]
    np.testing.assert_allclose(dropped, -1.7580993408473766 * a * (1 - p), rtol=1e-4)


def test_alpha_dropout_of_channels_and_in_place():
    tg.manual_seed(0)
    x = tg.ones(4, 8, 3, 3)
    out = F.feature_alpha_dropout(x, 0.5, training=True).numpy()
    assert np.all(out == out[:, :, :1, :1]) and len(np.unique(out[:, :, 0, 0])) == 2
    assert F.alpha_dropout(x, 0.5, training=True, inplace=True) is x and not np.all(x.numpy() == 1)
    net = nn.AlphaDropout(0.3)
    assert net.eval()(x) is x and repr(net) == "AlphaDropout(p=0.3, inplace=False)"
    assert nn.FeatureAlphaDropout(1.0)(x).abs().sum().item() == 0
    with pytest.raises(ValueError, match=r"alpha_dropout: expected p in \[0, 1\], got 2"):
        F.alpha_dropout(x, 2)
    with pytest.raises(RuntimeError, match="alpha_dropout: expected a floating tensor, got int64"):
        F.alpha_dropout(tg.ones(2, dtype=tg.int64), training=True)
    with pytest.raises(RuntimeError, match=r"feature_alpha_dropout: expected input \(N, C, ...\)"):
        F.feature_alpha_dropout(tg.ones(2), training=True)


@pytest.mark.parametrize("name, shape", [("Dropout1d", (4, 8, 3)), ("Dropout3d", (4, 8, 2, 2, 2))])
def test_dropout_of_channels(name, shape):
    tg.manual_seed(0)
    out = getattr(nn, name)(0.5)(tg.ones(shape)).numpy()
    flat = out.reshape(4, 8, -1)
    assert np.all(flat == flat[..., :1]) and set(np.unique(flat)) == {0.0, 2.0}
