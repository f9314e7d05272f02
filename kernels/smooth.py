"""What smooth functions of one number have in common: three rows, for value, slope and curvature.

    f                  out    = f(input)
    f_backward         result = grad * f'(input)
    f_second           result = grad * scale * f''(input)

The slope's row is linear in ``grad``, so that it is its own gradient there.
"""

from ..autograd import Tensor
from ..framework.elementwise import elementwise
from ..framework.op import Grad, Op, register


def smooth(name, value, slope, curve, samples, function, ufunc=None, promotion="float", **more):
    """Register the three rows and return the first; ``value``, ``slope`` and ``curve`` are pairs of NumPy's and Triton's function."""
    row = register(
        Op(
            name=name,
            kernel=elementwise(*value, ufunc=ufunc),
            grads=(Grad(of=("input",), keeps=("input",), op=f"{name}_backward"),),
            samples=samples,
            function=function,
            promotion=promotion,
            **more,
        )
    )
    register(
        Op(
            name=f"{name}_backward",
            kernel=elementwise(*slope),
            grads=(
                Grad(of=("grad",), keeps=("input",), op=f"{name}_backward"),
                Grad(of=("input",), keeps=("grad", "input"), op=f"{name}_second"),
            ),
            outputs=("result",),
        )
    )
    register(
        Op(
            name=f"{name}_second",
            kernel=elementwise(*curve),
            grads=(
                Grad(of=("grad",), keeps=("scale", "input"), op=f"{name}_second"),
                Grad(of=("scale",), keeps=("grad", "input"), op=f"{name}_second"),
            ),
            outputs=("result",),
        )
    )
    return row


def usual(rng, low=-1.5, high=1.5):
    """Samples that every smooth function has: shapes, strides, integers aside."""
    from ..framework.op import Sample

    for shape in [(), (0, 2), (7,), (2, 1025)]:
        yield Sample(f"shape {shape}", (rng.uniform(low, high, shape),))
    yield Sample("strided", (rng.uniform(low, high, (4, 6))[:, ::2].T,))


def floating(name, input):
    """Raise RuntimeError, or TypeError for what is no tensor, unless ``input`` is a floating one."""
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}: expected a Tensor, got {type(input).__name__}")
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"{name}: expected a floating tensor, got {input.dtype.name}")
