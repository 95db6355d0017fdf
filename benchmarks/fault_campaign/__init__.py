# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Parts of `motion-policy bench faults`: a simulated arm, its faults, and who judges.

The judge sees only what went over the wire, the node's log and its `/diagnostics`.
"""
