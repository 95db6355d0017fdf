# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Parts of `benchmarks/on_gpu.sh`."""
