# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Threads and processes in which policies and frame predictors compute; no ROS in here."""
