# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Runs ends of every kind, several at once, and counts what came of them."""

from __future__ import annotations

import shutil
import tempfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from crash_campaign.ends import KINDS
from crash_campaign.judge import Found

AT_ONCE = 4  # recordings, which mostly wait for the time to pass; nodes need a core each


@dataclass(frozen=True)
class Job:
    """One process that comes to its end, or several."""

    kind: str
    seed: int


def jobs_of(ends: int, seed: int) -> list[Job]:
    """So many ends of all kinds that can be here, in an order by chance."""
    jobs = []
    for kind, (_, at_once, share) in KINDS.items():
        if kind == 'node' and find_spec('rclpy') is None:
            continue
        jobs += [Job(kind, number) for number in range(-int(-ends * share // at_once))]
    order = np.random.default_rng(seed).permutation(len(jobs))
    return [jobs[place] for place in order]


def run_jobs(jobs: list[Job], folder: Path, seed: int) -> Iterator[Found]:
    """What was found after each end."""
    nodes = [job for job in jobs if job.kind == 'node']
    others = [job for job in jobs if job.kind != 'node']
    for group, at_once in ((others, AT_ONCE), (nodes, 1)):
        with ProcessPoolExecutor(at_once, get_context('fork')) as pool:
            for done in as_completed([pool.submit(run_job, job, folder, seed) for job in group]):
                yield from done.result()


def run_job(job: Job, folder: Path, seed: int) -> list[Found]:
    """What was found after the ends of one job."""
    way = KINDS[job.kind][0]
    place = Path(tempfile.mkdtemp(prefix=f'{job.kind}_', dir=folder))
    try:
        return way(place, np.random.default_rng([seed, zlib.crc32(job.kind.encode()), job.seed]))
    except Exception as error:  # one that cannot be tried ends no other
        return [Found(job.kind, faults=[f'not tried: {error!r}'])]
    finally:
        shutil.rmtree(place, ignore_errors=True)
