# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""One training step of each policy against its plain implementation.

Recurrent policies run against the plain loop over the frames, ACT against `reference.plain_act`.

Both take the same batch from uint8 frames to updated weights: forward, all terms of the loss over
all frames, back-propagation through time, Adam as in training; both give the same loss. The
reference steps the same modules in PyTorch's own layers and memory order. On the CPU each has a
process of its own, so that its memory and caches are its own, with one thread and memory kept as
in training; they take turns, and their CPU time counts. Steps of a few milliseconds, those of the
sequence model of CAE-RNN, come several in a turn, as in training. On a GPU they take turns in one
process, and wall time counts. Both steps of ACT take turns in one process; on a GPU ours is
measured in bf16 too.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from measuring.timing import (
    gpu_clock_ns,
    interleaved_ms,
    measured,
    plain_network,
    random_policy,
    threads,
)
from measuring.turns import TurnProcess, serve_turns, turns_wanted
from reference.act_steps import act_batch, act_policy, our_act_step, plain_act_step
from torch import Tensor, nn

from motion_policy.cli.main import main
from motion_policy.cli.measurement import GPU, Line, Measurement
from motion_policy.policies.cpu.allocator import keep_freed_memory
from motion_policy.policies.recurrent.base import RecurrentNetwork, RecurrentPolicy, State
from motion_policy.policies.recurrent.cae_rnn import CAERNNConfig, SequenceModel
from motion_policy.policies.recurrent.mtrnn import MTRNN
from motion_policy.robot import load_robot_spec
from motion_policy.training.optimiser import adam
from motion_policy.training.recurrent_loss import recurrent_terms
from motion_policy.training.sequence_dataset import Batch

DEVICES = ('cpu', GPU)
SUMMARY = 'one training step of each policy against its plain implementation'
SIZES = {'sarnn': 64, 'cnnrnn': 128, 'cnnrnnln': 128}
EPISODES, ROWS = 5, 187
FEATURES, JOINTS = 10, 8  # of the sequence model of CAE-RNN, as published
TARGET, GPU_TARGET, MEMORY_TARGET, SEQUENCE_TARGET = 0.9, 0.2, 1.2, 1 / 8
POINT_WEIGHT = 0.1
ACT_GPU_BATCH, ACT_GPU_PRECISIONS = 32, ('float32', 'bf16')
PLAIN_ACT = 'nn.MultiheadAttention, batch norm as modules, (B, C, H, W), AdamW'
ACT_SIZE, ACT_BATCH, ACT_HYPER, ACT_TARGET = (480, 640), 8, dict[str, int](), 0.85
WHICH = ('ours', 'reference')
SEQUENCES = {'cae_rnn-lstm': 'lstm', 'cae_rnn-mtrnn': 'mtrnn'}
AT_ONCE, LEAST_TURNS = 10, 5  # steps in a turn of the sequence model, whose caches are warm then
PEAK = 'peak'  # asks for memory, where a number asks for steps

Step = Callable[[], object]


def lines(seconds: float, device: str) -> list[Line]:
    """Each line for `seconds`, but at least two steps of each after a first one."""
    if device == GPU:
        policies: list[Line] = [partial(_on_gpu, kind, seconds) for kind in SIZES]
        return [*policies, partial(_act_on_gpu, seconds)]
    parts: list[Line] = [partial(_on_cpu, kind, seconds) for kind in SIZES]
    parts += [partial(_sequence, kind, seconds) for kind in SEQUENCES]
    return [*parts, partial(_act, seconds)]


def steps(kind: str, device: str = 'cpu') -> tuple[Step, Step]:
    """Our training step of a policy, and that of the loop over plain layers."""
    policy = cast(
        RecurrentPolicy, random_policy(kind, SIZES[kind], load_robot_spec('tabletop_sim'))
    )
    policy.to(device).train()
    plain = plain_network(policy.network)
    batch = random_batch(policy).to(device)
    ours = adam(policy.parameters(), 1e-4)
    reference = adam(plain.parameters(), 1e-4)

    def our_step() -> None:
        _update(ours, our_loss(policy, batch))

    def reference_step() -> None:
        _update(reference, loop_loss(policy, plain, batch))

    return our_step, reference_step


def random_batch(policy: RecurrentPolicy) -> Batch:
    """Whole episodes of noise, without padding."""
    torch.manual_seed(1)
    joints, size = len(policy.joint_names), policy.spec.image_size
    frames = torch.randint(0, 256, (EPISODES, ROWS, *size, 3), dtype=torch.uint8)
    return Batch(
        images={policy.cameras[0]: frames},
        qpos=torch.rand(EPISODES, ROWS, joints) - 0.5,
        action=torch.rand(EPISODES, ROWS, joints) - 0.5,
        mask=torch.ones(EPISODES, ROWS, dtype=torch.bool),
    )


