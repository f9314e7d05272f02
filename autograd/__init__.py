"""Tensors that remember how they were made, and the walk back through that memory.

This room reads the op table and knows no row by name except ``add``, ``sum_to``, ``accumulate`` (the engine's), ``to``
(the gate's), ``identity`` (fusion's and the gate's) and ``stack`` (functional's).
"""

if __name__ != "trigrad.autograd":
    raise ImportError("this folder is a room of trigrad: write 'import trigrad.autograd', not 'import autograd'")

from . import function as function
from . import functional as functional
from . import graph as graph
from .anomaly import detect_anomaly as detect_anomaly
from .anomaly import is_anomaly_check_nan_enabled as is_anomaly_check_nan_enabled
from .anomaly import is_anomaly_enabled as is_anomaly_enabled
from .anomaly import set_detect_anomaly as set_detect_anomaly
from .autocast import autocast as autocast
from .autocast import autocast_inputs as autocast_inputs
from .autocast import custom_bwd as custom_bwd
from .autocast import custom_fwd as custom_fwd
from .autocast import get_autocast_dtype as get_autocast_dtype
from .autocast import is_autocast_available as is_autocast_available
from .autocast import is_autocast_enabled as is_autocast_enabled
from .capture import capture as capture
from .check import gradcheck as gradcheck
from .check import gradgradcheck as gradgradcheck
from .checkpoint import checkpoint as checkpoint
from .checkpoint import checkpoint_sequential as checkpoint_sequential
from .engine import backward as backward
from .engine import grad as grad
from .function import Function as Function
from .fusion import fuse as fuse
from .grad_scaler import GradScaler as GradScaler
from .inference import inference_mode as inference_mode
from .inference import is_inference as is_inference
from .inference import is_inference_mode_enabled as is_inference_mode_enabled
from .mode import enable_grad as enable_grad
from .mode import is_grad_enabled as is_grad_enabled
from .mode import no_grad as no_grad
from .mode import set_grad_enabled as set_grad_enabled
from .saving import load as load
from .saving import save as save
from .tensor import Parameter as Parameter
from .tensor import Tensor as Tensor
from .tensor import Variable as Variable
from .tensor import apply as apply
from .tensor import apply_ as apply_
from .tensor import tensor as tensor
