# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Evaluation of policies on recordings and on simulated arms: metrics, plots, video, report.

Nothing here needs ROS or reads a clock; every number comes with the data to reproduce it.
"""
