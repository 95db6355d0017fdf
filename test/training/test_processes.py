# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Training in processes of its own: killed, beside workers, without bf16, without its peers."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from policy_examples import write_demonstrations
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Callback
from training_runs import (
    ACT_RUN,
    CLIP_RUN,
    SARNN_RUN,
    run_to_the_end,
    run_until_killed,
    runs_in_another_process,
    small_run,
    weights,
)

from motion_policy.policies import load_model

pytestmark = pytest.mark.slow

torch.set_num_threads(1)

# What is trained, after which step it is killed, and at which its last checkpoint is then.
KILLED: dict[str, tuple[dict[str, Any], int, int]] = {
    'sarnn': (SARNN_RUN, 5, 4),
    'act': (ACT_RUN, 10, 8),
    'frame_predictor': (CLIP_RUN, 8, 6),
}


class Begin(Callback):
    """Notes at which step a run begins."""

    step = -1

    def on_train_start(self, trainer: Trainer, *_: Any) -> None:
        self.step = trainer.global_step


@pytest.fixture(scope='module')
def demonstrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demonstrations(tmp_path_factory.mktemp('data') / 'demos', (40, 14, 23, 31))


@pytest.fixture(scope='module')
def whole(demonstrations: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Give what returns the output of a run of that kind that nothing disturbed."""
    folder = tmp_path_factory.mktemp('whole')

    @cache
    def run(kind: str) -> Path:
        return run_to_the_end(small_run(demonstrations, folder / kind, **KILLED[kind][0]))

    return run


@pytest.mark.parametrize('kind', KILLED)
def test_a_killed_run_ends_as_one_that_was_never_killed(
    kind: str, demonstrations: Path, whole: Callable[[str], Path], tmp_path: Path
) -> None:
    given, step, reached = KILLED[kind]
    output = tmp_path / 'killed'
    content = small_run(demonstrations, output, **given)
    run_until_killed(content, step)
    assert load_model(output / 'last').spec.metrics['steps'] == reached
    begin = Begin()
    run_to_the_end(content, begin)
    assert begin.step == reached
    for name in ('last', 'best'):
        assert weights(output / name) == weights(whole(kind) / name)
        metrics = load_model(output / name).spec.metrics
        assert metrics == load_model(whole(kind) / name).spec.metrics


def test_images_that_stay_in_the_files_teach_the_same(
    demonstrations: Path, whole: Callable[[str], Path], tmp_path: Path
) -> None:
    data = {'train': [str(demonstrations)], 'validation': 0.25, 'hold': 'no', 'workers': 2}
    stored = run_to_the_end(
        small_run(demonstrations, tmp_path / 'stored', **{**ACT_RUN, 'data': data})
    )
    assert weights(stored / 'last') == weights(whole('act') / 'last')


NO_BF16 = {
    'CUDA_VISIBLE_DEVICES': '', 'ONEDNN_MAX_CPU_ISA': 'AVX2', 'ATEN_CPU_CAPABILITY': 'avx2',
}  # fmt: skip


def test_a_processor_without_bf16_trains_in_float32_and_says_so(
    demonstrations: Path, tmp_path: Path
) -> None:
    asked = [('bf16-mixed', 'cpu'), ('16-mixed', 'cpu'), ('16-mixed', 'auto')]
    runs = [
        small_run(
            demonstrations, tmp_path / f'{precision}_{device}',
            **{**SARNN_RUN, 'epochs': 1, 'precision': precision, 'device': device},
        )
        for precision, device in asked
    ]  # fmt: skip
    # What a processor can do is asked once in a process.
    told = runs_in_another_process(runs, NO_BF16, tmp_path / 'told')
    for run, (precision, _), each in zip(runs, asked, told, strict=True):
        line = f'precision: 32-true instead of {precision}, which this processor'
        assert each['error'] == '' and line in '\n'.join(each['said'])
        policy = load_model(Path(run['output']) / 'best')
        assert policy.spec.training['precision'] == '32-true'


def test_a_machine_that_stays_alone_ends_in_one_line(demonstrations: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    run = small_run(demonstrations, tmp_path / 'run', **{**SARNN_RUN, 'nodes': 2})
    peers = {'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': str(port), 'NODE_RANK': '0'}
    (told,) = runs_in_another_process([run], peers, tmp_path / 'told')
    assert any('waiting up to 0:00:02 for 1 other machine(s)' in line for line in told['said'])
    assert told['error'].startswith('nodes: 2 machines were expected within 0:00:02')
    assert '\n' not in told['error']
