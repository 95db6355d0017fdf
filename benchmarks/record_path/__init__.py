# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Recorder node beside publishers of many streams, each a process of its own."""
