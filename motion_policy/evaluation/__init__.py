# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Judging a policy: open loop on recordings, closed loop on simulated arms; plots, video, report.

Nothing here needs ROS or reads a clock; every number comes with the data to reproduce it.
"""
