"""Special functions, under the names of ``torch.special``."""

from .kernels.erf import erf as erf
from .kernels.erf import erfc as erfc
from .kernels.erfinv import erfinv as erfinv
from .kernels.exponentials import exp2 as exp2
from .kernels.exponentials import expm1 as expm1
from .kernels.log_softmax import log_softmax as log_softmax
from .kernels.logarithms import log1p as log1p
from .kernels.logit import logit as logit
from .kernels.rounding import round as round
from .kernels.sigmoid import sigmoid as expit
from .kernels.sinc import sinc as sinc
from .kernels.softmax import softmax as softmax

__all__ = [
    "erf",
    "erfc",
    "erfinv",
    "exp2",
    "expit",
    "expm1",
    "log1p",
    "log_softmax",
    "logit",
    "round",
    "sinc",
    "softmax",
]
