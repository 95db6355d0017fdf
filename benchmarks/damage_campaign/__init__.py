# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Damaged and hostile inputs, and what becomes of the commands that read them."""
