"""``trigrad.nn.functional``: what layers compute, as functions.  PyTorch's name on the left, where it lives on the right."""

from ..kernels.adaptive_avg_pool2d import adaptive_avg_pool2d as adaptive_avg_pool2d
from ..kernels.avg_pool2d import avg_pool2d as avg_pool2d
from ..kernels.batch_norm import batch_norm as batch_norm
from ..kernels.binary_cross_entropy_with_logits import (
    binary_cross_entropy_with_logits as binary_cross_entropy_with_logits,
)
from ..kernels.conv2d import conv2d as conv2d
from ..kernels.conv_transpose2d import conv_transpose2d as conv_transpose2d
from ..kernels.cross_entropy import cross_entropy as cross_entropy
from ..kernels.dropout import dropout as dropout
from ..kernels.dropout import dropout1d as dropout1d
from ..kernels.dropout import dropout2d as dropout2d
from ..kernels.dropout import dropout3d as dropout3d
from ..kernels.leaky_relu import leaky_relu_ as leaky_relu_
from ..kernels.linear import linear as linear
from ..kernels.log_softmax import log_softmax as log_softmax
from ..kernels.max_pool2d import max_pool2d as max_pool2d
from ..kernels.mse_loss import mse_loss as mse_loss
from ..kernels.nll_loss import nll_loss as nll_loss
from ..kernels.sigmoid import sigmoid as sigmoid
from ..kernels.softmax import softmax as softmax
from ..kernels.tanh import tanh as tanh
from .activation import leaky_relu as leaky_relu
from .activation import relu as relu
