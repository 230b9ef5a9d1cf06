"""One process or many: who else there is, how the model is shared, and what all must agree on.

Processes are started by torchrun, or by anything that sets its variables (RANK, WORLD_SIZE,
LOCAL_RANK, MASTER_ADDR, MASTER_PORT). Where all of them are on one machine, they listen on its
loopback address alone: nothing of what they exchange has a password.
"""

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any, Final, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from training.errors import TrainingError
from training.nets import shared_parts
from training.run.recipe import Parallel, Precision

T = TypeVar("T")
_HERE: Final = ("127.0.0.1", "localhost")
# of all others while the first surveys corpora, or writes gigabytes to a slow disk
_PATIENCE: Final = timedelta(minutes=60)


class World(NamedTuple):
    """This process among all."""

    rank: int
    ranks: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """The process that writes and reports."""
        return self.rank == 0

    @property
    def runs_behind(self) -> bool:
        """Whether the device computes while this process goes on, which then waits for nothing."""
        return self.device.type != "cpu"

    def summed(self, numbers: torch.Tensor) -> torch.Tensor:
        """Numbers added up over all processes."""
        if self.ranks > 1:
            dist.all_reduce(numbers)
        return numbers

    def broadcast(self, compute: Callable[[], T]) -> T:
        """The first process's result, in all of them.

        Where its computation raises, the others raise `TrainingError`.
        """
        if self.ranks == 1:
            return compute()
        answer: list[Any] = [None, ""]
        raised: Exception | None = None
        if self.is_first:
            try:
                answer[0] = compute()
            except Exception as error:  # noqa: BLE001  whatever it is, nobody is left waiting
                raised, answer[1] = error, str(error) or repr(error)
        dist.broadcast_object_list(answer, device=self.device)
        if raised is not None:
            raise raised
        if answer[1]:
            raise TrainingError(f"the first process: {answer[1]}")
        result: T = answer[0]
        return result

    def gathered(self, mine: Sequence[T]) -> list[T]:
        """What all processes have, in the order of their ranks."""
        if self.ranks == 1:
            return list(mine)
        parts: list[Any] = [None] * self.ranks
        dist.all_gather_object(parts, list(mine))
        return [one for part in parts for one in part]

    def wait(self) -> None:
        """Until all have come here."""
        if self.ranks > 1:
            dist.barrier()


@contextmanager
def joined(device: str) -> Iterator[World]:
    """The world this process was started in.

    Raises `TrainingError` where a GPU is asked for and there is none.
    """
    rank, ranks, local = (
        _rank(),
        int(os.environ.get("WORLD_SIZE", "1")),
        int(os.environ.get("LOCAL_RANK", "0")),
    )
    chosen = device_of(device, local)
    if ranks > 1:
        _join_process_group("nccl" if chosen.type == "cuda" else "gloo", rank, ranks)
    try:
        yield World(rank, ranks, chosen)
    finally:
        if ranks > 1:
            dist.destroy_process_group()


def is_first_process() -> bool:
    """Whether this process is the first of those that train together, which alone writes and
    reports; before they have joined, too.
    """
    return _rank() == 0


def _rank() -> int:
    """This process's index among those that were started together."""
    return int(os.environ.get("RANK", "0"))


def _join_process_group(backend: str, rank: int, ranks: int) -> None:
    """Join the process group.

    Raises `OSError` where the port that processes of one machine were given is taken.
    """
    address, port = os.environ.get("MASTER_ADDR", ""), os.environ.get("MASTER_PORT", "")
    is_here = address in _HERE and port.isdigit()
    if is_here or os.environ.get("LOCAL_WORLD_SIZE") == str(ranks):
        os.environ.update(GLOO_SOCKET_IFNAME="lo", NCCL_SOCKET_IFNAME="lo")
    # machines find each other; torchrun has its own store
    if not is_here or os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        dist.init_process_group(backend, timeout=_PATIENCE)
        return
    # by itself torch listens on all addresses
    listening = socket.create_server((_HERE[0], int(port))).detach() if rank == 0 else None
    store = dist.TCPStore(  # type: ignore[attr-defined]  # its documented place
        _HERE[0], int(port), ranks, rank == 0, _PATIENCE, master_listen_fd=listening
    )
    dist.init_process_group(backend, store=store, rank=rank, world_size=ranks, timeout=_PATIENCE)


def device_of(device: str, number: int = 0) -> torch.device:
    """The device that ``auto``, ``cpu`` or ``cuda`` means here.

    Raises `TrainingError` where a GPU is asked for and there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise TrainingError(
            "the device is cuda, but torch finds no GPU here: "
            "take auto or cpu, or install a CUDA build of torch"
        )
    if device == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    number %= torch.cuda.device_count()  # a scheduler may show each process its own GPU alone
    torch.cuda.set_device(number)
    torch.set_float32_matmul_precision("high")  # TF32 for what bf16 leaves
    return torch.device("cuda", number)


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """Around the net: bf16 where the recipe says so."""
    return (
        nullcontext()
        if precision is Precision.FP32
        else torch.autocast(device.type, torch.bfloat16)
    )


def wrapped(
    model: nn.Module, world: World, parallel: Parallel, precision: Precision = Precision.FP32
) -> nn.Module:
    """The model as several processes train it; by itself where there is one.

    Under FSDP each block of the net is gathered by itself, so that no more than one is whole at a
    time: in bf16 where the net computes in it, half as many bytes to send; gradients are added up
    in float32 all the same. Under DDP gradients stand where they are sent from, not beside it.
    """
    if world.ranks == 1:
        return model
    if parallel is Parallel.DDP:
        device_ids = [world.device.index] if world.device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=device_ids, gradient_as_bucket_view=True)
    mesh = init_device_mesh(world.device.type, (world.ranks,))
    # inputs stay as they are: times in bf16 would be off by tens of milliseconds
    policy = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if precision is Precision.BF16 else None,
        reduce_dtype=torch.float32,
        cast_forward_inputs=False,
    )
    # the children too: sampling calls them by themselves
    for module in (*shared_parts(model), *model.children(), model):
        fully_shard(module, mesh=mesh, mp_policy=policy)
    return model


@contextmanager
def grad_sync(model: nn.Module, *, last: bool) -> Iterator[None]:
    """Around a micro-batch: gradients are exchanged after the last one of a step alone."""
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(last)
    waits: Any = (
        model.no_sync()
        if isinstance(model, DistributedDataParallel) and not last
        else nullcontext()
    )
    with waits:
        yield


def full_tensor(value: torch.Tensor) -> torch.Tensor:
    """A tensor by itself, gathered where processes hold shares of it; all of them must ask."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def local_tensor(value: torch.Tensor) -> torch.Tensor:
    """This process's share of a tensor, or all of it."""
    return value.to_local() if isinstance(value, DTensor) else value


def like_parameter(share: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    """This process's share of a tensor that is shared as a parameter is; all of it, where that is
    whole.
    """
    if not isinstance(parameter, DTensor):
        return share
    return DTensor.from_local(
        share,
        parameter.device_mesh,
        parameter.placements,
        shape=parameter.shape,
        stride=parameter.stride(),
    )


def copy_into(into: torch.Tensor, value: torch.Tensor) -> None:
    """Put a whole tensor into one that processes may hold shares of, of which each reads its rows
    alone.
    """
    if isinstance(into, DTensor):
        each = -(-len(value) // into.device_mesh.size())
        first = into.device_mesh.get_local_rank() * each
        value = value[first : first + each]
    local_tensor(into).copy_(value)
