"""GPUs: what there is, which one is used, and what its memory holds; under the names of ``torch.cuda``."""

from .framework.cuda import Event as Event
from .framework.cuda import OutOfMemoryError as OutOfMemoryError
from .framework.cuda import Stream as Stream
from .framework.cuda import current_device as current_device
from .framework.cuda import current_stream as current_stream
from .framework.cuda import device_count as device_count
from .framework.cuda import empty_cache as empty_cache
from .framework.cuda import get_device_capability as get_device_capability
from .framework.cuda import get_device_name as get_device_name
from .framework.cuda import get_device_properties as get_device_properties
from .framework.cuda import is_available as is_available
from .framework.cuda import max_memory_allocated as max_memory_allocated
from .framework.cuda import memory_allocated as memory_allocated
from .framework.cuda import memory_reserved as memory_reserved
from .framework.cuda import memory_summary as memory_summary
from .framework.cuda import reset_peak_memory_stats as reset_peak_memory_stats
from .framework.cuda import set_device as set_device
from .framework.cuda import synchronize as synchronize
