# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The command line `motion-policy`: one file per subcommand.

A subcommand is a module with a frozen dataclass `Arguments`, read by tyro, and
`run(arguments) -> int`, the exit code.
"""
