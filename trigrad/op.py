"""What an op of your own is made of: ``from trigrad.op import Grad, Op, Sample, elementwise, jit, register, tl``.

An op in your project is the same kind of file as one of trigrad's; docs/extending.md tells how to write one, and
``trigrad.testing.check_op`` checks it.  ``jit`` and ``tl`` stand in for Triton's until a kernel needs them; your own
``import triton`` and ``@triton.jit`` do as well.
"""

from .autograd import Tensor as Tensor
from .autograd import apply as apply
from .framework.array import DeviceArray as DeviceArray
from .framework.array import empty_like as empty_like
from .framework.elementwise import elementwise as elementwise
from .framework.language import cdiv as cdiv
from .framework.language import jit as jit
from .framework.language import libdevice as libdevice
from .framework.language import next_power_of_2 as next_power_of_2
from .framework.language import tl as tl
from .framework.language import triton as triton
from .framework.launch import cast as cast
from .framework.launch import contiguous as contiguous
from .framework.launch import copied as copied
from .framework.launch import copy_into as copy_into
from .framework.launch import launch as launch
from .framework.launch import load_at as load_at
from .framework.launch import offset_of as offset_of
from .framework.op import OPS as OPS
from .framework.op import VARIADIC as VARIADIC
from .framework.op import Call as Call
from .framework.op import Grad as Grad
from .framework.op import Kernel as Kernel
from .framework.op import Op as Op
from .framework.op import Sample as Sample
from .framework.op import register as register
from .framework.reduction import dims_of as dims_of
from .framework.reduction import reduce as reduce
from .framework.repeat import repeated as repeated
from .framework.view import viewing as viewing
