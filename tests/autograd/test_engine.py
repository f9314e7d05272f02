"""The engine and the gate, on toy rows: neither Triton nor a GPU, and no op of ours but the two the engine names."""

import gc
import weakref

import numpy as np
import pytest

import trigrad as tg
from trigrad.autograd.tensor import wrap
from trigrad.framework.op import OPS, Grad, Kernel, Op, register


def toy(name: str, f, *, keeps=(), grads=(), **fields) -> Op:
    """A row for these tests, registered once."""
    if f"toy_{name}" in OPS:
        return OPS[f"toy_{name}"]
    return register(Op(f"toy_{name}", Kernel(numpy=f, triton=f), grads, **fields))


SQUARE_BACKWARD = toy(
    "square_backward",
    lambda grad, input: 2 * grad * input,
    grads=(Grad(("grad",), ("input",), "toy_square_backward"), Grad(("input",), ("grad",), "toy_square_backward")),
)
SQUARE = toy("square", lambda input: input * input, grads=(Grad(("input",), ("input",), "toy_square_backward"),))
TIMES_OUT = toy(
    "times_out",
    lambda grad, output: grad * output,
    grads=(Grad(("grad",), ("output",), "toy_times_out"), Grad(("output",), ("grad",), "toy_times_out")),
)
EXP = toy("exp", lambda input: np.exp(input), grads=(Grad(("input",), ("output",), "toy_times_out"),))
PAIR = toy(
    "pair",
    lambda input: (2 * input, 3 * input),
    outputs=("double", "triple"),
    differentiable=2,
    grads=(Grad(("input",), (), "toy_pair_backward"),),
)
toy("pair_backward", lambda double, triple: 2 * double + 3 * triple)
ROUGH = toy("rough", lambda input, other: input * other, grads=(Grad(("input",), ("other",), "mul"),))
FIRST = toy("first", lambda input, other: input + 0 * other, grads=(Grad(("input",), (), "identity"),), zero=("other",))


def leaf(*values: float) -> tg.Tensor:
    return tg.tensor(np.array(values), requires_grad=True)


def square(x):
    return tg.apply(SQUARE, x)


def ones(x):
    return wrap(np.ones(x.shape, x.dtype.numpy))


def test_diamond_adds_both_paths():
    x = leaf(3.0, -2.0)
    y = square(x)
    (y + y * x).backward(ones(x))
    np.testing.assert_array_equal(x.grad.numpy(), 2 * x.detach().numpy() + 3 * x.detach().numpy() ** 2)


def test_one_tensor_used_many_times():
    x = leaf(2.0)
    y = x
    for _ in range(5):
        y = y + x
    y.backward()
    assert x.grad.item() == 6.0


def test_backward_accumulates_until_cleared():
    x = leaf(3.0)
    square(x).backward()
    square(x).backward()
    assert x.grad.item() == 12.0
    x.grad = None
    square(x).backward()
    assert x.grad.item() == 6.0


def test_gradients_of_leaves_are_their_own_memory():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    g = wrap(np.array([1.0, 1.0]))
    (x + w).backward(g)
    assert x.grad.data_ptr() != w.grad.data_ptr() != g.data_ptr() != x.grad.data_ptr()
    x.grad.numpy()[:] = 7.0
    np.testing.assert_array_equal(w.grad.numpy(), [1.0, 1.0])
    np.testing.assert_array_equal(g.numpy(), [1.0, 1.0])


def test_only_wanted_gradients_are_computed(monkeypatch):
    ran = []
    kernel = OPS["mul"].kernel
    spy = Kernel(numpy=lambda input, other: ran.append(1) or kernel.numpy(input, other), triton=kernel.triton)
    monkeypatch.setitem(OPS["mul"].__dict__, "kernel", spy)
    monkeypatch.setitem(OPS["mul"].__dict__, "wide", spy.numpy)
    x, c = leaf(2.0), wrap(np.array([5.0]))
    y = x * c
    ran.clear()
    y.backward()
    assert len(ran) == 1 and x.grad.item() == 5.0 and c.grad is None


def test_only_what_is_needed_is_kept():
    x, c = leaf(2.0), wrap(np.array([5.0]))
    y = x * c
    assert [saved[0] is c.array for saved in y.grad_fn.kept] == [True]
    assert (x + c).grad_fn.kept is None


