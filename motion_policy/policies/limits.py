# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Upper bounds on the declared size of a model."""

MOST_UNITS = 2**16  # of a layer
MOST_LAYERS = 128
MOST_STEPS = 10_000  # of a chunk, or of frames
MOST_PIXELS = 2**13  # along an edge of an image that a network sees
