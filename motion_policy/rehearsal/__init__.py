# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the driver of any arm, made from its spec: joints, test images, faults, verdicts.

What it says of commands shares no code with what sends them.
"""
