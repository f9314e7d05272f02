"""The door: ``import trigrad as tg``.  It hands names on and defines nothing."""

from pathlib import Path as _Path

if __name__ != "trigrad":
    raise ImportError("this folder is the package itself: write 'import trigrad'")

_here = _Path(__file__).parent
if not (_here / "framework").is_dir():  # a checkout: the rooms stand beside this folder, not inside it
    __path__.append(str(_here.parent))

__version__ = "0.1.0"

from . import autograd as autograd
from . import kernels as kernels
from .autograd import Tensor as Tensor
from .autograd import apply as apply
from .autograd import enable_grad as enable_grad
from .autograd import is_grad_enabled as is_grad_enabled
from .autograd import no_grad as no_grad
from .autograd import set_grad_enabled as set_grad_enabled
from .autograd import tensor as tensor
from .framework import cuda as cuda
