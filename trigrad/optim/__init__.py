"""Optimizers, under the names of ``torch.optim``."""

from . import lr_scheduler as lr_scheduler
from . import swa_utils as swa_utils
from ..layers.adam import Adam as Adam
from ..layers.adam import AdamW as AdamW
from ..layers.adaptive import Adadelta as Adadelta
from ..layers.adaptive import Adagrad as Adagrad
from ..layers.adaptive import Adamax as Adamax
from ..layers.adaptive import NAdam as NAdam
from ..layers.adaptive import RAdam as RAdam
from ..layers.adaptive import RMSprop as RMSprop
from ..layers.lbfgs import LBFGS as LBFGS
from ..layers.optimizer import Optimizer as Optimizer
from ..layers.rprop import ASGD as ASGD
from ..layers.rprop import Rprop as Rprop
from ..layers.sgd import SGD as SGD
