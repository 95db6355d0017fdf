# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The models in models/ do what the README shows, at taught and at untaught places."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from motion_policy.cli.main import main
from motion_policy.share import share_dir

pytestmark = pytest.mark.slow

MODELS = share_dir() / 'models'
MEGABYTE = 1 << 20


def test_it_grasps_at_every_position_without_ros(tmp_path: Path):
    report = tmp_path / 'report.json'
    command = ['evaluate', 'sarnn_tabletop', 'sim:tabletop:grasp', '--trials', '2']
    assert main([*command, '--json', str(report)]) == 0
    positions = json.loads(report.read_text())['positions']
    assert set(positions) == {'A', 'B', 'C', 'D', 'E'}
    assert sum(counted['successes'] for counted in positions.values()) >= 9


def test_it_grasps_over_ros_topics(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    report = tmp_path / 'demo.json'
    slowly = ['--speed', '0.5']  # beside others a policy is late in real time
    assert main(['demo', '--trials', '1', *slowly, '--no-film', '--json', str(report)]) == 0
    assert json.loads(report.read_text())['successes'] == 1
    assert capfd.readouterr().out.strip().splitlines()[-1] == 'success 1/1'


def test_act_transfers_the_cube(tmp_path: Path):
    report = tmp_path / 'report.json'
    command = ['evaluate', 'act_transfer_cube', 'sim:aloha:transfer_cube', '--trials', '6']
    assert main([*command, '--seed', '3000', '--json', str(report)]) == 0
    assert json.loads(report.read_text())['positions']['random']['successes'] >= 5


@pytest.mark.parametrize(
    ('policy', 'scene', 'watchman'),
    [
        ('act_transfer_cube', 'sim:aloha:transfer_cube', 'frame_predictor_transfer_cube'),
        ('sarnn_tabletop', 'sim:tabletop:grasp', 'own'),
    ],
)
def test_their_watchmen_notice_a_covered_camera(
    policy: str, scene: str, watchman: str, tmp_path: Path
):
    report = tmp_path / 'report.json'
    command = ['evaluate', policy, scene, '--foresight', watchman, '--disturb', 'camera-covered']
    positions = ['--positions', 'C'] if scene == 'sim:tabletop:grasp' else []
    assert main([*command, *positions, '--trials', '2', '--json', str(report)]) == 0
    detection = json.loads(report.read_text())['foresight']['detection']
    assert detection['camera-covered']['alarms'] == 2
    assert detection['undisturbed']['runs'] == 2


@pytest.mark.parametrize(
    ('name', 'most'),
    [
        ('sarnn_tabletop', 2 * MEGABYTE),
        ('act_transfer_cube', 4 * MEGABYTE),
        ('frame_predictor_transfer_cube', 4 * MEGABYTE),
    ],
)
def test_they_are_small_and_say_how_they_were_made(name: str, most: int):
    folder = MODELS / name
    assert sum(path.stat().st_size for path in folder.iterdir()) <= most
    text = (folder / 'policy.yaml').read_text()
    for said in ('sha256:', 'episode_000000.hdf5', 'epochs:', 'seed:', 'torch'):
        assert said in text
