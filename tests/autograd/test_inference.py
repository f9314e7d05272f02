"""inference_mode: what is made inside can be read, and can have no gradient."""

import pytest

import trigrad as tg

DEVICES = pytest.mark.parametrize("device", ["cpu", "interpreter"])


@DEVICES
def test_nothing_is_recorded(device):
    w = tg.ones(3, device=device).requires_grad_()
    with tg.inference_mode():
        assert tg.is_inference_mode_enabled() and not tg.is_grad_enabled()
        made = [
            w * 2,
            w + w,
            tg.zeros(2, device=device),
            tg.tensor([1.0], device=device),
            (w * w)[0],
            w.sum(),
            w.clone(),
        ]
        assert all(t.is_inference() and not t.requires_grad for t in made)
        view = w[0:2]
        assert not view.is_inference() and not w.detach().is_inference()
        with tg.enable_grad():
            assert not (w * 2).requires_grad
    assert not tg.is_inference_mode_enabled() and tg.is_grad_enabled()
    assert not w.is_inference() and tg.is_inference(made[0]) and (w * 2).requires_grad
    assert not tg.ones(1).is_inference()


@DEVICES
def test_outside(device):
    w = tg.ones(3, device=device).requires_grad_()
    with tg.inference_mode():
        x = tg.ones(3, device=device) * 2
        x.add_(1)  # inside it may be changed
    (w + x).sum().backward()  # nothing is kept
    assert w.grad.tolist() == [1.0] * 3
    with pytest.raises(RuntimeError, match="made in inference mode cannot be kept for a gradient"):
        w * x
    with pytest.raises(RuntimeError, match="add_: this tensor was made in inference mode"):
        x.add_(1)
    with pytest.raises(RuntimeError, match="requires_grad: this tensor was made in inference mode"):
        x.requires_grad_()
    with pytest.raises(RuntimeError, match="cannot be kept"):
        w * x.reshape(3)
    y = x.clone()
    assert not y.is_inference() and not (x + 1).is_inference()
    (w * y).sum().backward()
    assert w.grad.tolist() == [4.0] * 3 and x.tolist() == [3.0] * 3


def test_as_a_decorator_and_switched_off():
    w = tg.ones(2).requires_grad_()

    @tg.inference_mode
    def one():
        return w * 2

    @tg.inference_mode()
    def two():
        return w * 2

    @tg.inference_mode(False)
    def three():
        return w * 2

    assert one().is_inference() and two().is_inference()
    assert three().requires_grad and not three().is_inference()
    with tg.inference_mode():
        assert three().requires_grad and one().is_inference()
    with pytest.raises(ZeroDivisionError), tg.inference_mode():
        1 / 0  # noqa: B018
    assert not tg.is_inference_mode_enabled()
