# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The colours of plots, videos and reports.

Grey is what was recorded, green what the policy says, red what it says when it runs freely on its
own predictions; in verdicts yellow is odd and red is wrong.
"""

INK = '#1f2933'
FAINT_INK = '#7b8794'
RULE = '#d9dee4'
TRUTH = '#9aa5b1'
POLICY = '#0b8457'
FREE = '#d55e00'
UNTAUGHT = '#8fceb4'
WARN, FAIL = '#b7791f', '#c53030'
