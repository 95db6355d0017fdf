# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`bench predict` compares what gives the same numbers."""

from __future__ import annotations

import importlib.util
from contextlib import nullcontext
from types import ModuleType
from typing import Any

import pytest
import torch
from known_times import know_the_times
from pretended_gpu import GPU, on_gpu

from motion_policy.cli.bench import benchmark_files
from motion_policy.policies.video.unrolling import ClipPrediction, teacher_forced_clip
from motion_policy.training import frame_loss
from motion_policy.training.sequence_dataset import Batch

pytestmark = pytest.mark.slow

torch.set_num_threads(1)
SMALL = {'channels': 4, 'code_dim': 6, 'latent_dim': 4, 'hidden_dim': 8}


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the benchmark at a size of milliseconds."""
    spec = importlib.util.spec_from_file_location('predict', benchmark_files()['predict'])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, value in (('HYPER', SMALL), ('BATCH', 2), ('FUTURE', 3), ('CANDIDATES', 2)):
        monkeypatch.setattr(module, name, value)
    return module


@pytest.mark.parametrize('coder', ['dcgan', 'vgg'])
def test_the_reference_gives_our_numbers(bench: ModuleType, coder: str) -> None:
    model = bench.random_model(coder).eval()
    plain = bench.plain_network(model.network)
    frames = torch.rand(5, 2, 3, 64, 64)
    noise = torch.randn(4, 2, 4)
    told = torch.randn(4, 2, 10)
    unrolled = teacher_forced_clip(model.network, frames, told, noise)
    ours = (torch.stack(unrolled.frames) - frames[1:]).square().mean()
    ours = ours + bench.BETA * unrolled.kl().mean()
    assert torch.allclose(ours, bench.loop_loss(plain, frames, told, noise), atol=1e-6)


@pytest.mark.parametrize('coder', ['dcgan', 'vgg'])
@pytest.mark.parametrize('where', ['cpu', GPU])
def test_the_step_convolves_as_training_does(
    where: str, coder: str, bench: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[bool] = []

    def told(*given: Any, at_once: bool) -> ClipPrediction:
        found.append(at_once)
        return teacher_forced_clip(*given, at_once=at_once)

    for module in (bench, frame_loss):
        monkeypatch.setattr(module, 'teacher_forced_clip', told)
    monkeypatch.setattr(bench, '_learn', lambda network, loss: None)
    model = bench.random_model(coder)
    batch = Batch(
        images={model.cameras[0]: torch.zeros(2, 5, 64, 64, 3, dtype=torch.uint8)},
        qpos=torch.zeros(2, 5, 5),
        action=torch.zeros(2, 5, 5),
        mask=torch.ones(2, 5, dtype=torch.bool),
    )
    monkeypatch.setattr(bench, 'random_model', lambda coder: model)
    with on_gpu() if where == GPU else nullcontext():
        bench.training_steps(coder, where)['float32']()
        frame_loss.frame_terms(model, batch, 1.0, torch.Generator(where))
    assert found == [where == GPU or coder == 'dcgan'] * 2


def test_every_line_is_measured(bench: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    know_the_times(bench, monkeypatch)
    lines = [result for line in bench.lines(0.01, 'cpu') for result in line()]
    assert [line.target for line in lines] == [0.7, 0.45] * 2 + [0.5] * 4
    # The reference, then ours in float32 and bf16; one prediction, and each of 2 plans.
    training, single = [(2.0, 1.0), (3.0, 1.0)] * 2, [(2.0, 1.0)] * 2
    ranked = [(2.0 / 2, 1.0)] * 2
    assert [(line.ours, line.reference) for line in lines] == [*training, *single, *ranked]
    assert {line.what.partition(' ')[0] for line in lines} == {'dcgan', 'vgg'}
