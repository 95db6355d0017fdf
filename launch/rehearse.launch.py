# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Starts a stand-in for the driver of any arm: it sends what the robot spec says, and obeys."""

from launch import LaunchDescription

from motion_policy.nodes.launch_arguments import OurNode, launch_nodes


def generate_launch_description() -> LaunchDescription:
    """Return the rehearsal node with the usual arguments."""
    return launch_nodes(
        OurNode(
            'rehearsal_node',
            {
                'robot': ('', 'Robot spec: name or YAML file'),
                'urdf': ('', 'URDF for robot_description; empty: the one that the spec names'),
                'guide': (False, 'Somebody guides the arm until a command comes'),
            },
        )
    )
