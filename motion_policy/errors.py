# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`UserError`: the input is wrong; every command and node reports it in one line.

Its message names the file, key, topic or joint, what was found and what was expected.
"""


class UserError(ValueError):
    """A mistake in what the user gave; shown as one line, never as a traceback."""
