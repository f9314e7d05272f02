"""Learning rate schedules, under the names of ``torch.optim.lr_scheduler``."""

from ..layers.schedule import ChainedScheduler as ChainedScheduler
from ..layers.schedule import ConstantLR as ConstantLR
from ..layers.schedule import CosineAnnealingLR as CosineAnnealingLR
from ..layers.schedule import CosineAnnealingWarmRestarts as CosineAnnealingWarmRestarts
from ..layers.schedule import CyclicLR as CyclicLR
from ..layers.schedule import ExponentialLR as ExponentialLR
from ..layers.schedule import LambdaLR as LambdaLR
from ..layers.schedule import LinearLR as LinearLR
from ..layers.schedule import LRScheduler as LRScheduler
from ..layers.schedule import MultiplicativeLR as MultiplicativeLR
from ..layers.schedule import MultiStepLR as MultiStepLR
from ..layers.schedule import OneCycleLR as OneCycleLR
from ..layers.schedule import PolynomialLR as PolynomialLR
from ..layers.schedule import ReduceLROnPlateau as ReduceLROnPlateau
from ..layers.schedule import SequentialLR as SequentialLR
from ..layers.schedule import StepLR as StepLR
