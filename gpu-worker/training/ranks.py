"""Training by several processes, each on its share of every batch: two of one thread each do 1.3 times as much as one of two."""

import os
import tempfile
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing

LOOPBACK = "lo"


def run(processes, function, *arguments):
    """Calls `function(*arguments)` in so many processes, and returns when all have ended; one alone is this one."""
    if processes == 1:
        return function(*arguments)
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.spawn(start, (processes, Path(folder) / "store", function, arguments), nprocs=processes)


def start(rank, processes, store, function, arguments):
    os.environ.setdefault("GLOO_SOCKET_IFNAME", LOOPBACK)
    torch.set_num_threads(max(1, os.cpu_count() // processes))
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=processes)
    try:
        function(*arguments)
    finally:
        dist.destroy_process_group()


def count():
    return dist.get_world_size() if dist.is_initialized() else 1


def index():
    """This process's; the first one, 0, is it that reports and writes."""
    return dist.get_rank() if dist.is_initialized() else 0


def generator(seed, step):
    """Random numbers of this process at a step: they depend on these and the number of processes only."""
    return torch.Generator().manual_seed((seed * 1_000_003 + step) * count() + index())


def is_mine(number):
    """Whether piece `number` of some work is this process's to do."""
    return number % count() == index()


def add_up(tensors):
    """Puts the sum over all processes into each tensor."""
    if count() == 1:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(flat)
    for tensor, sum in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(sum.view(tensor.shape))


def average(tensors):
    """Puts the mean over all processes into each tensor."""
    add_up(tensors)
    torch._foreach_div_(tensors, count())


def mean(number):
    """Of all processes' numbers."""
    tensor = torch.tensor([number])
    average([tensor])
    return tensor.item()
