# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Interleaved timing of calls, and networks of random weights to be timed."""

from __future__ import annotations

import copy
import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from motion_policy.policies import Policy, PolicySpec, make_policy
from motion_policy.policies.cpu.layers import Convolutions, MapNorm, Tanh, UpConvolution
from motion_policy.policies.normalisation import MinMax, Normalisation
from motion_policy.policies.recurrent.base import RecurrentNetwork
from motion_policy.robot import RobotSpec

LONGEST, ENOUGH = 3.0, 3  # times the seconds that were asked for; turns


def interleaved_ms(
    calls: Sequence[Callable[[], object]],
    seconds: float,
    *,
    least: int = 50,
    warm_up: int = 20,
    clock_ns: Callable[[], int] = time.thread_time_ns,
) -> list[list[float]]:
    """Time of every call in turn, over and over for `seconds`, in milliseconds.

    Taking turns gives all of them the same machine; the CPU time of this thread, unlike wall
    time, does not count what other processes take. For work on several threads, give the clock
    `time.perf_counter_ns`: CPU time would count threads that only wait; for work on a GPU,
    `gpu_clock_ns`. Where `least` turns would take longer than `LONGEST` times `seconds`, it stops
    after `ENOUGH` of them.
    """
    for call in calls:
        for _ in range(warm_up):
            call()
    times: list[list[float]] = [[] for _ in calls]
    end = time.monotonic() + seconds
    with collector_off():
        while not measured(len(times[0]), least, end, seconds):
            for call, taken in zip(calls, times, strict=True):
                begin = clock_ns()
                call()
                taken.append((clock_ns() - begin) / 1e6)
    return times


def measured(turns: int, least: int, end: float, seconds: float) -> bool:
    """Whether enough turns were taken: `least`, and until `end`, unless they take too long."""
    now = time.monotonic()
    if turns >= least:
        return now >= end
    return turns >= min(least, ENOUGH) and seconds > 0 and now >= end + (LONGEST - 1) * seconds


def gpu_clock_ns() -> int:
    """Wall time when the GPU has done all that it was asked for."""
    torch.cuda.synchronize()
    return time.perf_counter_ns()


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch, and what is made inside, use so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def collector_off() -> Iterator[None]:
    """No garbage collection inside: one full run takes longer than what is measured here."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def random_policy(
    kind: str,
    size: int | tuple[int, int],
    robot: RobotSpec,
    hyper: Mapping[str, Any] | None = None,
) -> Policy:
    """A policy with random weights that sees the robot's first camera.

    `size` is height and width of its images, or one number for both.
    """
    torch.manual_seed(0)
    limits = robot.joints.limits.position_array()
    values = MinMax(min=tuple(limits[:, 0]), max=tuple(limits[:, 1]))
    spec = PolicySpec(
        kind=kind,
        rate=10,
        cameras=(next(iter(robot.cameras)),),
        image_size=(size, size) if isinstance(size, int) else size,
        hyper=dict(hyper or {}),
        target='action',
        normalisation=Normalisation(qpos=values, action=values),
        robot=robot,
    )
    return make_policy(spec).eval()


def plain_network(network: RecurrentNetwork) -> RecurrentNetwork:
    """A copy of a network as plain PyTorch has it: its own layers, default memory order."""
    plain = copy.deepcopy(network).to(memory_format=torch.contiguous_format)
    for module in plain.modules():
        for name, layer in module.named_children():
            if isinstance(layer, Tanh):
                setattr(module, name, nn.Tanh())
    for module in plain.modules():
        if isinstance(module, Convolutions):
            module.__class__ = nn.Sequential
        elif isinstance(module, UpConvolution):
            module.__class__ = nn.ConvTranspose2d
        elif isinstance(module, MapNorm):
            module.__class__ = nn.LayerNorm
            for weight in module.parameters():
                weight.data = weight.data.contiguous()
    return plain
