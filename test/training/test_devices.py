# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Every kind of model acts and learns where it is moved to: no tensor is left on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from policy_examples import write_demonstrations
from pretended_gpu import GPU, on_gpu
from training_runs import small_run

from motion_policy.policies import Policy, make_model, model_class
from motion_policy.policies.backends.graph import random_observation
from motion_policy.policies.kinds import MODEL_KINDS
from motion_policy.training import TrainConfig, train_config
from motion_policy.training.autoencoders import load_autoencoders
from motion_policy.training.demonstrations import load_demonstrations
from motion_policy.training.learning import learning_of
from motion_policy.training.sequence_dataset import generator_for
from motion_policy.training.train import no_progress, policy_spec, train

pytestmark = pytest.mark.slow

torch.set_num_threads(1)

VARIED = {'translate': 0.1, 'brightness': 0.1, 'hue': 0.04}
MIXED = {'scheduled_sampling': {'joint': 0.5, 'image': 0.5, 'epochs': 2}, 'bptt_steps': 3}
ACT = {
    'kind': 'act', 'chunk': 6, 'hidden_dim': 16, 'heads': 2, 'feedforward_dim': 24,
    'encoder_layers': 1, 'posterior_layers': 1, 'latent_dim': 4,
}  # fmt: skip
PREDICTOR = {
    'kind': 'frame_predictor', 'channels': 4, 'code_dim': 8, 'latent_dim': 4, 'hidden_dim': 16,
    'future': 2,
}  # fmt: skip
STEPS = {'rate': 25.0, 'steps': 4, 'validate_every': 2, 'warmup_steps': 1, 'augmentation': VARIED}
CLIPS = {'image_size': [64, 64], 'rate': 25.0, 'epochs': 2}
# Kinds that are tried as something else than they are by default.
CHOSEN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    'sarnn': ({'kind': 'sarnn'}, {**MIXED, 'augmentation': {'hue': 0.04, 'brightness': 0.1}}),
    'cnnrnn': ({'kind': 'cnnrnn', 'feat_dim': 3}, MIXED),
    'cnnrnnln': ({'kind': 'cnnrnnln', 'feat_dim': 3}, {'image_loss_frames': 2, 'effort': True}),
    'cae': ({'kind': 'cae', 'feat_dim': 3}, {'frames_per_epoch': 8, 'augmentation': VARIED}),
    'cae_rnn': ({'kind': 'cae_rnn', 'rnn': 'mtrnn', 'cae': 'AUTOENCODER'}, MIXED),
    'act': ({**ACT, 'backbone': 'resnet18', 'backbone_weights': 'none'}, STEPS),
    'act points': ({**ACT, 'backbone': 'points', 'latent_dim': 0}, STEPS),
    'frame_predictor dcgan': ({**PREDICTOR, 'coder': 'dcgan'}, CLIPS),
    'frame_predictor vgg': ({**PREDICTOR, 'coder': 'vgg'}, CLIPS),
}
OTHERS = {name for name, model in MODEL_KINDS.items() if model.learns_from} - {
    policy['kind'] for policy, _ in CHOSEN.values()
}
CASES = {**{name: ({'kind': name}, {}) for name in sorted(OTHERS)}, **CHOSEN}


@pytest.fixture(scope='module')
def demonstrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demonstrations(tmp_path_factory.mktemp('data') / 'demos', (14, 12, 16, 14))


def config(demonstrations: Path, output: Path, name: str) -> TrainConfig:
    policy, changes = CASES[name]
    given = {'policy': policy, 'image_size': [32, 64], 'batch_size': 2, 'pictures_every': 0}
    if model_class(policy['kind']).learns_from != 'chunks':
        given['epochs'] = 2
    return train_config(small_run(demonstrations, output, **{**given, **changes}))


@pytest.fixture(scope='module')
def autoencoder(demonstrations: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(config(demonstrations, tmp_path_factory.mktemp('runs') / 'cae', 'cae'))


@pytest.mark.parametrize('name', CASES)
def test_no_tensor_is_left_on_the_cpu(
    name: str, demonstrations: Path, request: pytest.FixtureRequest, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if name == 'cae_rnn':
        seen = str(request.getfixturevalue('autoencoder'))
        monkeypatch.setitem(CASES, name, ({**CASES[name][0], 'cae': seen}, CASES[name][1]))
    given = config(demonstrations, tmp_path / 'run', name)
    learning, autoencoders = learning_of(given), load_autoencoders(given.autoencoders)
    data = load_demonstrations(given, no_progress)
    model = make_model(policy_spec(given, data, learning, autoencoders))
    learning.begin(model, autoencoders.models)
    shown = data.train[0].rows(slice(None, 4 * data.stride, data.stride))
    if name == 'cae_rnn':  # the range of what it sees is read back and judged
        data = learning.prepare(model, data, torch.device('cpu'))
    with on_gpu():
        model.to(GPU)
        if name != 'cae_rnn':
            data = learning.prepare(model, data, torch.device(GPU))
        batch = next(iter(learning.train_loader(data, 0, 1)))
        assert model.device.type == GPU
        if isinstance(model, Policy):
            model.eval().act_and_explain(random_observation(model, 0), None)
        model.train()
        for generator in (generator_for(0, device=GPU), None):
            terms = learning.terms(model, batch.to(GPU), 1, generator)
            assert {term.device.type for term in terms.values()} == {GPU}
        learning.image(model.eval(), shown)
