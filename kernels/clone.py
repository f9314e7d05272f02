"""A copy in memory of its own: ``clone`` keeps the layout, ``contiguous`` makes it row-major.

out        = input
grad_input = grad
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.elementwise import elementwise
from ..framework.language import jit
from ..framework.layout import FORMATS, check, contiguous_format, memory_format, preserve_format, relaid, strides_for
from ..framework.op import Grad, Kernel, Op, Sample, register


def clone(input: Tensor, *, memory_format: memory_format = preserve_format) -> Tensor:
    """A copy of ``input`` in new memory, through which gradients flow; any shape and dtype.

    The order of dimensions in memory stays unless ``memory_format`` names another.  Raises RuntimeError where that is
    ``channels_last`` and the input has not four dimensions.

    >>> x = Tensor([1.0, 2.0]); y = clone(x); y.data_ptr() == x.data_ptr()
    False
    """
    if memory_format is preserve_format:
        return apply(CLONE, input)
    check("clone", memory_format, input.shape)
    return apply(CONTIGUOUS, input, format=memory_format.name)


def forward_numpy(input):
    return input.copy(order="K")


@jit
def _same(x):
    return x


def contiguous(input: Tensor, memory_format: memory_format = contiguous_format) -> Tensor:
    """``input`` itself where it is row-major, else a row-major copy; so too for another ``memory_format``.

    Raises RuntimeError where that is ``preserve_format`` and the input is not row-major, and for ``channels_last`` where
    it has not four dimensions.

    >>> contiguous(Tensor([[1.0, 2.0], [3.0, 4.0]]).transpose(0, 1)).stride()
    (2, 1)
    """
    if memory_format is preserve_format and input.is_contiguous():
        return input
    check("contiguous", memory_format, input.shape, preserve=False)
    return input if input.is_contiguous(memory_format) else apply(CONTIGUOUS, input, format=memory_format.name)


def in_format(input, *, format):
    return relaid(input, strides_for(input.shape, (), FORMATS[format]))


def samples(rng):
    yield Sample("worked", (np.array([[1.0, 2.0]]),), answers=([[1.0, 2.0]], [[1.0, 1.0]]))
    yield Sample("transposed", (rng.normal(size=(3, 4)).T,))
    yield Sample("0-d", (rng.normal(size=()),))
    yield Sample("empty", (rng.normal(size=(0, 2)),))


def format_samples(rng):
    last = {"format": "channels_last"}
    x = np.array([[[[1.0, 2.0]], [[3.0, 4.0]]]])
    yield Sample("worked", (x,), last, answers=(x.tolist(), np.ones_like(x).tolist()))
    yield Sample("row-major", (rng.normal(size=(3, 4)).T,), {"format": "contiguous_format"})
    for shape in [(2, 3, 4, 5), (1, 1, 3, 2), (0, 2, 1, 1)]:
        yield Sample(f"shape {shape}", (rng.normal(size=shape),), last)


CLONE = register(
    Op(
        name="clone",
        kernel=elementwise(forward_numpy, _same),
        grads=(Grad(of=("input",), keeps=(), op="identity"),),
        samples=samples,
        function=clone,
    )
)

CONTIGUOUS = register(
    Op(
        name="contiguous",
        kernel=Kernel(numpy=in_format, triton=in_format),
        grads=(Grad(of=("input",), keeps=(), op="identity", settings=lambda call: {}),),
        samples=format_samples,
        function=contiguous,
    )
)
