"""Optimizers, under the names of ``torch.optim``."""

from ..layers.adam import Adam as Adam
from ..layers.optimizer import Optimizer as Optimizer
from ..layers.sgd import SGD as SGD
