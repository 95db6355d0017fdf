# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A policy sees live, bit for bit, what it was trained on, cropped, turned and padded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from frame_predictors import small_predictor
from policy_examples import FAMILIES, small_policy, small_robot, spec
from recordings import START_NS, observation, write_episode
from training_runs import ACT, SARNN_RUN, run_to_the_end, small_run

from motion_policy.control import Mix, PolicyRunner
from motion_policy.control.foresight import OwnForesight, PlanForesight
from motion_policy.errors import UserError
from motion_policy.evaluation.offline import evaluate_recordings
from motion_policy.evaluation.recordings import find_recordings
from motion_policy.policies import check_robot, load_policy, make_model, save_policy
from motion_policy.policies.backends.export import export_policy
from motion_policy.policies.backends.graph import step_facts
from motion_policy.policies.backends.selection import BOUNDS, BackEndChoice, Checks, use_back_end
from motion_policy.policies.base import PolicySpec
from motion_policy.policies.checkpoint import CheckpointError, read_checkpoint, spec_to_yaml
from motion_policy.policies.recurrent.cae import adopt_pretrained
from motion_policy.policies.robot_fit import other_fits
from motion_policy.robot import RobotSpec, robot_spec_from_yaml
from motion_policy.training import ConfigError, TrainConfig, train_config
from motion_policy.training.autoencoders import Autoencoders
from motion_policy.training.demonstrations import Demonstrations, load_demonstrations
from motion_policy.training.learning import learning_of
from motion_policy.training.train import no_progress, policy_spec

torch.set_num_threads(1)

CROP = [4, 3, 20, 18]
FITS = {
    'crop': {'top': {'crop': CROP}},
    'turned': {'top': {'rotate': 90}, 'side': {'rotate': 180}},
    'cut': {'top': {'fit': 'crop', 'rotate': 270}, 'side': 'crop'},
    'padded': {'top': {'crop': CROP, 'rotate': 270, 'fit': 'pad'}, 'side': 'pad'},
}
SIZES = {'top': [12, 20], 'side': [16, 16]}


def fitted_robot(**fits: Any) -> RobotSpec:
    """The tabletop robot with images of 32x24, and what is said of its cameras."""
    content = yaml.safe_load(small_robot().to_yaml())
    for camera, options in fits.items():
        content['cameras'][camera].update(options)
    return robot_spec_from_yaml(yaml.safe_dump(content), 'test')


def config(folder: Path, **changes: Any) -> TrainConfig:
    given = {'cameras': ['top', 'side'], 'image_size': SIZES, **changes}
    return train_config(small_run(folder, folder / 'run', **{**SARNN_RUN, **given}))


def load(folder: Path, **changes: Any) -> tuple[PolicySpec, Demonstrations]:
    """The spec that such a run would write, and what it would learn from."""
    given = config(folder, **changes)
    data = load_demonstrations(given, no_progress)
    return policy_spec(given, data, learning_of(given), Autoencoders((), ())), data


@pytest.fixture(scope='module')
def demonstrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('data')
    for number, length in enumerate((40, 33)):
        path = folder / f'episode_{number:06d}.hdf5'
        write_episode(path, length, robot=small_robot(), compress=False)
    return folder


class Watched:
    """What a policy's network is shown, {camera: (3, h, w) in [0, 1]}, step by step."""

    def __init__(self, policy: Any) -> None:
        self.images: list[dict[str, torch.Tensor]] = []
        infer = policy.infer

        def watching(images: Any, *arguments: Any) -> Any:
            self.images.append({name: image[0].clone() for name, image in images.items()})
            return infer(images, *arguments)

        policy.infer = watching


@pytest.mark.parametrize('fit', [None, *FITS])
def test_the_network_sees_live_what_it_was_trained_on(
    fit: str | None, demonstrations: Path, tmp_path: Path
) -> None:
    """Images held and read anew, in a mixture too, and after a way through a folder."""
    said, data = load(demonstrations, fit=None if fit is None else FITS[fit])
    folder = save_policy(make_model(said), tmp_path / 'policy')
    policy = load_policy(folder)
    assert policy.spec.sizes == ((12, 20), (16, 16))
    robot = policy.spec.robot
    runner, watched = PolicyRunner(policy, robot), Watched(policy)
    again = PolicyRunner(load_policy(folder), robot, Mix(image=0.999999))
    chunks = {
        'policy': ACT, 'batch_size': 3, 'steps': 4, 'validate_every': None, 'epochs': None,
        'image_loss_frames': None, 'data': {'train': str(demonstrations), 'hold': 'no'},
    }  # fmt: skip
    _, stored = load(demonstrations, **({} if fit is None else {'fit': FITS[fit]}), **chunks)
    foresight = OwnForesight(policy.spec)
    length = max(episode.length for episode in (*data.train, *data.validation))
    [held] = [e for e in (*data.train, *data.validation) if e.length == length]
    [read] = [e for e in (*stored.train, *stored.validation) if e.length == length]
    for row in range(0, 20, 5):
        live = observation(row, robot)
        chunk, extras = runner.infer(live, time_ns=START_NS + row)
        _, mixed = again.infer(live)
        foresight.look(START_NS + row, live, chunk, extras)
        for camera, shape in SIZES.items():
            assert held.images[camera].shape[1:] == (*shape, 3)
            assert torch.equal(read.images[camera][row], held.images[camera][row])
            shown = held.images[camera][row].permute(2, 0, 1) / 255
            assert torch.equal(watched.images[-1][camera], shown), (camera, row)
            assert torch.equal(foresight._seen[camera], shown)
            if row:
                assert np.array_equal(mixed[f'seen/{camera}'], held.images[camera][row])
    if fit == 'padded':
        assert not held.images['top'][0][0].any() or not held.images['top'][0][:, 0].any()


