# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""An exported step runs without this package and gives the policy's numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from full_disks import small_disk
from policy_examples import family, random_observation
from processors import needs_openvino

from motion_policy.cli.main import main
from motion_policy.policies import Policy, save_policy
from motion_policy.policies.backends.export import ENDINGS
from motion_policy.policies.backends.runtimes import openvino_core
from motion_policy.policies.normalisation import resize_images

pytestmark = pytest.mark.slow

torch.set_num_threads(1)


@pytest.fixture(scope='module')
def policy() -> Policy:
    """A small recurrent policy, which has a state."""
    return family('sarnn')


@pytest.fixture(scope='module')
def checkpoint(policy: Policy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder it is saved in."""
    return save_policy(policy, tmp_path_factory.mktemp('models') / 'small')


def two_steps(policy: Policy) -> tuple[list[dict[str, np.ndarray]], list[np.ndarray]]:
    """What a program without this package is given for two steps, and the policy's chunks."""
    given, chunks = [], []
    state = None
    for seed in range(2):
        observation = random_observation(1, seed=seed)
        image = resize_images(observation['images']['top'], policy.spec.image_size)
        given.append({'qpos': observation['qpos'].numpy(), 'image/top': image.numpy()})
        chunk, state = policy.act(observation, state)
        chunks.append(chunk.numpy())
    return given, chunks


def follow(policy: Policy, facts: dict[str, Any], step: Any) -> None:
    """Take two steps by the names in the facts; the state begins with zeros and is fed back."""
    given, expected = two_steps(policy)
    state = {
        name: np.zeros(one['shape'], one['type'])
        for name, one in facts['inputs'].items()
        if name.startswith('state/')
    }
    for sensors, chunk in zip(given, expected, strict=True):
        outputs = step({**sensors, **state})
        np.testing.assert_allclose(outputs['chunk'], chunk, rtol=1e-5, atol=1e-5)
        state = {name: outputs[name.replace('state', 'next')] for name in state}


def test_an_onnx_file_runs_by_the_names_beside_it(
    policy: Policy, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / 'out.onnx'
    path.write_text('an older file')
    assert main(['export-policy', str(checkpoint), '--to', 'onnx', '--out', str(path)]) == 0
    assert 'greatest difference from the policy' in capsys.readouterr().out
    assert sorted(file.name for file in tmp_path.iterdir()) == ['out.json', 'out.onnx']
    facts = json.loads((tmp_path / 'out.json').read_text())
    assert facts['joints'] == list(policy.joint_names) and facts['rate_hz'] == policy.spec.rate
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    assert [one.name for one in session.get_inputs()] == list(facts['inputs'])
    assert session.get_modelmeta().custom_metadata_map['motion_policy.kind'] == 'sarnn'
    names = list(facts['outputs'])
    follow(policy, facts, lambda feed: dict(zip(names, session.run(names, feed), strict=True)))


@needs_openvino
def test_an_openvino_file_runs_too(policy: Policy, checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / 'small.xml'
    assert main(['export-policy', str(checkpoint), '--to', 'openvino', '--out', str(path)]) == 0
    facts = json.loads((tmp_path / 'small.json').read_text())
    # Without the hint a processor that has bf16 would round to it.
    exact = {'INFERENCE_PRECISION_HINT': 'f32'}
    model = openvino_core().compile_model(str(path), 'CPU', exact)
    follow(policy, facts, lambda feed: {name: model(feed)[name] for name in facts['outputs']})


def test_a_torchscript_file_runs_too(policy: Policy, checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / 'small.pt'
    assert main(['export-policy', str(checkpoint), '--to', 'torchscript', '--out', str(path)]) == 0
    facts = json.loads((tmp_path / 'small.json').read_text())
    script = torch.jit.load(str(path))

    def step(feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        results = script(*(torch.from_numpy(feed[name]) for name in facts['inputs']))
        names = facts['outputs']
        return {name: values.numpy() for name, values in zip(names, results, strict=True)}

    follow(policy, facts, step)


@pytest.mark.parametrize('to', ['onnx', 'openvino', 'torchscript'])
def test_a_full_disk_is_one_line_and_leaves_nothing(
    checkpoint: Path, tmp_path: Path, to: str, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip('torch' if to == 'torchscript' else to)
    with small_disk(tmp_path / 'disk', '16k') as disk:
        out = disk / f'small{ENDINGS[to]}'
        assert main(['export-policy', str(checkpoint), '--to', to, '--out', str(out)]) == 2
        assert f'{out.name}: cannot be written' in capfd.readouterr().err
        assert list(disk.iterdir()) == []


def test_the_default_name_is_that_of_the_checkpoint(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(['export-policy', str(checkpoint), '--to', 'torchscript']) == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ['small.json', 'small.pt']


@pytest.mark.parametrize(
    ('to', 'name', 'line'),
    [
        ('onnx', 'small.bin', 'small.bin: expected a name that ends in .onnx'),
        ('onnx', 'none/small.onnx', 'none/small.onnx: no such folder'),
        ('aoti', 'small.pt2', 'export to aoti needs a C++ compiler'),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    to: str,
    name: str,
    line: str,
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('PATH', str(tmp_path))
    assert main(['export-policy', str(checkpoint), '--to', to, '--out', name]) == 2
    error = capsys.readouterr().err
    assert line in error and error.count('\n') == 1
    assert list(tmp_path.iterdir()) == []
