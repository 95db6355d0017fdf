# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Latency from camera image to command with a full-size ACT.

Two cameras of 640x480 at 30 Hz, the arm and the policy node are processes of their own that speak
over DDS. The policy computes on one thread and is asked again as soon as it has answered, so that
it never rests.

Lateness of the ticks at 50 and 200 Hz: the reference is a process that only sleeps until the next
absolute deadline, half of the time before and half after, with nothing beside it, the same
priority and its memory locked. The policy once more in a thread of the node shows what its
process is for.

Gaps between commands, as the arm hears them: the reference is a node that infers in its timer.

From image to command: once more with a policy that answers in milliseconds, since a minute of
the large one has too few inferences for a 99th percentile.

With that one the ticks once more beside a depth camera of 640x480 at 30 Hz and a wrench at 1 kHz,
both inputs of the policy.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from control_path import figures
from control_path.driving import Run, measure_ours
from control_path.full_size import FULL_SIZE, Size, save_act
from control_path.harness import NAMESPACE, Harness, Usage
from control_path.scenario import robot_at

from motion_policy.cli.main import main
from motion_policy.cli.measurement import Line, Measurement
from motion_policy.robot import RobotSpec

SUMMARY = 'ticks and commands beside inference, against a bare loop and inference in the tick'
RATES = (50, 200)
ALLOWED_MS = 2.0  # how much later than the bare loop's a tick may come, at the 99th percentile
ALLOWED_MISSED = 0.005  # of all ticks, beyond those that the bare loop misses
ALLOWED_MEDIAN_MS, ALLOWED_P99_MS = 3.0, 10.0  # what the node adds to inference
ALLOWED_IDLE = 0.25  # of one core
OTHERS = ('thread',)  # where else the policy may compute
# It answers in milliseconds, so that a minute has thousands of images that become commands.
QUICK_SIZE = Size(
    120, 160, (('chunk', 100), ('hidden_dim', 64), ('feedforward_dim', 128), ('backbone', 'small'))
)
BARE = 'bare absolute-deadline loop of the same priority, memory locked, nothing beside it'


def lines(
    seconds: float, device: str, size: Size = FULL_SIZE, quick: Size = QUICK_SIZE
) -> list[Line]:
    """Both rates, and a quick policy; `seconds` for each of the loops."""
    parts: list[Line] = [partial(_at_rate, rate, seconds, size) for rate in RATES]
    return [*parts, lambda: _quick(seconds, quick), lambda: _with_more(seconds, quick)]


def _at_rate(rate: int, seconds: float, size: Size) -> Iterator[Measurement]:
    robot = robot_at(rate)
    with _checkpoint(robot, size) as checkpoint:
        ours, bare = _beside_bare(checkpoint, robot, seconds)
        yield _lateness(rate, ours, bare)
        yield _missed(rate, ours, bare)
        yield from _added(rate, ours, '')
        for isolation in OTHERS:
            other = measure_ours(checkpoint, robot, seconds, isolation, idle=False)
            yield _lateness(rate, other, bare, f', policy in a {isolation} of the node')
        if rate == RATES[0]:
            yield _gaps(ours, _in_tick(checkpoint, robot, seconds))
            if ours.resting is not None:
                yield _idle(ours, ours.resting)


def _quick(seconds: float, size: Size) -> list[Measurement]:
    robot = robot_at(RATES[0])
    with _checkpoint(robot, size) as checkpoint:
        often = measure_ours(checkpoint, robot, seconds, idle=False)
        return _added(RATES[0], often, ', a quick policy')


def _with_more(seconds: float, size: Size) -> Iterator[Measurement]:
    rate, robot, beside = RATES[0], robot_at(RATES[0], more=True), ', beside depth and a wrench'
    with _checkpoint(robot, size) as checkpoint:
        ours, bare = _beside_bare(checkpoint, robot, seconds, idle=False)
    yield _lateness(rate, ours, bare, beside)
    yield _missed(rate, ours, bare, beside)
    yield from _added(rate, ours, beside)
    counted = ours.notes['counted']
    yield Measurement(
        what=f'messages dropped{beside}',
        # None has no ratio: one more is counted on both sides.
        ours=sum(dropped for _, dropped in counted.values()) + 1,
        reference=1,
        reference_name='none',
        unit=f'+ 1, in {seconds:g} s',
        target=1.0,
        details={'received_and_dropped': counted},
    )


def _beside_bare(
    checkpoint: Path, robot: RobotSpec, seconds: float, idle: bool = True
) -> tuple[Run, figures.Float64Array]:
    """Our run, and the lateness of the bare loop before and after it."""
    before = figures.bare_loop(robot.period_ns, seconds / 2)
    ours = measure_ours(checkpoint, robot, seconds, idle=idle)
    return ours, np.concatenate((before, figures.bare_loop(robot.period_ns, seconds / 2)))


