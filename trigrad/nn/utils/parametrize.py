"""Tensors computed from others, under the names of ``torch.nn.utils.parametrize``."""

from ...layers.parametrize import ParametrizationList as ParametrizationList
from ...layers.parametrize import cached as cached
from ...layers.parametrize import is_parametrized as is_parametrized
from ...layers.parametrize import register_parametrization as register_parametrization
from ...layers.parametrize import remove_parametrizations as remove_parametrizations
