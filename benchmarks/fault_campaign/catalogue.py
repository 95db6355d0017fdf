# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Registry of all kinds of faults, in the order of a round of their section."""

from __future__ import annotations

from fault_campaign.camera_faults import CAMERA_FAULTS
from fault_campaign.chunk_faults import CHUNK_FAULTS
from fault_campaign.clock_faults import CLOCK_FAULTS
from fault_campaign.fault import Fault
from fault_campaign.joint_faults import JOINT_FAULTS
from fault_campaign.node_faults import NODE_FAULTS
from fault_campaign.policy_faults import POLICY_FAULTS
from fault_campaign.signal_faults import SIGNAL_FAULTS
from fault_campaign.switch_faults import SWITCH_FAULTS
from fault_campaign.tool_faults import TOOL_FAULTS

FAULTS: tuple[Fault, ...] = (
    *CAMERA_FAULTS,
    *JOINT_FAULTS,
    *POLICY_FAULTS,
    *NODE_FAULTS,
    *SWITCH_FAULTS,
    *TOOL_FAULTS,
    *SIGNAL_FAULTS,
    *CLOCK_FAULTS,
    *CHUNK_FAULTS,
)
