# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Identification of the evaluated policy (path, fingerprint, version)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from motion_policy import __version__
from motion_policy.policies import Model, Policy
from motion_policy.policies.backends.selection import chosen


def provenance(policy: Policy) -> dict[str, Any]:
    """Checkpoint, kind, a fingerprint of the weights, who computed it, and our version."""
    back_end = chosen(policy)
    computed = {'backend': back_end.name, 'precision': back_end.precision}
    return {**model_provenance(policy), **computed}


def model_provenance(model: Model) -> dict[str, Any]:
    """The same of a model that no back end computes."""
    return {
        'checkpoint': model.source,
        'kind': model.spec.kind,
        'parameters': sum(weights.numel() for weights in model.parameters()),
        'weights_sha256': _fingerprint(model),
        'policy_rate_hz': model.spec.rate,
        'motion_policy': __version__,
    }


def policy_label(policy: Model) -> str:
    """A short name for titles: the folder's, with its parent's where that says more."""
    path = Path(policy.source)
    return f'{path.parent.name}/{path.name}' if path.name in ('best', 'last') else path.name


def _fingerprint(policy: Model) -> str:
    digest = hashlib.sha256()
    for name, weights in sorted(policy.state_dict().items()):
        digest.update(name.encode())
        digest.update(weights.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
