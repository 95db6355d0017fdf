# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The crash campaign: recordings that end at random moments, and what is left of them."""
