# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Vectors of the robot are an input of every family: normalised, and never predicted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from policy_examples import FAMILIES, random_observation, small_policy, small_robot, spec
from recordings import with_vectors

from motion_policy.control import PolicyRunner
from motion_policy.errors import UserError
from motion_policy.inference.policy_process import InferenceProcess
from motion_policy.inference.policy_setup import PolicySetup
from motion_policy.policies import Policy, load_policy, save_policy
from motion_policy.policies.backends.cuda_graph import StaticStep
from motion_policy.policies.backends.export import export_policy
from motion_policy.policies.backends.graph import step_names
from motion_policy.policies.backends.selection import BackEndChoice, use_back_end
from motion_policy.policies.base import ObservationBatch
from motion_policy.policies.checkpoint import read_checkpoint, spec_to_yaml
from motion_policy.robot import RobotSpec, robot_spec_from_yaml
from motion_policy.streams import Observation
from motion_policy.training.unrolling import Own, mixed

torch.set_num_threads(1)
ROBOT = with_vectors(small_robot())
COUNT = 7  # numbers: four of the skin, three of the wrench
INPUTS = ('skin', 'wrench')
RANGES = {
    **spec().normalisation.model_dump(),
    'inputs': {'min': [-1.0] * 4 + [-20.0] * 3, 'max': [3.0] * 4 + [30.0] * 3},
}
ACT = {
    'chunk': 6, 'hidden_dim': 16, 'heads': 2, 'feedforward_dim': 24, 'encoder_layers': 1,
    'backbone': 'small', 'posterior': False,
}  # fmt: skip
CAE_RNN = {'rec_dim': 12, 'cae': {'feat_dim': 3}}
KINDS = {**FAMILIES, 'act': ACT, 'cae_rnn': CAE_RNN, 'mtrnn': {**CAE_RNN, 'rnn': 'mtrnn'}}


def policy_of(kind: str, robot: RobotSpec = ROBOT, **changes: Any) -> Policy:
    given = {
        'kind': 'cae_rnn' if kind == 'mtrnn' else kind, 'hyper': KINDS[kind],
        'image_size': (32, 64), 'robot': robot, 'inputs': INPUTS, 'normalisation': RANGES,
    }  # fmt: skip
    return small_policy(0, **{**given, **changes})


def observed(batch: int = 1, seed: int = 0) -> ObservationBatch:
    observation = random_observation(batch, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    observation['inputs'] = 10 * torch.rand(batch, COUNT, generator=generator)
    return observation


@pytest.mark.parametrize('kind', KINDS)
def test_every_number_of_a_vector_counts(kind: str) -> None:
    policy = policy_of(kind)
    observation = observed(2)
    chunk, _ = policy.act(observation, None)
    for place in range(COUNT):
        changed = observation['inputs'].clone()
        changed[0, place] += 5.0
        other, _ = policy.act({**observation, 'inputs': changed}, None)
        assert not torch.equal(other[0], chunk[0])
        torch.testing.assert_close(other[1], chunk[1], rtol=0, atol=1e-6)
    without = random_observation()
    with pytest.raises(ValueError, match='the observation has no inputs'):
        policy.act(without, None)
    wrong: Any = {**without, 'inputs': torch.zeros(2, COUNT - 1)}
    with pytest.raises(ValueError, match=r'inputs is \(2, 6\), expected \(batch, 7\)'):
        policy.act(wrong, None)


@pytest.mark.parametrize('kind', KINDS)
def test_vectors_are_scaled_by_what_the_checkpoint_says(kind: str, tmp_path: Path) -> None:
    policy = policy_of(kind)
    loaded = load_policy(save_policy(policy, tmp_path / 'policy'))
    assert loaded.spec.inputs == INPUTS
    assert loaded.spec.input_columns[:5] == (*(f'data[{n}]' for n in range(4)), 'wrench.force.x')
    observation = observed()
    expected, _ = policy.act(observation, None)
    assert torch.equal(loaded.act(observation, None)[0], expected)
    # Twice as wide a range and twice the numbers are the same to the network.
    doubled = {'min': [2 * x for x in RANGES['inputs']['min']],
               'max': [2 * x for x in RANGES['inputs']['max']]}  # fmt: skip
    other = policy_of(kind, normalisation={**RANGES, 'inputs': doubled})
    other.load_state_dict(policy.state_dict())
    twice: Any = {**observation, 'inputs': 2 * observation['inputs']}
    torch.testing.assert_close(other.act(twice, None)[0], expected, rtol=1e-5, atol=1e-6)


def test_a_checkpoint_without_inputs_reads_as_it_did_before_there_were_any() -> None:
    content = yaml.safe_load(spec_to_yaml(small_policy().spec))
    assert 'inputs' not in content and 'inputs' not in content['normalisation']


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'inputs': ('skin', 'force')}, "inputs: 'force' is not one of the robot's vectors: wre"),
        ({'inputs': ('skin', 'skin')}, "inputs: 'skin' stands twice"),
        ({'inputs': ('skin',)}, 'normalisation.inputs has 7 values, inputs have 4'),
        ({'normalisation': spec().normalisation}, 'normalisation.inputs has 0 values, inputs h'),
    ],
)
def test_a_spec_whose_inputs_do_not_fit_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        policy_of('sarnn', **changes)


