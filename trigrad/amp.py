"""Automatic mixed precision, under the names of ``torch.amp``."""

from .autograd.autocast import autocast as autocast
from .autograd.autocast import custom_bwd as custom_bwd
from .autograd.autocast import custom_fwd as custom_fwd
from .autograd.autocast import is_autocast_available as is_autocast_available
from .autograd.grad_scaler import GradScaler as GradScaler
