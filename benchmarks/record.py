# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What the recorder node loses and needs beside cameras, joints and fast vectors.

Publishers, recorder and operator are processes of their own that speak over DDS. Every message has
a stamp of its own, which its publisher notes and the recorder too: what is lost is known one by
one, and held against what the recorder has counted. Joint states and leader come at 100 Hz, rows
at 50 Hz; images are stored as JPEG.

CPU: the reference is a process that listens to the same topics and does nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from record_path.recording import Recorded, listen, record
from record_path.scene import Load

from motion_policy.cli.main import main
from motion_policy.cli.measurement import Line, Measurement

SUMMARY = (
    'recorder_node beside cameras, joints and a wrench at 1 kHz: losses, memory, time to stop'
)
LOADS = (Load(2, depth=True), Load(4), Load(8, compressed=True))
ALLOWED_MIB, ALLOWED_STOP_S = 400.0, 1.0
ALLOWED_GROWTH = 1.05
ALLOWED_CPU = 4.0  # times that of a process that only listens
SHARE = 5  # the first and the last fifth of the time are compared
NONE_LOST = 'none'


def lines(seconds: float, device: str, loads: tuple[Load, ...] = LOADS) -> list[Line]:
    """One part for each load, of `seconds` each; 300 tell whether memory grows."""
    return [partial(_record, load, seconds) for load in loads]


def _record(load: Load, seconds: float) -> Iterator[Measurement]:
    listener_cores = listen(load, max(1.0, seconds / 5))
    found = record(load, seconds)
    details = {
        'streams': {name: vars(stream) for name, stream in found.streams.items()},
        'rows': found.rows,
        'told': found.told,
    }
    lost = sum(stream.lost for stream in found.streams.values())
    unaccounted = sum(abs(each.lost - each.dropped) for each in found.streams.values())
    for what, count in (
        ('messages lost', lost),
        ('messages by which the recorder counts wrong', unaccounted),
        ('rows missing', found.missing_rows),
        ('rows that the sampler makes otherwise offline', found.differing_rows),
    ):
        yield Measurement(
            what=f'{what}: {load}',
            # None has no ratio: one more is counted on both sides.
            ours=count + 1,
            reference=1,
            reference_name=NONE_LOST,
            unit=f'+ 1, in {seconds:g} s',
            target=1.0,
            details=details,
        )
    yield from _needs(load, found, listener_cores)


def _needs(load: Load, found: Recorded, listener_cores: float) -> Iterator[Measurement]:
    mib = found.memory[:, 1]
    share = max(1, len(mib) // SHARE)
    first, last = float(np.median(mib[:share])), float(np.median(mib[-share:]))
    for what, ours, reference, name, unit, target in (
        ('memory', float(mib.max()), ALLOWED_MIB, 'what is allowed', 'MiB, greatest', 1.0),
        ('memory at the end', last, first, 'that at the beginning', 'MiB', ALLOWED_GROWTH),
        ('time to stop', found.stop_s, ALLOWED_STOP_S, 'what is allowed', 's', 1.0),
        (
            'CPU', 100 * found.cores, 100 * listener_cores,
            'a process that listens to the same and does nothing', '% of one core', ALLOWED_CPU,
        ),
    ):  # fmt: skip
        yield Measurement(
            what=f'{what}: {load}',
            ours=ours,
            reference=reference,
            reference_name=name,
            unit=unit,
            target=target,
            details={'file_mb': found.megabytes, 'seconds': found.seconds},
        )


if __name__ == '__main__':
    raise SystemExit(main(['bench', Path(__file__).stem, *sys.argv[1:]]))
