"""PyTorch's ``torch.backends``, as far as it concerns the precision of float32 products."""

from .framework.precision import cuda as cuda
from .framework.precision import cudnn as cudnn

__all__ = ["cuda", "cudnn"]
