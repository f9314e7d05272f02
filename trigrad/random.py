"""PyTorch's ``torch.random``: the default generator's seed and state."""

from .framework.random import default_generator as default_generator
from .framework.random import get_rng_state as get_rng_state
from .framework.random import initial_seed as initial_seed
from .framework.random import manual_seed as manual_seed
from .framework.random import seed as seed
from .framework.random import set_rng_state as set_rng_state
from .kernels.distributions import fork_rng as fork_rng

__all__ = ["default_generator", "fork_rng", "get_rng_state", "initial_seed", "manual_seed", "seed", "set_rng_state"]
