# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Every way in which joints come, commands leave and more is sensed, from recording to driving."""
