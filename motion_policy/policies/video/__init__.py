# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Action-conditioned video prediction (SVG: Denton and Fergus, arXiv:1802.07687)."""
