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
                'robot': ('', 'Robot spec of the arm at hand: name or YAML file'),
                'report_directory': ('', 'Folder for the tracking error of each replay, as JSON'),
                'require_emergency_stop': (bool, 'Refuse ~/enable before false was heard there'),
            },
        )
    )
