"""Parametrizations, under the names of ``torch.nn.utils.parametrizations``."""

from ...layers.parametrize import parametrized_spectral_norm as spectral_norm
from ...layers.parametrize import parametrized_weight_norm as weight_norm

__all__ = ["spectral_norm", "weight_norm"]