def test_broadcast_gradients_are_summed_back():
    x = tg.tensor(np.ones((2, 1)), requires_grad=True)
    y = tg.tensor(np.ones((1, 3)), requires_grad=True)
    z = x * y
    z.backward(wrap(np.arange(6.0).reshape(2, 3)))
    np.testing.assert_array_equal(x.grad.numpy(), [[3.0], [12.0]])
    np.testing.assert_array_equal(y.grad.numpy(), [[3.0, 5.0, 7.0]])


def test_no_grad_and_enable_grad_nest():
    x = leaf(2.0)
    with tg.no_grad():
        assert not square(x).requires_grad and not tg.is_grad_enabled()
        with tg.enable_grad():
            assert square(x).requires_grad
        assert not square(x).requires_grad
    assert square(x).requires_grad

    @tg.no_grad()
    def quiet(v):
        return square(v)

    @tg.no_grad
    def quieter(v):
        return square(v)

    assert not quiet(x).requires_grad and not quieter(x).requires_grad and tg.is_grad_enabled()
    with tg.set_grad_enabled(False):
        assert not square(x).requires_grad
    assert square(x).requires_grad
    tg.set_grad_enabled(False)
    assert not square(x).requires_grad
    tg.set_grad_enabled(True)


def test_no_grad_is_undone_by_an_exception():
    with pytest.raises(KeyError), tg.no_grad():
        raise KeyError
    assert tg.is_grad_enabled()


def test_a_long_chain_does_not_recurse():
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y + 0.0
    y.backward()
    assert x.grad.item() == 1.0
    del y
    gc.collect()


def test_backward_frees_what_was_kept():
    x = leaf(2.0, 3.0)
    hidden = square(x)
    kept = weakref.ref(hidden.array)
    y = square(hidden)
    del hidden
    gc.collect()
    assert kept() is not None
    y.backward(ones(x))
    assert kept() is None


def test_a_graph_without_references_disappears_without_the_collector():
    gc.disable()
    try:
        x = leaf(2.0)
        y = tg.apply(EXP, square(x))
        node = weakref.ref(y.grad_fn)
        array = weakref.ref(y.array)
        del y
        assert node() is None and array() is None
    finally:
        gc.enable()


def test_second_backward_says_so():
    x = leaf(2.0)
    y = square(x)
    y.backward()
    with pytest.raises(
        RuntimeError,
        match=r"the graph was freed by a backward before \(at <ToySquareBackward>\); use retain_graph=True",
    ):
        y.backward()
    z = square(x)
    z.backward(retain_graph=True)
    z.backward()
    assert x.grad.item() == 12.0


def test_backward_needs_a_gradient_for_more_than_one_element():
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match=r"a gradient is needed for an output of shape \(2,\)"):
        square(x).backward()
    with pytest.raises(RuntimeError, match=r"the output has shape \(2,\), its gradient has shape \(3,\)"):
        square(x).backward(wrap(np.ones(3)))
    with pytest.raises(TypeError, match="the gradient must be a Tensor, got list"):
        square(x).backward([1.0, 1.0])
    with pytest.raises(RuntimeError, match="does not require a gradient"):
        wrap(np.ones(1)).backward()


def test_a_changed_saved_tensor_is_an_error_with_both_versions():
    x = leaf(2.0)
    h = x + 1.0
    y = square(h)
    with tg.no_grad():
        h += 1.0
    with pytest.raises(
        RuntimeError,
        match="toy_square needs for its gradient was changed in place: it was at version 0, now it is at version 1",
    ):
        y.backward()


def test_a_changed_output_is_an_error_too():
    x = leaf(2.0)
    y = tg.apply(EXP, x)
    with tg.no_grad():
        y *= 2.0
    with pytest.raises(RuntimeError, match="toy_exp needs for its gradient was changed in place"):
        y.backward()


def test_in_place_moves_the_history():
    x = leaf(3.0)
    y = x + 0.0
    y *= 4.0
    y += x
    y.backward()
    assert x.grad.item() == 5.0


