# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The way from two cameras to an arm's commands, each part in a process of its own."""
