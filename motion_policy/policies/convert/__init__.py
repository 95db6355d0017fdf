# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of EIPL, tonyzhaozh/act and LeRobot, turned into ours; and ours into LeRobot's."""