def test_in_place_on_a_leaf_that_requires_grad():
    x = leaf(1.0)
    with pytest.raises(
        RuntimeError, match=r"add_: a leaf that requires a gradient cannot be changed in place; use no_grad\(\)"
    ):
        x += 1.0
    with tg.no_grad():
        x += 1.0
    assert x.item() == 2.0 and x._version == 1 and x.is_leaf


def test_in_place_keeps_shape_and_dtype():
    x = wrap(np.ones(3))
    with pytest.raises(
        RuntimeError, match=r"add_: the result has shape \(2, 3\), the tensor it would be written into \(3,\)"
    ):
        x += wrap(np.ones((2, 3)))
    n = wrap(np.arange(3))
    with pytest.raises(RuntimeError, match="mul_: a result of dtype float32 cannot be written into a tensor of int64"):
        n *= 1.5
    np.testing.assert_array_equal(n.numpy(), [0, 1, 2])


def test_grad_of_intermediate_and_leaf():
    x = leaf(3.0)
    h = square(x)
    y = square(h)
    dh, dx = tg.autograd.grad(y, [h, x])
    assert dh.item() == 18.0 and dx.item() == 108.0 and x.grad is None and h.grad is None


def test_grad_says_which_input_is_unused():
    x, z = leaf(1.0), leaf(1.0)
    with pytest.raises(RuntimeError, match="the outputs do not depend on input 1"):
        tg.autograd.grad(square(x), [x, z])
    assert tg.autograd.grad(square(x), [x, z], allow_unused=True)[1] is None
    assert tg.autograd.grad(square(x), [x, z], materialize_grads=True)[1].item() == 0.0
    with pytest.raises(RuntimeError, match="input 0 does not require a gradient"):
        tg.autograd.grad(square(x), wrap(np.ones(1)))


def test_several_outputs_add_up():
    x = leaf(2.0)
    (g,) = tg.autograd.grad([square(x), x * 3.0], x, [wrap(np.array([1.0])), wrap(np.array([10.0]))])
    assert g.item() == 34.0


def test_backward_into_chosen_inputs_only():
    x, w = leaf(2.0), leaf(5.0)
    (x * w).backward(inputs=[x])
    assert x.grad.item() == 5.0 and w.grad is None
    h = square(x)
    square(h).backward(inputs=[h])
    assert h.grad.item() == 8.0 and x.grad.item() == 5.0


def test_a_node_with_several_outputs():
    x = leaf(1.0)
    a, b = tg.apply(PAIR, x)
    assert a.grad_fn is b.grad_fn
    b.backward()
    assert x.grad.item() == 3.0
    x.grad = None
    a, b = tg.apply(PAIR, x)
    (a + b * b).backward()
    assert x.grad.item() == 2.0 + 2 * 3.0 * 3.0
    a, b = tg.apply(PAIR, x)
    ga, gb = tg.autograd.grad(a * b, [a, b])
    assert (ga.item(), gb.item()) == (3.0, 2.0)


def test_gradients_of_gradients():
    x = leaf(2.0, -3.0)
    (g,) = tg.autograd.grad(square(square(x)), x, ones(x), create_graph=True)
    np.testing.assert_allclose(g.detach().numpy(), 4 * x.detach().numpy() ** 3)
    (h,) = tg.autograd.grad(g, x, ones(x), create_graph=True)
    np.testing.assert_allclose(h.detach().numpy(), 12 * x.detach().numpy() ** 2)
    (k,) = tg.autograd.grad(h, x, ones(x))
    np.testing.assert_allclose(k.numpy(), 24 * x.detach().numpy())
    y = leaf(0.5)
    (first,) = tg.autograd.grad(tg.apply(EXP, y), y, create_graph=True)
    (second,) = tg.autograd.grad(first, y, create_graph=True)
    assert second.item() == pytest.approx(np.exp(0.5))


def test_backward_with_create_graph_leaves_a_remembering_gradient():
    x = leaf(3.0)
    square(x).backward(create_graph=True)
    assert x.grad.requires_grad
    (h,) = tg.autograd.grad(x.grad, x)
    assert h.item() == 2.0