def test_the_robot_spec_of_the_episodes_says_it_and_the_configuration_says_it_anew(
    tmp_path: Path, demonstrations: Path
) -> None:
    robot = fitted_robot(top={'crop': CROP, 'rotate': 90}, side={'fit': 'pad'})
    write_episode(tmp_path / 'episode_000000.hdf5', 30, robot=robot, compress=False)
    said, _ = load(tmp_path)
    assert {name: str(said.view(name).options) for name in said.cameras} == {
        'top': 'crop [4, 3, 20, 18], rotate 90, fit stretch', 'side': 'rotate 0, fit pad',
    }  # fmt: skip
    # What is recorded stays all that the camera sends.
    [found] = find_recordings([tmp_path], make_model(said))
    for row in found.rows():
        assert row.observe().images['top'].shape == (24, 32, 3)
    anew, _ = load(tmp_path, fit={'top': {'crop': None, 'fit': 'crop'}})
    assert str(anew.view('top').options) == 'rotate 90, fit crop'
    assert str(anew.view('side').options) == 'rotate 0, fit pad'
    every, _ = load(tmp_path, fit='crop', image_size=[16, 16])
    assert str(every.view('side').options) == 'rotate 0, fit crop'
    content = yaml.safe_load(spec_to_yaml(said))
    assert content['fit'] == {
        'top': {'size': [12, 20], 'crop': CROP, 'rotate': 90},
        'side': {'size': [16, 16], 'fit': 'pad'},
    }
    # Episodes of which something else would be seen are no demonstrations of one policy.
    first = sorted(demonstrations.iterdir())[0]
    (tmp_path / 'episode_000001.hdf5').write_bytes(first.read_bytes())
    with pytest.raises(ConfigError, match=r"'top' has rotate 0, fit stretch, expected crop"):
        load(tmp_path)
    one = {'crop': CROP, 'rotate': 90, 'fit': 'stretch'}
    assert load(tmp_path, fit={'top': one, 'side': one})[0].fit['side'].crop == tuple(CROP)
    large = fitted_robot(top={'width': 64, 'height': 48, 'crop': CROP, 'rotate': 90})
    write_episode(tmp_path / 'episode_000002.hdf5', 30, robot=large, compress=False)
    (tmp_path / 'episode_000001.hdf5').unlink()
    with pytest.raises(ConfigError, match=r"'top' is 64x48, expected 32x24 as in the first"):
        load(tmp_path, fit={'side': {'fit': 'stretch'}})


