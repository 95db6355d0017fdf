# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`convert-checkpoint --from eipl`: what it assumes it says, what could run code it refuses."""

from __future__ import annotations

import json
import os
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import eipl_models as eipl
import numpy as np
import pytest
import torch

from motion_policy.cli.main import main
from motion_policy.policies import load_model, load_policy
from motion_policy.policies.convert.eipl_weights import read_eipl_weights

Capture = pytest.CaptureFixture[str]
SARNN = eipl.sarnn_weights(32, 32)
ARGUMENTS = {'temperature': 0.01, 'heatmap_size': 0.2, 'vmin': 0.0, 'vmax': 1.0, 'tag': 'x'}


def trained(folder: Path, weights: eipl.Weights, arguments: Any = None, **content: Any) -> Path:
    """Save weights as EIPL's trainers do."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / 'MODEL.pth'
    losses = {'epoch': 7, 'train_loss': 0.25, 'test_loss': 0.5}
    torch.save({**losses, 'model_state_dict': weights, **content}, path)
    if arguments is not None:
        (folder / 'args.json').write_text(json.dumps(arguments))
    return path


def bounds(tmp_path: Path, joints: int = eipl.JOINTS) -> Path:
    path = tmp_path / 'joint_bounds.npy'
    np.save(path, np.stack([np.full(joints, -1.0), np.full(joints, 1.5)]))
    return path


def convert(tmp_path: Path, source: Path, *more: str) -> int:
    command = ['convert-checkpoint', str(source), str(tmp_path / 'ours'), '--from', 'eipl']
    given = ['--joint-bounds', str(bounds(tmp_path)), '--camera', 'top']
    return main([*command, *given, *more])


def error_line(capsys: Capture) -> str:
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('error: ')
    return line


def notes(capsys: Capture) -> list[str]:
    printed = capsys.readouterr().out.splitlines()
    return [line.removeprefix('note ') for line in printed if line.startswith('note ')]


def test_the_call_makes_a_policy_and_says_what_it_is(tmp_path: Path, capsys: Capture) -> None:
    assert convert(tmp_path, trained(tmp_path / 'log', SARNN, ARGUMENTS)) == 0
    printed = capsys.readouterr().out
    count = sum(value.numel() for key, value in SARNN.items() if '.pos_' not in key)
    assert f'ours: sarnn, {count} parameters, 32x32' in printed
    assert 'from the SARNN in' in printed
    policy = load_policy(tmp_path / 'ours')
    spec = policy.spec
    assert (spec.rate, spec.target, spec.cameras) == (10.0, 'qpos', ('top',))
    assert spec.image_size == (32, 32)
    assert spec.hyper['temperature'] == 0.01
    assert spec.hyper['reference'] is True
    assert spec.normalisation.qpos.min == (-1.0,) * 4
    assert spec.metrics == {'epoch': 7.0, 'train_loss': 0.25, 'test_loss': 0.5}
    assert spec.training['eipl']['tag'] == 'x'
    assert main(['inspect', str(tmp_path / 'ours')]) == 0
    shown = capsys.readouterr().out
    for words in ('placeholder', 'top at 32x32', 'from the SARNN of eipl in MODEL.pth'):
        assert words in shown


def test_the_made_up_robot_is_told_and_has_room(tmp_path: Path, capsys: Capture) -> None:
    assert convert(tmp_path, trained(tmp_path / 'log', SARNN, ARGUMENTS)) == 0
    (note,) = notes(capsys)
    assert "robot 'placeholder' is made up: 4 joints" in note
    assert '--robot SPEC before it drives an arm' in note
    robot = load_policy(tmp_path / 'ours').spec.robot
    assert robot.joints.names == ('joint1', 'joint2', 'joint3', 'joint4')
    low, high = robot.joints.limits.position[0]
    assert low < -1.0
    assert high > 1.5
    assert (robot.cameras['top'].width, robot.rate) == (32, 10.0)


def test_what_no_file_says_is_assumed_aloud(tmp_path: Path, capsys: Capture) -> None:
    source = trained(tmp_path / 'log', eipl.sarnn_weights(128, 128))
    assert convert(tmp_path, source) == 0
    told = ' '.join(notes(capsys))
    assert 'assumed temperature 0.0001, heatmap_size 0.1, the defaults of EIPL' in told
    assert 'assumed vmin 0, vmax 1' in told
    assert 'there is no args.json beside it' in told
    assert 'a SARNN for 128x128 px' in told
    assert '--leaky-slope 0.01' in told
    assert convert(tmp_path, source, '--leaky-slope', '0.01') == 0
    assert 'a SARNN for 128x128' not in ' '.join(notes(capsys))
    assert load_policy(tmp_path / 'ours').spec.hyper['leaky_slope'] == 0.01


def test_the_image_size_comes_from_the_grid_or_the_arguments(
    tmp_path: Path, capsys: Capture
) -> None:
    weights = {key: value for key, value in SARNN.items() if '.pos_' not in key}
    source = trained(tmp_path / 'log', weights, {**ARGUMENTS, 'im_size': [48, 40]})
    assert convert(tmp_path, source) == 0
    assert load_policy(tmp_path / 'ours').spec.image_size == (48, 40)
    trained(tmp_path / 'log', weights, {**ARGUMENTS, 'im_size': 48})
    assert convert(tmp_path, source) == 2
    assert 'im_size is 48, expected [height, width]' in error_line(capsys)
    trained(tmp_path / 'log', weights, ARGUMENTS)
    assert convert(tmp_path, source) == 0
    assert 'assumed im_height 64, im_width 64' in ' '.join(notes(capsys))
    assert load_policy(tmp_path / 'ours').spec.image_size == (64, 64)


def test_arguments_may_lie_elsewhere(tmp_path: Path) -> None:
    source = trained(tmp_path / 'log', SARNN)
    (tmp_path / 'other.json').write_text(json.dumps({**ARGUMENTS, 'temperature': 0.5}))
    assert convert(tmp_path, source, '--args', str(tmp_path / 'other.json')) == 0
    assert load_policy(tmp_path / 'ours').spec.hyper['temperature'] == 0.5


def test_options_of_other_models_are_told_to_be_unused(tmp_path: Path, capsys: Capture) -> None:
    source = trained(tmp_path / 'log', eipl.cnnrnn_weights(32, 'none'), ARGUMENTS)
    assert convert(tmp_path, source, '--leaky-slope', '0.3', '--fast-tau', '2') == 0
    told = notes(capsys)
    assert any('--leaky-slope is not used, a CNNRNN' in note for note in told)
    assert any('--fast-tau is not used, a CNNRNN' in note for note in told)


def test_time_constants_are_taken_or_assumed(tmp_path: Path, capsys: Capture) -> None:
    source = trained(tmp_path / 'log', eipl.mtrnn_weights(), {'vmin': 0.0, 'vmax': 1.0})
    assert convert(tmp_path, source) == 0
    told = ' '.join(notes(capsys))
    assert 'assumed fast_tau 2, slow_tau 12' in told
    assert 'assumed joints in 0.1..0.9' in told
    assert 'without --feat-bounds' in told
    assert convert(tmp_path, source, '--fast-tau', '3', '--slow-tau', '30') == 0
    model = load_model(tmp_path / 'ours')
    assert (model.kind, model.spec.hyper['slow_tau']) == ('rnn', 30.0)
    assert main(['inspect', str(tmp_path / 'ours')]) == 0
    assert re.search(r'predicts +(action|qpos)', capsys.readouterr().out)


def test_an_rnn_and_its_autoencoder_make_a_policy(tmp_path: Path, capsys: Capture) -> None:
    scale = {'vmin': 0.1, 'vmax': 0.9}
    rnn = trained(tmp_path / 'rnn', eipl.lstm_weights(), {'vmin': 0.0, 'vmax': 1.0})
    cae = trained(tmp_path / 'cae', eipl.cae_weights(32, big=False, norm='batch'), scale)
    features = tmp_path / 'feat_bounds.npy'
    np.save(features, np.array([0.0, 2.0], np.float32))
    assert convert(tmp_path, rnn, '--cae', str(cae)) == 2
    assert '--feat-bounds is missing' in error_line(capsys)
    assert convert(tmp_path, rnn, '--cae', str(rnn), '--feat-bounds', str(features)) == 2
    assert 'is a BasicLSTM, expected an autoencoder' in error_line(capsys)
    assert convert(tmp_path, cae, '--cae', str(cae)) == 2
    assert 'is a BasicCAEBN, expected an RNN' in error_line(capsys)
    assert not (tmp_path / 'ours').exists()
    assert convert(tmp_path, rnn, '--cae', str(cae), '--feat-bounds', str(features)) == 0
    policy = load_policy(tmp_path / 'ours')
    assert policy.kind == 'cae_rnn'
    np.testing.assert_allclose(policy.network.sequence.feature_span, np.full(10, 2.0))
    # -1 becomes 0.1 and 1.5 becomes 0.9.
    np.testing.assert_allclose(policy.normalise_qpos(torch.tensor([[-1.0] * 4])), [[0.1] * 4])
    assert convert(tmp_path, cae) == 0
    assert load_model(tmp_path / 'ours').kind == 'cae'
    capsys.readouterr()
    assert main(['inspect', str(tmp_path / 'ours')]) == 0
    assert 'predicts' not in capsys.readouterr().out  # it tells no joints


def spec_of(
    tmp_path: Path, joints: int, low: float = -3.0, width: int = 640, **fit: object
) -> str:
    names = [f'j{number}' for number in range(joints)]
    content = {
        'name': 'arm',
        'rate': 50.0,
        'joints': {
            'names': names,
            'state': {'topic': 'joint_states', 'type': 'sensor_msgs/msg/JointState'},
            'command': {'topic': 'command', 'type': 'std_msgs/msg/Float64MultiArray'},
            'limits': {
                'position': [[low, 3.0]] * joints,
                'velocity': [1.0] * joints,
                'acceleration': [1.0] * joints,
            },
        },
        'cameras': {'top': {'topic': 'top/image', 'width': width, 'height': 480, **fit}},
    }
    path = tmp_path / 'arm.yaml'
    path.write_text(json.dumps(content))
    return str(path)


def test_a_robot_of_ones_own_is_kept(tmp_path: Path, capsys: Capture) -> None:
    source = trained(tmp_path / 'log', SARNN, ARGUMENTS)
    assert convert(tmp_path, source, '--robot', spec_of(tmp_path, 4, width=480)) == 0
    assert notes(capsys) == []
    policy = load_policy(tmp_path / 'ours')
    assert policy.joint_names == ('j0', 'j1', 'j2', 'j3')
    assert policy.spec.rate == 10.0
    assert convert(tmp_path, source, '--robot', spec_of(tmp_path, 4, -0.5)) == 0
    told = ' '.join(notes(capsys))
    assert 'is 640x480, the model sees 32x32: images are stretched' in told
    assert "joint 'j0' was trained beyond its limits" in told
    cropped = spec_of(tmp_path, 4, crop=[80, 0, 480, 480], rotate=180)
    assert convert(tmp_path, source, '--robot', cropped) == 0
    [told] = notes(capsys)
    assert 'is seen with crop [80, 0, 480, 480], rotate 180, fit stretch' in told
    assert load_policy(tmp_path / 'ours').spec.fit['top'].crop == (80, 0, 480, 480)
    assert convert(tmp_path, source, '--robot', spec_of(tmp_path, 5)) == 2
    assert "robot 'arm' has 5 joints" in error_line(capsys)
    assert convert(tmp_path, source, '--robot', spec_of(tmp_path, 4), '--camera', 'side') == 2
    assert "camera 'side': robot 'arm' has: top" in error_line(capsys)


@pytest.mark.parametrize(
    'change',
    [
        lambda weights: {'_orig_mod.' + key: value for key, value in weights.items()},
        lambda weights: {key: value.double() for key, value in weights.items()},
    ],
    ids=['compiled', 'double'],
)
def test_files_of_other_trainers_give_the_same_policy(
    tmp_path: Path, change: Callable[[eipl.Weights], eipl.Weights]
) -> None:
    assert convert(tmp_path, trained(tmp_path / 'log', change(SARNN), ARGUMENTS)) == 0
    found = load_policy(tmp_path / 'ours').network.eyes[0].im_encoder[2].weight
    torch.testing.assert_close(found, SARNN['im_encoder.2.weight'], atol=0, rtol=0)


def test_a_plain_state_dict_is_read(tmp_path: Path) -> None:
    torch.save(SARNN, tmp_path / 'plain.pth')
    assert read_eipl_weights(tmp_path / 'plain.pth').family == 'SARNN'


@pytest.mark.parametrize('module', ['numpy._core.multiarray', 'numpy.core.multiarray'])
def test_numpy_scalars_of_any_numpy_are_read(tmp_path: Path, module: str) -> None:
    numbers = {'train_loss': np.float32(0.25), 'test_loss': np.float64(0.5), 'epoch': np.int64(3)}
    source = trained(tmp_path / 'log', SARNN, **numbers)
    rewritten = tmp_path / 'log' / 'other.pth'
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(rewritten, 'w') as new:
        for item in old.infolist():
            data = old.read(item)
            if item.filename.endswith('data.pkl'):
                assert b'core.multiarray\nscalar' in data
                data = data.replace(b'numpy._core.multiarray', b'numpy.core.multiarray')
                data = data.replace(b'numpy.core.multiarray', module.encode())
            new.writestr(item, data)
    metrics = read_eipl_weights(rewritten).metrics
    assert metrics == {'train_loss': 0.25, 'test_loss': 0.5, 'epoch': 3.0}


class MakesFile:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize('place', ['optimizer', 'train_loss', 'model_state_dict'])
@pytest.mark.parametrize('zipped', [True, False])
def test_a_file_that_would_run_code_is_refused(
    tmp_path: Path, capsys: Capture, place: str, zipped: bool
) -> None:
    mark = tmp_path / 'mark'
    source = tmp_path / 'MODEL.pth'
    content: dict[str, Any] = {'model_state_dict': SARNN, place: MakesFile(mark)}
    torch.save(content, source, _use_new_zipfile_serialization=zipped)
    torch.load(source, weights_only=False)
    assert mark.exists(), 'the file is harmless, which proves nothing'
    mark.rmdir()
    assert convert(tmp_path, source) == 2
    line = error_line(capsys)
    assert "MODEL.pth: wants to call 'posix.mkdir' when it is read; nothing was run" in line
    assert not mark.exists()
    assert not (tmp_path / 'ours').exists()


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        (b'', 'is no .pth file'),
        (b'no pickle at all', 'is no .pth file'),
        (pickle.dumps([1, 2], protocol=2), 'is no .pth file'),
    ],
)
def test_what_is_no_checkpoint_is_refused(
    tmp_path: Path, capsys: Capture, content: bytes, words: str
) -> None:
    source = tmp_path / 'MODEL.pth'
    source.write_bytes(content)
    assert convert(tmp_path, source) == 2
    assert words in error_line(capsys)


def test_mistakes_are_one_line(tmp_path: Path, capsys: Capture) -> None:
    source = trained(tmp_path / 'log', SARNN, ARGUMENTS)
    command = ['convert-checkpoint', str(source), str(tmp_path / 'ours')]
    assert main([*command, '--from', 'keras']) == 2
    assert 'eipl' in error_line(capsys)
    assert main(command) == 2
    assert 'expected --from eipl, --from act' in error_line(capsys)
    assert main([*command, '--from', 'eipl', '--heads', '8']) == 2
    assert '--heads: means something only with --from act' in error_line(capsys)
    assert main([*command, '--from', 'eipl']) == 2
    assert '--joint-bounds is missing' in error_line(capsys)
    assert main([*command, '--from', 'eipl', '--joint-bounds', str(bounds(tmp_path))]) == 2
    assert '--camera is missing' in error_line(capsys)
    assert convert(tmp_path, tmp_path / 'nowhere.pth') == 2
    assert 'nowhere.pth: no such file' in error_line(capsys)
    assert convert(tmp_path, source, '--args', str(tmp_path / 'nowhere.json')) == 2
    assert 'nowhere.json: no such file' in error_line(capsys)
    for arguments, words in (
        ([], 'holds list'),
        ({**ARGUMENTS, 'vmin': 'low'}, "vmin is 'low', expected a number"),
        ({**ARGUMENTS, 'vmin': 1.0}, 'expected vmin < vmax'),
        ({**ARGUMENTS, 'temperature': -1.0}, 'temperature: found -1.0'),
    ):
        trained(tmp_path / 'log', SARNN, arguments)
        assert convert(tmp_path, source) == 2
        assert words in error_line(capsys)
    torch.save({'model_state_dict': {'a': 1}}, source)
    assert convert(tmp_path, source) == 2
    assert "holds 'a', expected" in error_line(capsys)
    torch.save([1, 2], source)
    assert convert(tmp_path, source) == 2
    assert 'holds list, expected' in error_line(capsys)
    assert not (tmp_path / 'ours').exists()


def test_a_folder_with_other_files_is_not_replaced(tmp_path: Path, capsys: Capture) -> None:
    source = trained(tmp_path / 'log', SARNN, ARGUMENTS)
    (tmp_path / 'ours').mkdir()
    (tmp_path / 'ours' / 'thesis.txt').write_text('x')
    assert convert(tmp_path, source) == 2
    assert "'thesis.txt'" in error_line(capsys)
    assert (tmp_path / 'ours' / 'thesis.txt').exists()