def our_loss(policy: RecurrentPolicy, batch: Batch) -> Tensor:
    """The loss as `motion-policy train` computes it, over all frames."""
    return _weighted(recurrent_terms(policy, batch, None))


def loop_loss(policy: RecurrentPolicy, plain: RecurrentNetwork, batch: Batch) -> Tensor:
    """The same loss, one frame after the other."""
    frames = batch.images[policy.cameras[0]].permute(0, 1, 4, 2, 3).float().contiguous() / 255
    joints, target = policy.normalise_qpos(batch.qpos), policy.normalise_target(batch.action)
    state = plain.initial_state(len(joints))
    images, predicted, seen, expected = [], [], [], []
    for t in range(frames.shape[1] - 1):
        features = plain.encode_images([frames[:, t]])
        state = _cell(plain.rec, torch.cat((features, joints[:, t]), -1), state)
        hidden = state[0]
        images.append(plain.decode_images(hidden, [frames[:, t]])[0])
        predicted.append(plain.decode_joints(hidden))
        if plain.feature_term is not None:
            seen.append(features)
            expected.append(plain.decode_features(hidden))
    terms = {
        'image': F.mse_loss(torch.stack(images, 1), frames[:, 1:]),
        'joint': F.mse_loss(torch.stack(predicted, 1), target[:, 1:]),
    }
    if plain.feature_term is not None:
        terms['point'] = F.mse_loss(torch.stack(expected[:-1], 1), torch.stack(seen[1:], 1))
    return _weighted(terms)


def sequence_steps(rnn: str) -> tuple[Step, Step]:
    """Our training step of CAE-RNN's sequence model, and that of a loop over its cell."""
    torch.manual_seed(0)
    model = SequenceModel(FEATURES, JOINTS, CAERNNConfig(rnn=rnn))
    inputs = torch.rand(EPISODES, ROWS, FEATURES + JOINTS)
    optimiser = adam(model.parameters(), 1e-4)

    def error(predicted: Tensor) -> Tensor:
        return F.mse_loss(predicted[:, :-1], inputs[:, 1:])

    def our_step() -> None:
        features, vector = inputs.split((FEATURES, JOINTS), -1)
        hidden, _ = model.step(features, vector, None)
        _update(optimiser, error(model.out(hidden[..., : model.read_dim])))

    def reference_step() -> None:
        state, predicted = model.initial_state(EPISODES), []
        for t in range(ROWS):
            state = _cell(model.rec, inputs[:, t], state)
            predicted.append(model.out(state[0]))
        _update(optimiser, error(torch.stack(predicted, 1)))

    return our_step, reference_step


def _cell(rec: nn.Module, inputs: Tensor, state: State) -> State:
    """One step of the recurrent layer; the output comes first."""
    if isinstance(rec, MTRNN):
        return rec.cell(inputs, state)
    weights = (rec.weight_ih_l0, rec.weight_hh_l0, rec.bias_ih_l0, rec.bias_hh_l0)
    return torch.lstm_cell(inputs, (state[0], state[1]), *weights)


def _weighted(terms: dict[str, Tensor]) -> Tensor:
    weights = {'point': POINT_WEIGHT}
    return torch.stack([weights.get(name, 1.0) * term for name, term in terms.items()]).sum()


