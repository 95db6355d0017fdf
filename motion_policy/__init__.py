# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Teach a robot arm by demonstration on ROS 2: record, train, judge, run."""

__version__ = '0.1.0'
