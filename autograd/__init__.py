"""Tensors that remember how they were made, and the walk back through that memory.

This room reads the op table and knows no row by name except ``add``, ``sum_to`` (the engine's) and ``to`` (the gate's).
"""

if __name__ != "trigrad.autograd":
    raise ImportError("this folder is a room of trigrad: write 'import trigrad.autograd', not 'import autograd'")

from .check import gradcheck as gradcheck
from .check import gradgradcheck as gradgradcheck
from .engine import backward as backward
from .engine import grad as grad
from .function import Function as Function
from .mode import enable_grad as enable_grad
from .mode import is_grad_enabled as is_grad_enabled
from .mode import no_grad as no_grad
from .mode import set_grad_enabled as set_grad_enabled
from .saving import load as load
from .saving import save as save
from .tensor import Parameter as Parameter
from .tensor import Tensor as Tensor
from .tensor import Variable as Variable
from .tensor import apply as apply
from .tensor import apply_ as apply_
from .tensor import tensor as tensor
