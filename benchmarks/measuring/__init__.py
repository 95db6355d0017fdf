# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Measuring in benchmarks: interleaved timing, processes in turns, random networks."""
