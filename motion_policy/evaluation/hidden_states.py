# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Principal component analysis of the hidden states of a recurrent policy.

One analysis (Pearson, 1901, doi:10.1080/14786440109462720) is made over all judged states, so that
what looks near in a plot is near for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

COMPONENTS = 3


@dataclass(frozen=True)
class HiddenTrajectory:
    """The hidden states (N, R) of one recording or trial, in the order of time.

    Attributes:
        condition: where the object stood, or what the recording belongs to.
        taught: whether the policy was taught this; None if that is unknown.
    """

    condition: str
    taught: bool | None
    states: Float32Array


@dataclass(frozen=True)
class PrincipalComponents:
    """Where states (..., R) lie along the three directions of greatest variance.

    Attributes:
        mean: (R,), of all states.
        axes: (3, R), of length one and at right angles; zero where R or the data has fewer.
        explained: (3,), the share of all variance that lies along each.
        states: how many states this was made from.
    """

    mean: Float64Array
    axes: Float64Array
    explained: Float64Array
    states: int

    def project(self, states: npt.ArrayLike) -> Float64Array:
        """States (..., R) -> coordinates (..., 3)."""
        projected: Float64Array = (np.asarray(states, np.float64) - self.mean) @ self.axes.T
        return projected


@dataclass(frozen=True)
class HiddenStates:
    """All trajectories of an evaluation and their principal components."""

    trajectories: tuple[HiddenTrajectory, ...]
    components: PrincipalComponents

    def to_json(self) -> dict[str, Any]:
        """Plain values: sizes, and the share of the variance along each component."""
        return {
            'dimensions': self.trajectories[0].states.shape[1],
            'states': self.components.states,
            'trajectories': len(self.trajectories),
            'explained_variance': [float(share) for share in self.components.explained],
        }


def analyse(trajectories: Sequence[HiddenTrajectory]) -> HiddenStates | None:
    """Fit the components to all states; None where there are no finite ones."""
    finite = [
        HiddenTrajectory(one.condition, one.taught, states)
        for one in trajectories
        if len(states := one.states[np.isfinite(one.states).all(axis=1)])
    ]
    if not finite:
        return None
    states = np.concatenate([one.states for one in finite])
    return HiddenStates(tuple(finite), principal_components(states))


def principal_components(states: npt.ArrayLike) -> PrincipalComponents:
    """Of states (N, R), by singular value decomposition of what is left without the mean."""
    values = np.asarray(states, np.float64)
    mean = values.mean(axis=0)
    _, spread, directions = np.linalg.svd(values - mean, full_matrices=False)
    variance = spread**2
    total = variance.sum()
    count = min(COMPONENTS, len(directions))
    axes = np.zeros((COMPONENTS, values.shape[1]))
    explained = np.zeros(COMPONENTS)
    if total > 0:
        axes[:count] = _with_sign(directions[:count])
        explained[:count] = variance[:count] / total
    return PrincipalComponents(mean, axes, explained, len(values))


def _with_sign(directions: Float64Array) -> Float64Array:
    """A direction has no sign of its own: its largest part is made positive."""
    largest = np.abs(directions).argmax(axis=1)
    signs = np.sign(directions[np.arange(len(directions)), largest])
    signed: Float64Array = directions * signs[:, None]
    return signed
