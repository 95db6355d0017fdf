# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`motion-policy bench` with its GPU code on a CPU and in tiny sizes: for dry runs alone.

The figures mean nothing; every line of code that measures on a GPU is run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch

from motion_policy.cli import bench
from motion_policy.cli.main import main
from motion_policy.policies.cpu.processor import has_bf16

ACT = {
    'chunk': 5, 'hidden_dim': 16, 'heads': 2, 'feedforward_dim': 24, 'encoder_layers': 1,
    'backbone': 'small',
}  # fmt: skip
CPU = 'cpu'
BF16 = has_bf16(torch.device(CPU))  # without it, a step takes half a minute
# Benchmark: its constants in tiny sizes.
TINY: dict[str, dict[str, Any]] = {
    'infer': {
        'GPU_CASES': (('sarnn', 16),), 'ACT_SIZE': (32, 64),
        'ACT_HYPER': {**ACT, 'posterior': False},
    },
    'train-step': {
        'EPISODES': 2, 'ROWS': 7, 'SIZES': {'sarnn': 16}, 'ACT_SIZE': (32, 64), 'ACT_GPU_BATCH': 2,
        'ACT_HYPER': ACT, 'ACT_GPU_PRECISIONS': ('bf16',) if BF16 else ('float32',),
    },
    'predict': {'CODERS': ('dcgan',), 'HYPER': {'channels': 4, 'code_dim': 8, 'hidden_dim': 8}},
    'train': {
        'EPISODES': 2, 'ROWS': 12, 'FULL_SIZE': (32, 64), 'FULL': ACT, 'BATCH': 2, 'BLOCK': 2,
        'PRECISION': 'bf16-mixed' if BF16 else '32-true',
    },
}  # fmt: skip


def pretend(load: Callable[..., ModuleType]) -> Callable[..., ModuleType]:
    """A loader of benchmarks that gives them tiny sizes and calls the CPU their GPU."""

    def loaded(name: str, *more: Any) -> ModuleType:
        module = load(name, *more)
        for key, value in {**TINY[name], 'GPU': CPU}.items():
            assert hasattr(module, key), f'{name} has no {key}'
            setattr(module, key, value)
        return module

    return loaded


def no_gpu() -> dict[str, Callable[..., Any]]:
    """What the GPU lines call of `torch.cuda`, without one."""
    return {
        'synchronize': lambda *device: None,
        'get_device_name': lambda *device: 'no GPU',
        'max_memory_allocated': lambda *device: 0,
    }


if __name__ == '__main__':
    bench._load = pretend(bench._load)
    for name, call in no_gpu().items():
        setattr(torch.cuda, name, call)
    raise SystemExit(main(['bench', *sys.argv[1:], '--device', CPU]))
