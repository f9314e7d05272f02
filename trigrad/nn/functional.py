"""What layers compute, as functions, under the names of ``torch.nn.functional``."""

from ..layers.functional import adaptive_avg_pool2d as adaptive_avg_pool2d
from ..layers.functional import avg_pool2d as avg_pool2d
from ..layers.functional import batch_norm as batch_norm
from ..layers.functional import binary_cross_entropy_with_logits as binary_cross_entropy_with_logits
from ..layers.functional import conv2d as conv2d
from ..layers.functional import conv_transpose2d as conv_transpose2d
from ..layers.functional import cross_entropy as cross_entropy
from ..layers.functional import dropout as dropout
from ..layers.functional import dropout1d as dropout1d
from ..layers.functional import dropout2d as dropout2d
from ..layers.functional import dropout3d as dropout3d
from ..layers.functional import leaky_relu as leaky_relu
from ..layers.functional import leaky_relu_ as leaky_relu_
from ..layers.functional import linear as linear
from ..layers.functional import log_softmax as log_softmax
from ..layers.functional import max_pool2d as max_pool2d
from ..layers.functional import mse_loss as mse_loss
from ..layers.functional import nll_loss as nll_loss
from ..layers.functional import relu as relu
from ..layers.functional import sigmoid as sigmoid
from ..layers.functional import softmax as softmax
from ..layers.functional import tanh as tanh