def test_a_missing_gradient_row_is_an_error_and_a_zero_one_is_not():
    x, w = leaf(2.0), leaf(3.0)
    with pytest.raises(RuntimeError, match="toy_rough: its input 'other' has no gradient row"):
        tg.apply(ROUGH, x, w).backward()
    tg.apply(ROUGH, x, w.detach()).backward()
    assert x.grad.item() == 3.0
    y = tg.apply(FIRST, x, w)
    y.backward()
    assert w.grad is None and x.grad.item() == 4.0
    (zero,) = tg.autograd.grad(tg.apply(FIRST, x.detach(), w * 2), w)  # it depends on w, with slope 0
    assert zero.item() == 0.0


def test_the_slope_of_a_slope_that_is_constant_piece_by_piece_is_zero():
    x = leaf(1.0, -2.0)
    (slope,) = tg.autograd.grad(tg.relu(x).sum(), x, create_graph=True)
    (second,) = tg.autograd.grad(slope.sum(), x)
    assert second.tolist() == [0.0, 0.0]
    with pytest.raises(RuntimeError, match="the outputs do not depend on input 0"):
        tg.autograd.grad(tg.relu(x).sum(), leaf(1.0))


def test_hooks_see_and_change_gradients():
    x = leaf(2.0)
    h = square(x)
    seen = []
    first = h.register_hook(lambda g: seen.append(g.item()))
    second = h.register_hook(lambda g: g * 10.0)
    square(h).backward(retain_graph=True)
    assert seen == [8.0] and x.grad.item() == 320.0
    first.remove()
    second.remove()
    second.remove()
    x.grad = None
    x.register_hook(lambda g: -g)
    square(h).backward()
    assert x.grad.item() == -32.0 and seen == [8.0]


def test_a_hook_must_keep_the_shape():
    x = leaf(2.0)
    x.register_hook(lambda g: wrap(np.ones(3)))
    with pytest.raises(RuntimeError, match=r"hook: expected a tensor of shape \(1,\) or None"):
        square(x).backward()
    with pytest.raises(RuntimeError, match="does not require a gradient"):
        wrap(np.ones(1)).register_hook(print)


def test_retain_grad():
    x = leaf(2.0)
    h = square(x)
    assert h.grad is None and not h.retains_grad
    h.retain_grad()
    h.retain_grad()
    square(h).backward()
    assert h.grad.item() == 8.0 and h.retains_grad and not h.is_leaf


def test_detach_shares_memory_and_forgets():
    x = leaf(2.0)
    h = square(x)
    d = h.detach()
    assert d.data_ptr() == h.data_ptr() and not d.requires_grad and d.is_leaf
    d.numpy()[:] = 9.0
    assert h.item() == 9.0
    with tg.no_grad():
        d += 1.0
    assert h._version == d._version == 1


def test_leaf_rules():
    x = leaf(1.0)
    y = square(x)
    assert x.is_leaf and not y.is_leaf and y.grad_fn is not None and x.grad_fn is None
    with pytest.raises(RuntimeError, match="only a leaf's can be turned off"):
        y.requires_grad = False
    with pytest.raises(RuntimeError, match="only floating tensors have gradients, this one is int64"):
        tg.tensor([1, 2], requires_grad=True)
    x.requires_grad = False
    assert not square(x).requires_grad


def test_assigning_grad_is_checked():
    x = leaf(1.0, 2.0)
    x.grad = wrap(np.ones(2))
    with pytest.raises(
        RuntimeError, match=r"grad: expected shape \(2,\) of float64 on cpu, got shape \(3,\) of float64 on cpu"
    ):
        x.grad = wrap(np.ones(3))
    with pytest.raises(TypeError, match="grad: expected a Tensor or None, got float"):
        x.grad = 1.0


def test_the_graph_can_be_walked_and_speaks_in_row_names():
    x, w = leaf(1.0), leaf(2.0)
    y = x * w + w
    assert repr(y.grad_fn) == "<AddBackward>"
    (mul, zero), (accumulate, _) = y.grad_fn.next_functions
    assert repr(mul) == "<MulBackward>" and zero == 0
    assert repr(accumulate) == "<AccumulateGrad>" and accumulate.variable is w
    assert [repr(n) for n, _ in mul.next_functions] == ["<AccumulateGrad>", "<AccumulateGrad>"]
    assert (x * 2.0).grad_fn.next_functions[1] == (None, 0)


