# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Simulated arms and their scripted teachers (MuJoCo), without ROS."""

from motion_policy.simulation.expert import GraspExpert, Trajectory
from motion_policy.simulation.tabletop import TabletopSim

__all__ = ['GraspExpert', 'TabletopSim', 'Trajectory']
