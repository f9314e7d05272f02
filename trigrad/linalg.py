"""Linear algebra, under the names of ``torch.linalg``: what needs no decomposition of a matrix."""

from .kernels.diagonal import linalg_diagonal as diagonal
from .kernels.matmul import matmul as matmul
from .kernels.products import linalg_cross as cross
from .kernels.products import matrix_power as matrix_power
from .kernels.products import multi_dot as multi_dot
from .kernels.products import vecdot as vecdot
from .kernels.vector_norm import linalg_norm as norm
from .kernels.vector_norm import matrix_norm as matrix_norm
from .kernels.vector_norm import vector_norm as vector_norm

__all__ = [
    "cross",
    "diagonal",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "multi_dot",
    "norm",
    "vecdot",
    "vector_norm",
]
