# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What is on the topics of a robot, live or in a bag: a spec from it, or one held against it."""
