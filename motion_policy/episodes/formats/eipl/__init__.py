# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""EIPL's NumPy arrays, a set of one file per quantity."""
