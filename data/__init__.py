"""Data sets, samplers, transforms and the loader that makes batches of tensors from them."""

if __name__ != "trigrad.data":
    raise ImportError("this folder is a room of trigrad: write 'import trigrad.data', not 'import data'")

from . import transforms as transforms
from .collate import default_collate as default_collate
from .collate import default_convert as default_convert
from .dataset import ChainDataset as ChainDataset
from .dataset import ConcatDataset as ConcatDataset
from .dataset import Dataset as Dataset
from .dataset import IterableDataset as IterableDataset
from .dataset import StackDataset as StackDataset
from .dataset import Subset as Subset
from .dataset import TensorDataset as TensorDataset
from .dataset import random_split as random_split
from .digits import Digits as Digits
from .folder import DatasetFolder as DatasetFolder
from .folder import ImageFolder as ImageFolder
from .loader import DataLoader as DataLoader
from .prefetch import prefetch as prefetch
from .sampler import BatchSampler as BatchSampler
from .sampler import RandomSampler as RandomSampler
from .sampler import Sampler as Sampler
from .sampler import SequentialSampler as SequentialSampler
from .sampler import SubsetRandomSampler as SubsetRandomSampler
from .sampler import WeightedRandomSampler as WeightedRandomSampler
from .vision import CIFAR10 as CIFAR10
from .vision import CIFAR100 as CIFAR100
from .vision import MNIST as MNIST
from .vision import FakeData as FakeData
from .vision import FashionMNIST as FashionMNIST
from .worker import WorkerInfo as WorkerInfo
from .worker import get_worker_info as get_worker_info
