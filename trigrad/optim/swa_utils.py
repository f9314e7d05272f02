"""Averages of weights, under the names of ``torch.optim.swa_utils``."""

from ..layers.averaging import AveragedModel as AveragedModel
from ..layers.averaging import get_ema_avg_fn as get_ema_avg_fn
from ..layers.averaging import get_ema_multi_avg_fn as get_ema_multi_avg_fn
from ..layers.averaging import get_swa_avg_fn as get_swa_avg_fn
from ..layers.averaging import get_swa_multi_avg_fn as get_swa_multi_avg_fn
from ..layers.averaging import update_bn as update_bn
from ..layers.schedule import SWALR as SWALR
