# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Verdicts on an episode: each has a number, thresholds, pass, warn or fail, and one sentence.

Numbers and images of an episode go in, in one reading; recorder and `check` ask here alike.
"""
