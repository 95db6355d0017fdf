# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""One step of a policy against the plain eager forward of the same weights, in turns.

Ours is `policy.act` as the policy node calls it: camera frame and joints in, chunk out, resizing
and normalising included. The reference is the whole network in PyTorch's own layers on ready-made
tensors. Ours runs in the back end that `auto` chooses.
Recurrent policies: one thread, no image decoder, CPU time, both by our allocator settings. ACT of
the paper's size: two threads, wall time; reference with attention weights, batch norm as a module
and NCHW images, in a process of its own as PyTorch starts it; `details` tell what it takes by our
allocator settings.

On a GPU both compute there, in this process, and wall time counts until the answer is back in the
CPU's memory: ours from the camera's frame in memory, the reference from tensors that are ready;
both without TF32.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from measuring.timing import (
    collector_off,
    gpu_clock_ns,
    interleaved_ms,
    measured,
    plain_network,
    random_policy,
    threads,
)
from measuring.turns import TurnProcess, serve_turns, turns_wanted
from reference.plain_act import PlainACT

from motion_policy.cli.main import main
from motion_policy.cli.measurement import GPU, Line, Measurement
from motion_policy.policies.act.act import ACTPolicy
from motion_policy.policies.backends.graph import random_observation
from motion_policy.policies.backends.selection import BackEndChoice, Checks, chosen, use_back_end
from motion_policy.policies.base import ObservationBatch
from motion_policy.policies.cpu.allocator import keep_freed_memory
from motion_policy.policies.cpu.processor import forbid_tf32
from motion_policy.policies.recurrent.base import RecurrentPolicy
from motion_policy.robot import load_robot_spec

DEVICES = ('cpu', GPU)
SUMMARY = 'one step of a policy against the eager forward of the whole network'
# (kind, image size, greatest ratio that meets the goal).
CASES = (('sarnn', 64, 0.3), ('sarnn', 128, 0.5), ('cnnrnn', 128, 0.3), ('cnnrnnln', 128, 0.5))
# (precision, greatest ratio that meets the goal).
ACT_CASES = (('float32', 0.55), ('bf16', 0.3))
GPU_CASES, GPU_TARGET = (('sarnn', 64), ('cnnrnn', 128)), 0.5
ACT_SIZE = (480, 640)
ACT_THREADS = 2
WARM_UP, LEAST = 2, 7  # calls
ACT_HYPER: dict[str, Any] = {'posterior': False}  # the defaults are the paper's


def lines(seconds: float, device: str) -> list[Line]:
    """Every case, for `seconds`."""
    keep_freed_memory()  # as the launch files of the policy node do; it makes both faster
    if device == GPU:
        forbid_tf32(torch.device(GPU))  # as where a policy is loaded
        recurrent: list[Line] = [partial(_measure_on_gpu, *case, seconds) for case in GPU_CASES]
        act = [partial(_measure_act_on_gpu, precision, seconds) for precision, _ in ACT_CASES]
        return [*recurrent, *act]
    recurrent = [partial(_measure, *case, seconds) for case in CASES]
    return [*recurrent, *(partial(_measure_act, *case, seconds) for case in ACT_CASES)]


class _Recurrent(NamedTuple):
    """A recurrent policy's step with what `auto` chooses, and the whole network's."""

    policy: RecurrentPolicy
    ours: Callable[[], object]
    reference: Callable[[], object]


def _recurrent(kind: str, size: int, device: str) -> _Recurrent:
    policy = cast(RecurrentPolicy, random_policy(kind, size, load_robot_spec('tabletop_sim')))
    policy.to(device)
    network = plain_network(policy.network).eval()
    joints = len(policy.joint_names)
    frame = torch.randint(0, 256, (1, size, size, 3), dtype=torch.uint8)
    observation = ObservationBatch(qpos=torch.zeros(1, joints), images={policy.cameras[0]: frame})
    image = frame.to(device).permute(0, 3, 1, 2).contiguous().float() / 255
    vector = torch.full((1, joints), 0.5, device=device)
    state = policy.initial_state(1)
    use_back_end(policy, BackEndChoice(), time.perf_counter_ns, _say)

    def ours() -> None:
        policy.act(observation, state)[0].cpu()

    def reference() -> None:
        with torch.inference_mode():
            network([image], vector, state)

    return _Recurrent(policy, ours, reference)


def _say(line: str) -> None:
    print(f'  {line}', flush=True)


def _measure(kind: str, size: int, target: float, seconds: float) -> Iterator[Measurement]:
    with threads(1):
        case = _recurrent(kind, size, 'cpu')
        ours_ms, reference_ms = interleaved_ms((case.ours, case.reference), seconds)
    taken = chosen(case.policy)
    yield Measurement(
        what=f'{kind} {size}x{size}, one step, 1 thread ({taken.name})',
        ours=statistics.median(ours_ms),
        reference=statistics.median(reference_ms),
        reference_name='eager forward of the network in plain layers, image decoder included',
        unit='ms of CPU time, median',
        target=target,
        details={'calls': len(ours_ms), 'threads': 1, 'backend': taken.name},
    )


def _measure_on_gpu(kind: str, size: int, seconds: float) -> Iterator[Measurement]:
    case = _recurrent(kind, size, GPU)
    taken = chosen(case.policy)
    yield _on_gpu(
        f'{kind} {size}x{size}, one step', (case.ours, case.reference), seconds,
        'eager forward of the network in plain layers, image decoder included',
        {'backend': taken.name},
    )  # fmt: skip


