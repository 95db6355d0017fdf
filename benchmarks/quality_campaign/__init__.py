# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Clean demonstrations and defects of five strengths, judged as `check` judges them."""
