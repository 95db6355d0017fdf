# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What the benchmark `cockpit` is made of: somebody who looks and drives, and one who floods."""
