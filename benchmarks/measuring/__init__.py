# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""How benchmarks measure: interleaved timing, processes in turns, random networks."""
