# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Who computes a policy's step: PyTorch, ONNX Runtime or OpenVINO; and its export to a file."""
