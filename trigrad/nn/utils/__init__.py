"""Gradients clipped, parameters normalised or as one vector, under the names of ``torch.nn.utils``."""

from ...kernels.clip import clip_grad_norm_ as clip_grad_norm_
from ...kernels.clip import clip_grad_value_ as clip_grad_value_
from ...kernels.clip import clip_grads_with_norm_ as clip_grads_with_norm_
from ...kernels.clip import get_total_norm as get_total_norm
from ...layers.parametrize import remove_spectral_norm as remove_spectral_norm
from ...layers.parametrize import remove_weight_norm as remove_weight_norm
from ...layers.parametrize import spectral_norm as spectral_norm
from ...layers.parametrize import weight_norm as weight_norm
from ...layers.vectors import parameters_to_vector as parameters_to_vector
from ...layers.vectors import vector_to_parameters as vector_to_parameters
from . import parametrizations as parametrizations
from . import parametrize as parametrize
from . import rnn as rnn
