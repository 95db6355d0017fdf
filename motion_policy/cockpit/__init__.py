# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The cockpit: a web page from which an arm is watched and driven, and who may do that; no ROS.

It asks the arm's nodes for what it wants through `ArmLink`, and waits for nothing that they wait
for.
"""
