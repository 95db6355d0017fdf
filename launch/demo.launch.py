# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Starts the simulated arm and the shipped policy; `policy_node/enable` lets it grasp."""

from launch import LaunchDescription

from motion_policy.inference.environment import KEEP_FREED_MEMORY
from motion_policy.nodes.launch_arguments import OurNode, launch_nodes


def generate_launch_description() -> LaunchDescription:
    """Return the simulated arm and the policy node with the usual arguments."""
    return launch_nodes(
        OurNode(
            'sim_node',
            {'cube': ('C', 'Where the cube stands: A..E, random, or metres from the middle')},
            clock_source=True,
        ),
        OurNode(
            'policy_node',
            {
                'checkpoint': ('sarnn_tabletop', 'Checkpoint folder, or a name in models/'),
                'autostart': (True, 'Configure and activate the policy at start'),
                'require_emergency_stop': (False, 'A simulated arm needs none'),
            },
            KEEP_FREED_MEMORY,
        ),
    )
