# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What benchmarks/on_gpu.sh runs."""
