# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Readers of other tools' files, with the small files that our tests make of each kind.

Only the source tree has these; `MADE_BY_TESTS` is empty in an installation.
"""

from __future__ import annotations

import importlib
import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from damage_campaign.reader import ROWS, SIZE, Reader, importing, of_checkpoint, of_episodes

_SUPPORT = Path(__file__).parents[2] / 'test' / 'support'
_ROBOT = 'robot_of_the_set.yaml'  # beside the campaign's own


def _builder(name: str) -> Any:
    if str(_SUPPORT) not in sys.path:
        sys.path.append(str(_SUPPORT))
    return importlib.import_module(name)


def _bag(storage: str, *, compressed: bool) -> Callable[[Path, Path, Path], Path]:
    def make(folder: Path, episodes: Path, robot: Path) -> Path:
        bags = _builder('bag_files')
        tabletop = _builder('recordings').tabletop()
        (robot.parent / 'tabletop.yaml').write_text(tabletop.to_yaml())
        events = bags.demonstration(ROWS / 10, tabletop, compressed=compressed)
        return Path(bags.write_bag(folder / 'bag', events, storage))

    return make


def _lerobot(*changes: str) -> Callable[[Path, Path, Path], Path]:
    def make(folder: Path, episodes: Path, robot: Path) -> Path:
        sets = _builder('lerobot_sets')
        (robot.parent / _ROBOT).write_text(sets.ROBOT.to_yaml())
        own = folder / 'episodes'
        own.mkdir()
        sets.write_episodes(own)
        source = Path(sets.write_set(own, folder / 'set'))
        for change in changes:
            getattr(sets, change)(source, own)
        return source

    return make


def _import(kind: str, robot: str = _ROBOT, *options: str) -> Callable[..., list[str]]:
    command = importing(kind, *options)
    return lambda source, out, own: command(source, out, own.parent / robot)


def _lerobot_checkpoint(folder: Path, episodes: Path, robot: Path) -> Path:
    return Path(_builder('lerobot_folders').folder(folder / 'model'))


def _old_lerobot_checkpoint(folder: Path, episodes: Path, robot: Path) -> Path:
    folders = _builder('lerobot_folders')
    return Path(folders.old_folder(folder / 'model', folders.config(type='absent')))


def _act_checkpoint(folder: Path, episodes: Path, robot: Path) -> Path:
    import torch

    act = _builder('act_models')
    source = folder / 'model'
    source.mkdir()
    torch.save(act.weights(), source / 'policy_best.ckpt')
    (source / 'dataset_stats.pkl').write_bytes(pickle.dumps(act.statistics()))
    return source


def _convert_act(source: Path, out: Path, robot: Path) -> list[str]:
    named = ['--cameras', 'top', '--heads', '2', '--image-size', '64x96']
    stats = ['--stats', str(source / 'dataset_stats.pkl')]
    return _convert('act', *named, *stats)(source / 'policy_best.ckpt', out, robot)


def _eipl_checkpoint(folder: Path, episodes: Path, robot: Path) -> Path:
    import torch

    eipl = _builder('eipl_models')
    source = folder / 'model'
    source.mkdir()
    state = {'epoch': 1, 'model_state_dict': eipl.sarnn_weights(SIZE, SIZE), 'test_loss': 0.2}
    torch.save(state, source / 'SARNN.pth')
    (source / 'args.json').write_text(json.dumps({'temperature': 0.01, 'heatmap_size': 0.2}))
    bounds = np.stack([np.full(eipl.JOINTS, -1.0), np.full(eipl.JOINTS, 1.5)])
    np.save(source / 'joint_bounds.npy', bounds)
    return source


def _convert_eipl(source: Path, out: Path, robot: Path) -> list[str]:
    named = ['--camera', 'top', '--joint-bounds', str(source / 'joint_bounds.npy')]
    return _convert('eipl', *named)(source / 'SARNN.pth', out, robot)


def _convert(kind: str, *options: str) -> Callable[[Path, Path, Path], list[str]]:
    return lambda source, out, robot: [
        'convert-checkpoint', str(source), str(out), '--from', kind, *options
    ]  # fmt: skip


def _training(folder: Path, episodes: Path, robot: Path) -> Path:
    source = folder / 'run.yaml'
    content = {
        'policy': {'kind': 'sarnn', 'rec_dim': 4, 'k_dim': 2},
        'data': {'train': [str(episodes)], 'validation': 0.5},
        'rate': 10.0, 'cameras': ['top'], 'image_size': [16, 16], 'batch_size': 1,
        'learning_rate': 1e-3, 'loss': {'image': 0.1, 'joint': 1.0},
        'augmentation': {'joint_noise': 0.01}, 'seed': 0,
    }  # fmt: skip
    source.write_text(yaml.safe_dump(content))
    return source


def _train(source: Path, out: Path, robot: Path) -> list[str]:
    # What was asked for may take long: one epoch on a CPU does not.
    return ['train', str(source), 'epochs=1', 'device=cpu', 'threads=1', f'output={out}']


FOREIGN = (
    Reader('bag of sqlite3, import', _bag('sqlite3', compressed=True),
           _import('rosbag2', 'tabletop.yaml'), of_episodes),
    Reader('bag of mcap, import', _bag('mcap', compressed=False),
           _import('rosbag2', 'tabletop.yaml'), of_episodes),
    Reader('bag of mcap, inspect', _bag('mcap', compressed=True),
           lambda s, o, r: ['inspect', str(s)], lambda s, o: ''),
    Reader('LeRobot 3, import', _lerobot(), _import('lerobot'), of_episodes),
    Reader('LeRobot 2, import', _lerobot('as_version_2'), _import('lerobot'), of_episodes),
    Reader('LeRobot of images, import', _lerobot('as_images'), _import('lerobot'), of_episodes),
    Reader('LeRobot checkpoint, convert', _lerobot_checkpoint, _convert('lerobot'),
           of_checkpoint, torch=True),
    Reader('old LeRobot checkpoint, convert', _old_lerobot_checkpoint, _convert('lerobot'),
           of_checkpoint, torch=True),
    Reader('ACT checkpoint, convert', _act_checkpoint, _convert_act, of_checkpoint, torch=True),
    Reader('EIPL checkpoint, convert', _eipl_checkpoint, _convert_eipl, of_checkpoint, torch=True),
    Reader('training, train', _training, _train, lambda s, o: '', torch=True),
)  # fmt: skip

MADE_BY_TESTS = FOREIGN if _SUPPORT.is_dir() else ()
