# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Starts the teleoperation node, configured and active; the arm waits for `~/enable`."""

from launch import LaunchDescription

from motion_policy.nodes.launch_arguments import OurNode, launch_nodes


def generate_launch_description() -> LaunchDescription:
    """Return the teleoperation node with the usual arguments."""
    return launch_nodes(
        OurNode(
            'teleop_node',
            {
                'robot': ('', 'Robot spec: name or YAML file'),
                'autostart': (True, 'Configure and activate at start'),
                'require_emergency_stop': (bool, 'Refuse ~/enable before false was heard there'),
            },
        )
    )
