# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Which kinds of policy there are. A new family adds its class here and nowhere else."""

from __future__ import annotations

from motion_policy.errors import UserError
from motion_policy.policies.base import Policy, PolicySpec
from motion_policy.policies.sarnn import SARNNPolicy

POLICY_KINDS: dict[str, type[Policy]] = {kind.kind: kind for kind in (SARNNPolicy,)}


def policy_class(kind: str) -> type[Policy]:
    """The class of a kind; UserError if there is none of that name."""
    if kind not in POLICY_KINDS:
        raise UserError(f"unknown policy kind '{kind}' (known: {', '.join(POLICY_KINDS)})")
    return POLICY_KINDS[kind]


def make_policy(spec: PolicySpec) -> Policy:
    """A freshly initialised policy."""
    return policy_class(spec.kind)(spec)