def test_an_exported_policy_says_what_each_number_of_its_inputs_is(tmp_path: Path) -> None:
    policy = policy_of('sarnn')
    export_policy(policy, 'torchscript', tmp_path / 'sarnn.pt')
    facts = json.loads((tmp_path / 'sarnn.json').read_text())
    skin = [f'data[{place}]' for place in range(4)]
    assert facts['inputs']['inputs']['shape'] == [1, COUNT]
    assert list(facts['vectors']) == ['skin', 'wrench'] and facts['vectors']['skin'] == skin


@pytest.mark.parametrize('kind', KINDS)
def test_a_faster_step_gives_the_numbers_of_the_policy(kind: str) -> None:
    policy = policy_of(kind)
    names = step_names(policy).inputs
    assert names[:3] == ('qpos', 'inputs', 'image/top')
    plain = [(observed(seed=seed), None) for seed in range(3)]
    expected = [policy.act(*arguments)[0] for arguments in plain]
    static = StaticStep(policy, 'float32')
    use_back_end(policy, BackEndChoice('torch'), lambda: 0, lambda line: None)
    assert (policy.back_end is None) == (kind == 'mtrnn')  # which has none
    for (observation, state), chunk in zip(plain, expected, strict=True):
        torch.testing.assert_close(policy.act(observation, state)[0], chunk, rtol=1e-4, atol=1e-4)
        found, _, _ = static.act(observation, state, False)
        torch.testing.assert_close(found, chunk, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('kind', ['sarnn', 'cae_rnn'])
def test_what_is_mixed_with_predictions_in_training_has_the_vectors_as_recorded(kind: str) -> None:
    policy: Any = policy_of(kind)
    torch.manual_seed(0)
    vector, frames = torch.rand(1, 3, 5 + COUNT), torch.rand(1, 3, 3, 32, 64)
    with torch.no_grad():
        features = policy.network.encode_images([frames[0]])[None]
        hidden = mixed(policy, features, vector, Own(joint=1.0)).hidden
        state, told, steps = None, vector[:, 0], []
        for step in range(3):
            out, state = policy.network.step(features[:, step : step + 1], told[:, None], state)
            steps.append(out[:, 0])
            predicted = policy.network.decode_joints(out[:, 0])
            assert predicted.shape == (1, 5)
            joints = policy.normalise_qpos(policy.normalise_target.inverse(predicted))
            told = torch.cat((joints, vector[:, min(step + 1, 2), 5:]), dim=1)
    torch.testing.assert_close(hidden, torch.stack(steps, dim=1))


def seen(step: int, **vectors: Any) -> Observation:
    random = np.random.default_rng(step)
    joints = random.uniform(-0.01, 0.01, 5).astype(np.float32)
    image = random.integers(0, 256, (24, 32, 3), np.uint8)
    numbers = {'wrench': np.float32([step, 2, 3]), 'skin': np.float32([4, 5, 6, 7]), **vectors}
    given = {name: values for name, values in numbers.items() if values is not None}
    return Observation(joints, joints, None, {'top': image}, None, vectors=given)


def test_a_runner_takes_the_vectors_of_an_observation_and_names_what_is_missing() -> None:
    policy = policy_of('sarnn')
    runner = PolicyRunner(policy, ROBOT)
    runner.warm_up()
    observation = seen(3)
    batch: Any = {
        'qpos': torch.from_numpy(observation.qpos)[None],
        'images': {'top': torch.from_numpy(observation.images['top'])[None]},
        'inputs': torch.tensor([[4.0, 5, 6, 7, 3, 2, 3]]),
    }
    expected, _ = policy.act(batch, policy.initial_state(1))
    np.testing.assert_array_equal(runner.infer(observation)[0], expected[0].double().numpy())
    with pytest.raises(UserError, match="was trained with vector 'skin', which is not observed"):
        runner.infer(seen(3, skin=None))


@pytest.mark.parametrize(
    ('old', 'new', 'words'),
    [
        ('wrench.force.z', 'wrench.torque.z', r"needs vector 'wrench' \(.*z\), but .* torque.z"),
        ('wrench:', 'hand:', r"needs vector 'wrench' \(.*\), but 'tabletop_sim' has: hand, skin"),
        ('newest', 'mean', "vector 'skin' was the newest in training, but .* has window: mean"),
    ],
)
def test_a_robot_that_has_other_vectors_is_refused(old: str, new: str, words: str) -> None:
    text = ROBOT.to_yaml()
    assert old in text
    with pytest.raises(UserError, match=words.replace(' torque', ' .*torque')):
        PolicyRunner(policy_of('sarnn'), robot_spec_from_yaml(text.replace(old, new), 'other'))


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['sarnn', 'act'])
def test_a_process_gives_the_numbers_of_a_runner(kind: str, tmp_path: Path) -> None:
    folder = save_policy(policy_of(kind), tmp_path / 'policy')
    setup = PolicySetup(read_checkpoint(folder), ROBOT, back_end=BackEndChoice('eager'))
    runner = setup.make_runner(print)
    process = InferenceProcess(setup, lambda line: None, 120.0)
    try:
        assert process.facts == runner.facts and process.facts.inputs == INPUTS
        for step in range(3):
            arguments = (seen(step), False, step * 100_000_000, 0)
            expected, _ = runner.infer(*arguments)
            np.testing.assert_array_equal(process.infer(*arguments)[0], expected)
    finally:
        process.close()
