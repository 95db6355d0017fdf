# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The folders of the BAIR robot pushing set, as video predictors read them."""
