# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Starts the policy node, configured and active; the arm waits for `~/enable`."""

from launch import LaunchDescription

from motion_policy.inference.environment import KEEP_FREED_MEMORY
from motion_policy.nodes.launch_arguments import OurNode, launch_nodes


def generate_launch_description() -> LaunchDescription:
    """Return the policy node with the usual arguments."""
    return launch_nodes(
        OurNode(
            'policy_node',
            {
                'checkpoint': ('', 'Checkpoint folder, or a name in models/'),
                'robot': ('', 'Robot spec: name or YAML file'),
                'device': ('', 'cpu, cuda, cuda:1, ...'),
                'backend': ('', 'auto, eager, torch, onnx, openvino'),
                'autostart': (True, 'Configure and activate at start'),
                'require_emergency_stop': (bool, 'Refuse ~/enable before false was heard there'),
            },
            KEEP_FREED_MEMORY,
        )
    )
