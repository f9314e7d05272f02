"""What ``trigrad.cuda.amp`` hands on: the names of ``torch.cuda.amp``, older than those of ``torch.amp``."""

from ..autograd.autocast import cuda_autocast as autocast  # noqa: F401
from ..autograd.autocast import cuda_custom_bwd as custom_bwd  # noqa: F401
from ..autograd.autocast import cuda_custom_fwd as custom_fwd  # noqa: F401
from ..autograd.grad_scaler import cuda_grad_scaler as GradScaler  # noqa: F401, N812
