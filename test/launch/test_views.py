# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: the layouts for Foxglove and RViz are whole, and show topics that the nodes have."""

from __future__ import annotations

import json
from typing import Any

import yaml

from motion_policy.robot import load_robot_spec
from motion_policy.share import share_dir

ROBOT = load_robot_spec('tabletop_sim')
TOPICS = {
    '/top/image_raw',
    '/policy_node/attention',
    '/policy_node/surprise',
    '/policy_node/enable',
    '/policy_node/reset',
    '/diagnostics',
    '/robot_description',
    f'/{ROBOT.joints.state[0].topic}',
    f'/{ROBOT.joints.command[0].topic}',
}


def leaves(layout: Any) -> list[str]:
    if isinstance(layout, str):
        return [layout]
    return leaves(layout['first']) + leaves(layout['second'])


def strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for part in value.values() for text in strings(part)]
    if isinstance(value, list):
        return [text for part in value for text in strings(part)]
    return [value] if isinstance(value, str) else []


def known(text: str) -> bool:
    return text.split('.')[0] in TOPICS


def test_every_panel_of_the_foxglove_layout_is_configured_and_shows_a_real_topic() -> None:
    content = json.loads((share_dir() / 'config' / 'foxglove.json').read_text())
    assert sorted(leaves(content['layout'])) == sorted(content['configById'])
    topics = [text for text in strings(content) if text.startswith('/')]
    assert topics
    assert [text for text in topics if not known(text)] == []


def test_every_display_of_the_rviz_config_has_a_class_and_shows_a_real_topic() -> None:
    content = yaml.safe_load((share_dir() / 'config' / 'motion_policy.rviz').read_text())
    displays = content['Visualization Manager']['Displays']
    assert all(display['Class'].startswith('rviz_default_plugins/') for display in displays)
    topics = [text for text in strings(content) if text.startswith('/')]
    assert topics
    assert [text for text in topics if not known(text)] == []
