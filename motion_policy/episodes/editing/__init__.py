# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Mending of sets of episodes: trim, split, merge, relabel and more, and the way back.

Rule: what an edit takes away stays in the folder until it is committed, and a process that is
killed at any moment leaves a set that the next edit finishes or takes back.
"""
