# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Back ends of policy inference (PyTorch, ONNX Runtime, OpenVINO) and export."""
