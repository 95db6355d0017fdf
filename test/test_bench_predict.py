# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`bench predict` compares what gives the same numbers."""

from __future__ import annotations

import importlib.util
from types import ModuleType

import pytest
import torch

from motion_policy.cli.bench import benchmark_files
from motion_policy.policies.frame_unrolling import teacher_forced

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
    unrolled = teacher_forced(model.network, frames, told, noise)
    ours = (torch.stack(unrolled.frames) - frames[1:]).square().mean()
    ours = ours + bench.BETA * unrolled.kl().mean()
    assert torch.allclose(ours, bench.loop_loss(plain, frames, told, noise), atol=1e-6)


def test_every_line_is_measured(bench: ModuleType) -> None:
    lines = bench.run(0.01)
    assert [line.target for line in lines] == [0.7, 0.45, 0.5, 0.5] * 2
    assert all(line.ours > 0 and line.reference > 0 for line in lines)
    assert {line.what.partition(' ')[0] for line in lines} == {'dcgan', 'vgg'}