@contextmanager
def _checkpoint(robot: RobotSpec, size: Size) -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        yield save_act(robot, Path(folder), size)


def _in_tick(checkpoint: Path, robot: RobotSpec, seconds: float) -> figures.Float64Array:
    arguments = [str(checkpoint), NAMESPACE]
    with Harness('control_path.in_tick_node', arguments, 'in_tick', robot) as harness:
        return np.diff(harness.drive(seconds)[0]) / 1e6


def _lateness(rate: int, ours: Run, bare: figures.Float64Array, where: str = '') -> Measurement:
    late_ms = ours.late_ms
    reference = float(np.percentile(bare, 99))
    inferences = figures.latency(ours.notes, *ours.span_ns).inference
    return Measurement(
        what=f'lateness of ticks at {rate} Hz{where}',
        ours=float(np.percentile(late_ms, 99)),
        reference=reference,
        reference_name=BARE,
        unit='ms, 99th percentile',
        target=(reference + ALLOWED_MS) / reference,
        details={
            'target_means': f'ours <= reference + {ALLOWED_MS} ms',
            'ticks': len(late_ms),
            'median_ours': float(np.median(late_ms)),
            'median_reference': float(np.median(bare)),
            'greatest_ours': float(late_ms.max()),
            'greatest_reference': float(bare.max()),
            'inferences': len(inferences),
            'inference_ms': float(np.median(inferences)) if len(inferences) else None,
            'cores_used': ours.driving.cpu,
            'threads': 1,
        },
    )


def _missed(rate: int, ours: Run, bare: figures.Float64Array, where: str = '') -> Measurement:
    late_ms = ours.late_ms
    found, reference = (figures.missed(x, ours.period_ns) / len(x) for x in (late_ms, bare))
    return Measurement(
        what=f'missed ticks at {rate} Hz{where}',
        # A share of 0 has no ratio: what may be missed is counted on both sides.
        ours=100 * (found + ALLOWED_MISSED),
        reference=100 * (reference + ALLOWED_MISSED),
        reference_name=BARE,
        unit='% of the ticks, + 0.5',
        target=(reference + 2 * ALLOWED_MISSED) / (reference + ALLOWED_MISSED),
        details={
            'target_means': f'ours <= reference + {100 * ALLOWED_MISSED:g} % of the ticks',
            'missed_ours': figures.missed(late_ms, ours.period_ns),
            'missed_reference': figures.missed(bare, ours.period_ns),
        },
    )


def _added(rate: int, ours: Run, whose: str) -> list[Measurement]:
    found = figures.latency(ours.notes, *ours.span_ns)
    parts = {
        name: {
            'median': float(np.median(part)), 'p99': float(np.percentile(part, 99)),
            'greatest': float(part.max()),
        }
        for name, part in vars(found).items()
        if len(part)
    }  # fmt: skip
    return [
        Measurement(
            what=f'from image to command at {rate} Hz without inference{whose}, {word}',
            ours=float(np.percentile(found.added, percent)),
            reference=allowed,
            reference_name='what is allowed',
            unit='ms',
            target=1.0,
            details={'parts_ms': parts, 'chunks': len(found.added)},
        )
        for word, percent, allowed in (
            ('median', 50, ALLOWED_MEDIAN_MS),
            ('99th percentile', 99, ALLOWED_P99_MS),
        )
    ]


def _gaps(ours: Run, reference: figures.Float64Array) -> Measurement:
    period_ms = ours.period_ns / 1e6
    greatest = float(reference.max())
    return Measurement(
        what=f'gaps between commands at {RATES[0]} Hz',
        ours=float(ours.gaps_ms.max()),
        reference=greatest,
        reference_name='a node that infers in its timer when its queue of actions is empty',
        unit='ms, greatest',
        target=(period_ms + 10) / greatest,
        details={
            'target_means': f'ours <= {period_ms + 10:g} ms',
            'commands_ours': len(ours.commands_ns),
            'commands_reference': len(reference) + 1,
            'stalls_of_150_ms_reference': int((reference >= 150).sum()),
            'p99_ours': float(np.percentile(ours.gaps_ms, 99)),
            'p99_reference': float(np.percentile(reference, 99)),
        },
    )


def _idle(ours: Run, resting: Usage) -> Measurement:
    names = {number: name for name, number in ours.notes['threads'].items()}
    threads = {names.get(n, str(n)): 100 * s for n, s in resting.cpu_of_threads.items() if s}
    return Measurement(
        what=f'policy node at idle, two cameras, {RATES[0]} Hz',
        ours=100 * resting.cpu,
        reference=100 * ALLOWED_IDLE,
        reference_name='what is allowed',
        unit='% of one core',
        target=1.0,
        details={'threads': threads, 'resident_mib': resting.memory[-1][1]},
    )


if __name__ == '__main__':
    raise SystemExit(main(['bench', Path(__file__).stem, *sys.argv[1:]]))
