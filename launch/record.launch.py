# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Starts the recorder node; `~/start` begins a demonstration, `~/stop` ends it."""

from launch import LaunchDescription

from motion_policy.nodes.launch_arguments import OurNode, launch_nodes


def generate_launch_description() -> LaunchDescription:
    """Return the recorder node with the usual arguments."""
    return launch_nodes(
        OurNode(
            'recorder_node',
            {
                'robot': ('', 'Robot spec: name or YAML file'),
                'directory': ('', 'Folder of the episodes'),
                'task': ('', 'What is demonstrated'),
                'operator': ('', 'Who demonstrates'),
            },
        )
    )
