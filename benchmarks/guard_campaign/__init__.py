# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Parts of `motion-policy bench guards`: random robots, operators and clocks, and a judge."""
