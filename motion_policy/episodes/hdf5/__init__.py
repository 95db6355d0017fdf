# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""HDF5 files: read within bounds, and written so that a crash leaves what is whole."""