def test_what_says_nothing_is_what_it_was(demonstrations: Path) -> None:
    said, _ = load(demonstrations, image_size=[12, 16])
    assert said.fit == {} and said.image_size == (12, 16)
    same, _ = load(demonstrations, image_size={'top': [12, 16], 'side': [12, 16]}, fit='stretch')
    assert same.fit == {} and same.image_size == (12, 16)
    content = yaml.safe_load(spec_to_yaml(said))
    assert 'fit' not in content
    assert {'crop', 'rotate', 'fit'}.isdisjoint(content['robot']['cameras']['top'])


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'fit': 'letterbox'}, "fit: found 'letterbox', expected 'stretch', 'crop' or 'pad'"),
        ({'fit': {'top': 'letterbox'}}, "fit.top.fit: found 'letterbox'"),
        ({'fit': {'top': {'crop': [0, 0]}}}, r'fit.top.crop: found [0, 0], expected [x, y, width'),
        ({'fit': {'top': {'rotate': 45}}}, 'fit.top.rotate: found 45, expected 0, 90, 180 or 270'),
        ({'fit': {'top': {'size': [4, 4]}}}, 'fit.top.size: unknown key'),
        ({'fit': {'wrist': 'pad'}}, "fit: camera 'wrist' is not one of cameras: top, side"),
        ({'fit': [1]}, 'fit: found [1], expected'),
        ({'image_size': {'top': [12, 20]}}, "image_size: camera 'side' is missing"),
        ({'image_size': {**SIZES, 'wrist': [8, 8]}}, "image_size: camera 'wrist' is not one of"),
        ({'image_size': {**SIZES, 'top': [12, 0]}}, 'image_size.top[1]: found 0'),
        ({'image_size': {**SIZES, 'top': 12}}, 'image_size.top: found 12'),
        ({'image_size': 12}, 'image_size: found 12'),
        ({'image_size': {**SIZES, 'wrist': [8, 8]}, 'cameras': 'top'}, "'side' is not one of"),
    ],
    ids=str,
)
def test_a_mistake_in_the_configuration_is_one_line(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as error:
        config(tmp_path, **changes)
    assert words in str(error.value) and '\n' not in str(error.value)


def test_a_crop_outside_of_the_image_is_refused_wherever_it_stands(
    demonstrations: Path, tmp_path: Path
) -> None:
    outside = {'crop': [20, 0, 20, 20]}
    with pytest.raises(ConfigError, match=r'fit\.top: crop \[20, 0, 20, 20\] ends at x 40'):
        load(demonstrations, fit={'top': outside})
    with pytest.raises(UserError, match=r'cameras\.top: crop \[20, 0, 20, 20\] ends at x 40'):
        fitted_robot(top=outside)
    folder = save_policy(small_policy(fit={'top': {'crop': CROP}}), tmp_path / 'policy')
    text = (folder / 'policy.yaml').read_text()
    (folder / 'policy.yaml').write_text(text.replace('[4, 3, 20, 18]', '[4, 3, 20, 180]'))
    with pytest.raises(CheckpointError, match=r'fit\.top: crop .* ends at'):
        load_policy(folder)


def test_a_robot_whose_cameras_are_others_is_refused_or_told_of(tmp_path: Path) -> None:
    folder = save_policy(small_policy(fit={'top': {'crop': CROP}}), tmp_path / 'policy')
    policy, checkpoint = load_policy(folder), read_checkpoint(folder)
    double = fitted_robot(top={'width': 64, 'height': 48})
    with pytest.raises(CheckpointError, match=r'was 32x24 in training, where crop .* 64x48: exp'):
        check_robot(policy, double)
    check_robot(small_policy(fit={'top': {'fit': 'pad'}}), double)
    assert other_fits(checkpoint, small_robot()) == []  # a spec that says nothing is no other
    assert other_fits(checkpoint, fitted_robot(top={'crop': CROP})) == []
    [line] = other_fits(checkpoint, fitted_robot(top={'rotate': 180}))
    assert line.endswith(
        "camera 'top' is seen as in training, with crop [4, 3, 20, 18], rotate 0, fit stretch; "
        "'tabletop_sim' says rotate 180, fit stretch"
    )


KINDS = {
    **FAMILIES,
    'act': {**ACT, 'posterior': False, 'kind': None},
    'cae_rnn': {'rec_dim': 12, 'cae': {'feat_dim': 3}},
}


@pytest.mark.parametrize('kind', KINDS)
def test_every_family_takes_cameras_of_several_sizes(kind: str) -> None:
    """With every back end that is at hand; what it draws has the size of the camera."""
    hyper = {key: value for key, value in KINDS[kind].items() if key != 'kind'}
    policy = small_policy(
        kind=kind, hyper=hyper, cameras=('top', 'side'), image_size=(32, 64),
        fit={'side': {'size': (64, 32), 'rotate': 90, 'fit': 'pad'}, 'top': {'crop': CROP}},
    )  # fmt: skip
    sent = torch.randint(0, 256, (2, 24, 32, 3), dtype=torch.uint8)
    told: Any = {'qpos': torch.zeros(2, 5), 'images': {'top': sent, 'side': sent}}
    _, _, extras = policy.act_and_explain(told, None)
    for camera, shape in (('top', (32, 64)), ('side', (64, 32))):
        if kind != 'act':
            assert extras[f'image/{camera}'].shape == (2, *shape, 3)
    seen: Any = {'qpos': told['qpos'], 'seen': {c: policy.views[c](sent) for c in policy.cameras}}
    assert torch.equal(policy.act(seen, None)[0], policy.act(told, None)[0])
    with pytest.raises(ValueError, match=r"'top' gives .* expected \(batch, 32, 64, 3\)"):
        policy.act({**seen, 'seen': {**seen['seen'], 'top': sent}}, None)
    checks = Checks(policy)
    use_back_end(policy, BackEndChoice('torch'), lambda: 0)
    if policy.back_end is not None:
        assert checks.difference(policy.back_end) <= BOUNDS['float32']
        one: Any = {'qpos': told['qpos'][:1], 'images': {c: sent[:1] for c in policy.cameras}}
        fast = policy.act(one, None)[0]
        policy.back_end = None
        torch.testing.assert_close(fast, policy.act(one, None)[0], atol=1e-4, rtol=0)


@pytest.mark.slow
def test_an_exported_step_says_what_is_to_be_done_with_the_images(tmp_path: Path) -> None:
    said = {'top': {'crop': CROP}, 'side': {'size': (24, 16), 'rotate': 90, 'fit': 'pad'}}
    policy = small_policy(cameras=('top', 'side'), fit=said)
    exported = export_policy(policy, 'torchscript', tmp_path / 'policy.pt')
    assert exported.difference <= BOUNDS['float32']
    facts = json.loads((tmp_path / 'policy.json').read_text())
    assert facts['fit'] == {
        'top': {'crop': CROP, 'rotate': 0, 'fit': 'stretch', 'size': [16, 20], 'sent': [24, 32]},
        'side': {'crop': None, 'rotate': 90, 'fit': 'pad', 'size': [24, 16], 'sent': [24, 32]},
    }
    assert facts['inputs']['image/side']['shape'] == [1, 24, 16, 3]
    assert json.loads(step_facts(policy)['motion_policy.fit']) == facts['fit']
    assert 'motion_policy.fit' not in step_facts(small_policy())


def test_an_autoencoder_is_taken_only_if_it_saw_the_same() -> None:
    policy = small_policy(
        kind='cnnrnn', hyper={'feat_dim': 3}, image_size=(32, 64), fit={'top': {'crop': CROP}}
    )
    hyper = {'feat_dim': 3}
    for fit, fits in (({'crop': CROP}, True), ({'fit': 'pad'}, False), ({}, False)):
        autoencoder = make_model(
            spec(kind='cae', hyper=hyper, image_size=(32, 64), fit={'top': fit})
        )
        if fits:
            assert adopt_pretrained(policy, [autoencoder])  # type: ignore[arg-type]
            continue
        with pytest.raises(UserError, match=r"camera 'top' was seen as .*, by the cnnrnn as"):
            adopt_pretrained(policy, [autoencoder])  # type: ignore[arg-type]


def test_a_frame_predictor_and_what_watches_by_it_see_what_it_was_trained_on(
    demonstrations: Path,
) -> None:
    model = small_predictor(fit={'top': FITS['padded']['top']})
    changes = {'cameras': ['top'], 'image_size': [64, 64], 'fit': {'top': FITS['padded']['top']}}
    _, data = load(demonstrations, **changes)
    episode = next(e for e in (*data.train, *data.validation) if e.length == 40)
    robot = model.spec.robot
    sent = [observation(row, robot).images['top'] for row in range(4)]
    raw, seen = torch.from_numpy(np.stack(sent))[None], episode.images['top'][None, :4]
    assert torch.equal(model.unit_frames(raw), model.unit_frames(seen, as_seen=True))
    told = episode.action[None, :6], episode.qpos[None, :6]
    futures = [
        model.predict(frames[:, :2], *told, as_seen=ready, generator=torch.Generator())
        for frames, ready in ((raw, False), (seen, True))
    ]
    assert torch.equal(*futures)
    with pytest.raises(ValueError, match='expected them as seen: 64x64'):
        model.predict(raw[:, :2], *told, as_seen=True)
    foresight = PlanForesight(model, robot)
    foresight.warm_up()
    for row in range(2):
        joints = episode.qpos[row].double().numpy()
        foresight.look(row * model.period_ns, sent[row], joints, joints, None)
        assert torch.equal(foresight._seen[-1].frame, seen[0, row])


@pytest.mark.slow
def test_a_run_with_cameras_of_several_sizes_trains_and_judges(
    demonstrations: Path, tmp_path: Path
) -> None:
    run = small_run(
        demonstrations, tmp_path / 'run',
        **{**SARNN_RUN, 'cameras': ['top', 'side'], 'image_size': SIZES, 'fit': FITS['padded'],
           'epochs': 2},
    )  # fmt: skip
    output = run_to_the_end(run)
    policy = load_policy(output / 'best')
    assert str(policy.views['top']) == '20x12 (crop [4, 3, 20, 18], rotate 270, fit pad)'
    run_to_the_end({**run, 'epochs': 3})  # goes on
    for fit in (FITS['cut'], {}):
        with pytest.raises(ConfigError, match='this run was begun with fit='):
            run_to_the_end({**run, 'epochs': 4, 'fit': fit})
    found = find_recordings([demonstrations], policy)
    evaluation = evaluate_recordings(PolicyRunner(policy, policy.spec.robot), found[:1])
    assert set(evaluation.results[0].image_mse) == {'top', 'side'}
