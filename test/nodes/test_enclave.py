# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: nodes join their enclave, and never start unprotected where security is enforced.

They ask for no more than the policy of docs/howto/sros2.md allows.
"""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from repository import ROOT

pytest.importorskip('rclpy')

from fake_arm import save_random_policy
from rclpy.node import Node
from rclpy.parameter import Parameter
from ros_testing import Bench

from motion_policy.nodes.policy_node import PolicyNode
from motion_policy.nodes.recorder_node import RecorderNode
from motion_policy.robot import load_robot_spec

HOWTO = ROOT / 'docs' / 'howto' / 'sros2.md'


def recorder(log_dir: Path, **environment: str) -> subprocess.Popen[str]:
    """Start a recorder in an enclave."""
    command = [
        sys.executable, '-m', 'motion_policy.nodes.recorder_node', '--ros-args',
        '-p', 'robot:=tabletop_sim', '--enclave', '/motion_policy/recorder_node',
    ]  # fmt: skip
    environment = {**os.environ, 'ROS_LOG_DIR': str(log_dir), **environment}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def test_a_node_joins_its_enclave(bench: Bench, tmp_path: Path) -> None:
    def enclaves() -> list[str]:
        found = bench.client.get_node_names_and_namespaces_with_enclaves()
        return [enclave for name, _, enclave in found if name == 'recorder_node']

    with recorder(tmp_path) as process:
        try:
            bench.spin_until(enclaves, 'the recorder')
            assert enclaves() == ['/motion_policy/recorder_node']
        finally:
            process.terminate()


def test_without_keys_no_node_starts_where_security_is_enforced(tmp_path: Path) -> None:
    (tmp_path / 'enclaves' / 'motion_policy' / 'recorder_node').mkdir(parents=True)
    with recorder(
        tmp_path,
        ROS_SECURITY_ENABLE='true',
        ROS_SECURITY_STRATEGY='Enforce',
        ROS_SECURITY_KEYSTORE=str(tmp_path),
    ) as process:
        _, told = process.communicate()
    assert process.returncode == 1 and 'ecurity' in told


def allowed(bench: Bench, node: str) -> dict[str, set[str]]:
    """Names by what the policy in the documentation allows to a node."""
    text = HOWTO.read_text(encoding='utf-8').split('```xml\n')[1].split('```')[0]
    (profile,) = ElementTree.fromstring(text.encode()).iterfind(f".//profile[@node='{node}']")
    found: dict[str, set[str]] = {}
    for names in profile:
        for what in names.attrib:
            there = {str(name.text).replace('~', f'/{node}') for name in names}
            full = {bench.client.resolve_topic_name(name) for name in there}
            found.setdefault(what, set()).update(full)
    return found


@pytest.mark.parametrize('kind', [PolicyNode, RecorderNode])
def test_the_documented_policy_is_what_the_nodes_use(
    bench: Bench, kind: Callable[..., Any], tmp_path: Path
) -> None:
    parameters = [Parameter('robot', value='tabletop_sim')]
    if kind is PolicyNode:
        folder = save_random_policy(tmp_path / 'random', load_robot_spec('tabletop_sim'))
        parameters = [Parameter('checkpoint', value=str(folder))]
    node: Node = kind(context=bench.context, parameter_overrides=parameters)
    bench.add(node)
    if kind is PolicyNode:
        node.trigger_configure()
    rules = allowed(bench, node.get_name())
    where = (node.get_name(), node.get_namespace())

    def names(look: Callable[..., Any]) -> set[str]:
        return {name for name, _ in look(*where)}

    bench.spin_until(lambda: names(node.get_publisher_names_and_types_by_node), 'the graph')
    # Some of them depend on the distribution, and on parameters.
    assert names(node.get_publisher_names_and_types_by_node) <= rules['publish']
    assert names(node.get_subscriber_names_and_types_by_node) <= rules['subscribe']
    assert names(node.get_service_names_and_types_by_node) <= rules['reply']
    assert not names(node.get_client_names_and_types_by_node)
    node.close()