def test_different_devices_and_strange_operands():
    x = leaf(1.0)
    with pytest.raises(TypeError, match="unsupported operand"):
        x + "one"
    with pytest.raises(TypeError, match="toy_square: expected tensors and numbers, got str"):
        tg.apply(SQUARE, "one")
    with pytest.raises(TypeError, match="toy_square: expected at least one Tensor"):
        tg.apply(SQUARE, 1.0)
    y = tg.tensor([1.0, 2.0], device="interpreter")
    with pytest.raises(RuntimeError, match="add: expected all tensors on one device, got cpu, interpreter"):
        tg.tensor([1.0, 2.0]) + y


class Cube(tg.autograd.Function):
    @staticmethod
    def forward(ctx, x, scale):
        ctx.save_for_backward(x)
        ctx.scale = scale
        return x * x * x * scale

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * 3.0 * x * x * ctx.scale, None


def test_function_first_and_second_order():
    x = leaf(2.0)
    y = Cube.apply(x, 5.0)
    assert repr(y.grad_fn) == "<CubeBackward>"
    (g,) = tg.autograd.grad(y, x, create_graph=True)
    (h,) = tg.autograd.grad(g, x)
    assert (y.item(), g.item(), h.item()) == (40.0, 60.0, 60.0)
    assert tg.autograd.gradcheck(lambda v: Cube.apply(v, 2.0), leaf(0.5, -1.5))


def test_function_saved_outputs_and_several_outputs():
    class Two(tg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            a, b = x * 2.0, x * x
            ctx.save_for_backward(a, x)
            ctx.mark_non_differentiable(c := wrap(np.array([1])))
            return a, b, c

        @staticmethod
        def backward(ctx, ga, gb, gc):
            a, x = ctx.saved_tensors
            assert a.item() == 2 * x.item()
            return ga * 2.0 + gb * 2.0 * x

    x = leaf(3.0)
    a, b, c = Two.apply(x)
    assert not c.requires_grad
    b.backward(retain_graph=True)
    assert x.grad.item() == 6.0
    a.backward()
    assert x.grad.item() == 8.0
    with pytest.raises(RuntimeError, match="the saved tensors were freed by a backward before"):
        b.backward()


def test_function_mistakes_are_named():
    class Bad(tg.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            return x + y

        @staticmethod
        def backward(ctx, grad):
            return grad

    with pytest.raises(RuntimeError, match=r"Bad.backward: expected 2 gradients, one per input of forward, got 1"):
        Bad.apply(leaf(1.0), leaf(2.0)).backward()

    class Misshapen(Bad):
        @staticmethod
        def backward(ctx, grad):
            return grad, wrap(np.ones(3))

    with pytest.raises(RuntimeError, match=r"gradient 1 has shape \(3,\), its input has shape \(1,\)"):
        Misshapen.apply(leaf(1.0), leaf(2.0)).backward()


def test_gradcheck_finds_a_wrong_gradient():
    class Wrong(tg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * x

        @staticmethod
        def backward(ctx, grad):
            return grad * 2.0

    with pytest.raises(RuntimeError, match="the gradient is 2, central differences give 6"):
        tg.autograd.gradcheck(Wrong.apply, leaf(3.0))
    assert not tg.autograd.gradcheck(Wrong.apply, leaf(3.0), raise_exception=False)
    assert not tg.autograd.gradcheck(Wrong.apply, leaf(3.0), raise_exception=False, fast_mode=True)
    with pytest.raises(ValueError, match="expected float64 inputs, input 0 is float32"):
        tg.autograd.gradcheck(square, tg.tensor([1.0], requires_grad=True))
    with pytest.raises(ValueError, match="at least one input must require a gradient"):
        tg.autograd.gradcheck(square, wrap(np.ones(1)))


def test_gradgradcheck():
    assert tg.autograd.gradcheck(square, leaf(1.0, 2.0)) and tg.autograd.gradgradcheck(square, leaf(1.0, 2.0))
    assert tg.autograd.gradgradcheck(lambda a, b: tg.apply(EXP, a * b), [leaf(0.5, 0.1), leaf(1.0, -2.0)])
