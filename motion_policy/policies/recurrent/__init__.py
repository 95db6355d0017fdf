# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Deep predictive learning: SARNN, CNNRNN, CAE-RNN, and what they are built of."""
