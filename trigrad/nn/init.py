"""First values for parameters, under the names of ``torch.nn.init``."""

from ..layers.init import calculate_gain as calculate_gain
from ..layers.init import constant_ as constant_
from ..layers.init import dirac_ as dirac_
from ..layers.init import eye_ as eye_
from ..layers.init import kaiming_normal_ as kaiming_normal_
from ..layers.init import kaiming_uniform_ as kaiming_uniform_
from ..layers.init import normal_ as normal_
from ..layers.init import ones_ as ones_
from ..layers.init import orthogonal_ as orthogonal_
from ..layers.init import sparse_ as sparse_
from ..layers.init import trunc_normal_ as trunc_normal_
from ..layers.init import uniform_ as uniform_
from ..layers.init import xavier_normal_ as xavier_normal_
from ..layers.init import xavier_uniform_ as xavier_uniform_
from ..layers.init import zeros_ as zeros_