def _measure_act_on_gpu(precision: str, seconds: float) -> Iterator[Measurement]:
    """ACT in the back end that `auto` chooses, and call by call, against the plain network."""
    policy = _act(ACT_SIZE, ACT_HYPER)
    policy.to(GPU)
    plain = _plain_act(policy)
    checks = Checks(policy)
    observation = _from_camera(policy)
    height, width = ACT_SIZE
    what = f'act {height}x{width}, chunk {policy.chunk_rows}, {precision}'

    def ours() -> None:
        policy.act(observation, None)[0].cpu()

    names = ('auto', 'eager') if precision == 'float32' else ('auto',)
    for name in names:
        use_back_end(policy, BackEndChoice(name, precision), time.perf_counter_ns, _say)
        taken = chosen(policy)
        difference = checks.difference(policy.back_end) if policy.back_end else 0.0
        yield _on_gpu(
            f'{what}, {name} ({taken.name})', (ours, plain), seconds,
            'eager float32 forward with attention weights, batch norm modules, NCHW',
            {'backend': taken.name, 'greatest_difference': difference},
        )  # fmt: skip


def _on_gpu(
    what: str,
    calls: Sequence[Callable[[], object]],
    seconds: float,
    reference_name: str,
    details: dict[str, Any],
) -> Measurement:
    times = interleaved_ms(calls, seconds, clock_ns=gpu_clock_ns)
    ours, reference = (statistics.median(taken) for taken in times)
    return Measurement(
        what=f'{what}, {torch.cuda.get_device_name()}',
        ours=ours,
        reference=reference,
        reference_name=reference_name,
        unit='ms, median',
        target=GPU_TARGET,
        details={
            'calls': len(times[0]),
            'p99_ms': float(np.percentile(times[0], 99)),
            'greatest_ms': max(times[0]),
            **details,
        },
    )


def _from_camera(policy: ACTPolicy) -> ObservationBatch:
    """An observation in the CPU's memory, as a camera gives it."""
    given = random_observation(policy, seed=0)
    images = {name: image.cpu() for name, image in given['images'].items()}
    return ObservationBatch(qpos=given['qpos'].cpu(), images=images)


def _measure_act(precision: str, target: float, seconds: float) -> Iterator[Measurement]:
    with threads(ACT_THREADS):
        yield _measure_act_here(precision, target, seconds)


def _measure_act_here(precision: str, target: float, seconds: float) -> Measurement:
    policy = _act(ACT_SIZE, ACT_HYPER)
    plain = _plain_act(policy)
    checks = Checks(policy)
    use_back_end(policy, BackEndChoice('auto', precision), time.perf_counter_ns, _say)
    taken = chosen(policy)
    difference = checks.difference(policy.back_end) if policy.back_end else 0.0
    observation = random_observation(policy, seed=0)

    def ours() -> None:
        policy.act(observation, None)

    same_allocator = 'reference by our allocator settings'
    times: dict[str, list[float]] = {'ours': [], 'reference': [], same_allocator: []}
    arguments = json.dumps((ACT_SIZE, ACT_HYPER, ACT_THREADS))
    with TurnProcess(__file__, arguments) as process, collector_off():
        turns = {
            'ours': lambda: _wall_ms(ours),
            'reference': lambda: process.ask('once')[0],
            same_allocator: lambda: _wall_ms(plain),
        }
        for turn in turns.values():
            for _ in range(WARM_UP):
                turn()
        end = time.monotonic() + seconds
        while not measured(len(times['ours']), LEAST, end, seconds):
            for name, turn in turns.items():
                times[name].append(turn())
    middle = {name: statistics.median(taken_ms) for name, taken_ms in times.items()}
    height, width = ACT_SIZE
    if precision != taken.precision:
        precision = f'{precision} asked, {taken.precision} here'
    return Measurement(
        what=f'act {height}x{width}, chunk {policy.chunk_rows}, {precision}, '
        f'{ACT_THREADS} threads ({taken.name})',
        ours=middle['ours'],
        reference=middle['reference'],
        reference_name='eager float32 forward with attention weights, batch norm modules, NCHW, '
        'in a process of its own as PyTorch starts it',
        unit='ms, median',
        target=target,
        details={
            'calls': len(times['ours']),
            'threads': ACT_THREADS,
            'backend': taken.name,
            'precision': taken.precision,
            'least_ms': {name: min(taken_ms) for name, taken_ms in times.items()},
            f'{same_allocator}, ms': middle[same_allocator],
            'greatest_difference': difference,
            'load_average': os.getloadavg()[0],
        },
    )


def _act(size: Sequence[int], hyper: Mapping[str, Any]) -> ACTPolicy:
    robot = load_robot_spec('aloha_sim')
    return cast(ACTPolicy, random_policy('act', (size[0], size[1]), robot, dict(hyper)))


def _plain_act(policy: ACTPolicy) -> Callable[[], None]:
    """The forward of the plain network on tensors that are ready."""
    network = PlainACT(policy.network).eval()
    observation = random_observation(policy, seed=0)
    images = [
        observation['images'][camera].permute(0, 3, 1, 2).contiguous().float() / 255
        for camera in policy.cameras
    ]
    vector = policy.normalise_qpos(observation['qpos'])

    def forward() -> None:
        with torch.inference_mode():
            network(images, vector)

    return forward


def _answer(arguments: str) -> None:
    """What the process of the plain network does: one forward after the other."""
    size, hyper, count = json.loads(arguments)
    torch.set_num_threads(count)
    forward = _plain_act(_act(size, hyper))
    with collector_off():
        serve_turns(lambda _: [_wall_ms(forward)])


def _wall_ms(call: Callable[[], None]) -> float:
    begin = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - begin) / 1e6


if __name__ == '__main__':
    turns = turns_wanted()
    if turns is not None:
        _answer(*turns)
    else:
        raise SystemExit(main(['bench', Path(__file__).stem, *sys.argv[1:]]))
