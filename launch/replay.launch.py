# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Starts the replay node on one episode; the arm waits for `~/enable`."""

from launch import LaunchDescription

from motion_policy.nodes.launch_arguments import OurNode, launch_nodes


def generate_launch_description() -> LaunchDescription:
    """Return the replay node with the usual arguments."""
    return launch_nodes(
        OurNode(
            'replay_node',
            {
                'episode': ('', 'Episode file to play'),
                'robot': ('', 'Robot spec: name or YAML file; empty: the one in the episode'),
                'require_emergency_stop': (bool, 'Refuse ~/enable before false was heard there'),
            },
        )
    )
