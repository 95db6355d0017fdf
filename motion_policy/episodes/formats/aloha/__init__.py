# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""ALOHA's HDF5 files (tonyzhaozh/act)."""