def _update(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()


def _on_cpu(kind: str, seconds: float) -> list[Measurement]:
    """Time and peak memory of the steps of a policy."""
    times, peaks = _in_turns(kind, seconds)
    loop = 'loop over the frames, plain layers in default memory order'
    unit = 'MiB above the memory before the first step'
    return [
        _of_times(f'{_named(kind)}, 1 thread', times, loop, TARGET),
        Measurement(f'{_named(kind)}, peak memory', *peaks, loop, unit, MEMORY_TARGET),
    ]


def _sequence(kind: str, seconds: float) -> list[Measurement]:
    what = f'cae_rnn, {SEQUENCES[kind]}, training step of the sequence model, 1 thread'
    times, _ = _in_turns(kind, seconds, at_once=AT_ONCE, least=LEAST_TURNS)
    return [_of_times(what, times, 'loop over its cell and output layer', SEQUENCE_TARGET)]


def _of_times(
    what: str, times: Sequence[Sequence[float]], reference_name: str, target: float
) -> Measurement:
    """A line about the times of our steps and of the reference's."""
    ours, reference = (statistics.median(taken) for taken in times)
    return Measurement(
        what=what,
        ours=ours,
        reference=reference,
        reference_name=reference_name,
        unit='ms of CPU time, median',
        target=target,
        details={'steps': len(times[0]), 'threads': 1},
    )


def _in_turns(
    kind: str, seconds: float, *, at_once: int = 1, least: int = 2
) -> tuple[list[list[float]], list[float]]:
    """Times in ms and peak memory in MiB of WHICH, each a process, which take turns.

    After a first one, a turn is `at_once` steps.
    """
    with ExitStack() as stack:
        processes = [stack.enter_context(_process(kind, which)) for which in WHICH]
        times: list[list[float]] = [[] for _ in processes]
        for process in processes:
            process.ask(str(at_once))
        end = time.monotonic() + seconds
        while not measured(len(times[0]), least * at_once, end, seconds):
            for process, taken in zip(processes, times, strict=True):
                taken += process.ask(str(at_once))
        return times, [process.ask(PEAK)[0] for process in processes]


def _on_gpu(kind: str, seconds: float) -> list[Measurement]:
    times = interleaved_ms(steps(kind, GPU), seconds, least=5, warm_up=2, clock_ns=gpu_clock_ns)
    ours, reference = (statistics.median(taken) for taken in times)
    return [
        Measurement(
            what=f'{_named(kind)}, {torch.cuda.get_device_name()}',
            ours=ours,
            reference=reference,
            reference_name='loop over the frames, plain layers in default memory order',
            unit='ms, median',
            target=GPU_TARGET,
        )
    ]


def _named(kind: str) -> str:
    return f'{kind} {SIZES[kind]}x{SIZES[kind]}, training step, batch {EPISODES}, T={ROWS}'


def _process(kind: str, which: str) -> TurnProcess:
    return TurnProcess(__file__, kind, which, *map(str, (SIZES.get(kind, 0), EPISODES, ROWS)))


def answers(kind: str, which: str, *sizes: str) -> Callable[[str], list[float]]:
    """What such a process tells: so many steps, in ms of CPU time each, or its peak memory."""
    global EPISODES, ROWS
    SIZES[kind], EPISODES, ROWS = map(int, sizes)
    keep_freed_memory()
    torch.set_num_threads(1)
    pair = sequence_steps(SEQUENCES[kind]) if kind in SEQUENCES else steps(kind)
    step = pair[WHICH.index(which)]
    before = _memory_mib('VmRSS')

    def answer(what: str) -> list[float]:
        if what == PEAK:
            return [_memory_mib('VmHWM') - before]
        return [_cpu_ms(step) for _ in range(int(what))]

    return answer


def _cpu_ms(step: Step) -> float:
    begin = time.thread_time_ns()
    step()
    return (time.thread_time_ns() - begin) / 1e6


def _memory_mib(name: str) -> float:
    """What the kernel says of this process; getrusage's peak may be that of its parent."""
    status = Path('/proc/self/status').read_text()
    (line,) = (line for line in status.splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


def _act(seconds: float) -> list[Measurement]:
    keep_freed_memory()
    policy = act_policy(ACT_SIZE, **ACT_HYPER)
    batch = act_batch(policy, ACT_BATCH)
    pair = our_act_step(policy, batch), plain_act_step(policy, batch)
    with threads(1):
        times = interleaved_ms(pair, seconds, least=3, warm_up=1)
    height, width = ACT_SIZE
    what = f'act {height}x{width}, training step, batch {ACT_BATCH}, 1 thread'
    return [_of_times(what, times, PLAIN_ACT, ACT_TARGET)]


def _act_on_gpu(seconds: float) -> Iterator[Measurement]:
    """Ours in float32 and bf16, the plain one in each of them too."""
    height, width = ACT_SIZE
    for precision in ACT_GPU_PRECISIONS:
        policy = act_policy(ACT_SIZE, **ACT_HYPER).to(GPU)
        batch = act_batch(policy, ACT_GPU_BATCH).to(GPU)
        mixed = torch.bfloat16 if precision == 'bf16' else None
        pair = our_act_step(policy, batch, mixed), plain_act_step(policy, batch, mixed)
        times = interleaved_ms(pair, seconds, least=5, warm_up=3, clock_ns=gpu_clock_ns)
        ours, reference = (statistics.median(taken) for taken in times)
        yield Measurement(
            what=f'act {height}x{width}, training step, batch {ACT_GPU_BATCH}, {precision}, '
            f'{torch.cuda.get_device_name()}',
            ours=ours,
            reference=reference,
            reference_name=f'{PLAIN_ACT}, {precision}',
            unit='ms, median',
            target=ACT_TARGET,
            details={
                'steps': len(times[0]),
                'peak_gib': torch.cuda.max_memory_allocated() / 2**30,
            },
        )


if __name__ == '__main__':
    turns = turns_wanted()
    if turns is not None:
        serve_turns(answers(*turns))
    else:
        raise SystemExit(main(['bench', 'train-step', *sys.argv[1:]]))
