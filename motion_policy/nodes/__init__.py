# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Thin ROS shells over the other rooms: messages, QoS, parameters, services and diagnostics.

Only this room imports rclpy, and nothing here decides what a test without ROS could decide.
"""
