# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Recurrent networks over sequences in training: teacher forcing and scheduled sampling.

Teacher forcing (Williams and Zipser, doi:10.1162/neco.1989.1.2.270) runs on what was recorded;
scheduled sampling (after Bengio et al., arXiv:1506.03099) on a mixture of that and of what the
network predicted itself, where the original draws one of the two.

With `bptt_steps` = N the sequence is cut after every N steps: the state, and what was predicted,
pass the cut as numbers without a gradient. A gradient thus reaches back to the last cut, N steps
at most; the loss is still that of the whole sequence, followed by one step of the optimiser.
(Truncated back-propagation through time: Williams and Peng, doi:10.1162/neco.1990.2.4.490.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from motion_policy.policies.recurrent.base import RecurrentNetwork, RecurrentPolicy, State


class Own(NamedTuple):
    """The shares of own predictions in the input; the rest is as it was recorded."""

    joint: float = 0.0  # of joints and efforts
    image: float = 0.0  # of images, or of features where there are no images


class Unrolled(NamedTuple):
    """What the network did at each step.

    hidden (B, T, R), the features that it saw (B, T, F), and per camera the images (B, T, 3, H, W)
    that it drew; none where it was given features.
    """

    hidden: Tensor
    features: Tensor
    drawn: tuple[Tensor, ...]


def teacher_forced(
    network: RecurrentNetwork, features: Tensor, vector: Tensor, bptt_steps: int | None = None
) -> Tensor:
    """Features (B, T, F) and vector (B, T, V) as recorded -> hidden (B, T, R)."""
    steps = bptt_steps or features.shape[1]
    parts = []
    state: State | None = None
    windows = zip(torch.split(features, steps, 1), torch.split(vector, steps, 1), strict=True)
    for seen, told in windows:
        hidden, state = network.step(seen, told, state)
        state = _cut(state)
        parts.append(hidden)
    return torch.cat(parts, dim=1)


def mixed(
    policy: RecurrentPolicy,
    seen: Tensor | Sequence[Tensor],
    vector: Tensor,
    own: Own,
    bptt_steps: int | None = None,
) -> Unrolled:
    """From the second step on, each input is (1 - share) * recorded + share * own prediction.

    Gradients flow through the own predictions. With images every step runs the whole network,
    with features only its recurrent part.

    Args:
        policy: whose network runs.
        seen: features (B, T, F), or per camera images (B, T, 3, H, W).
        vector: normalised joints, then efforts and vectors (B, T, V); the latter are as recorded.
        own: the shares.
        bptt_steps: where gradients are cut.
    """
    network = policy.network
    hidden: Tensor | None = None
    drawn: tuple[Tensor, ...] = ()
    state: State | None = None
    steps: list[Unrolled] = []
    for step in range(vector.shape[1]):
        told = vector[:, step]
        shown = seen[:, step] if isinstance(seen, Tensor) else [part[:, step] for part in seen]
        if hidden is not None:
            if policy.space.name == 'joints':  # else no joints are predicted
                expected = _as_input(policy, network.decode_joints(hidden))
                count = expected.shape[1]  # vectors come behind, of which nothing is expected
                own_share = torch.lerp(told[:, :count], expected, own.joint)
                told = torch.cat((own_share, told[:, count:]), dim=1)
            shown = _with_own(network, shown, hidden, drawn, own.image)
        look = shown if isinstance(shown, Tensor) else network.encode_images(shown).float()
        output, state = network.step(look[:, None], told[:, None], state)
        hidden = output[:, 0]
        drawn = () if isinstance(shown, Tensor) else network.decode_images(hidden, shown)
        steps.append(Unrolled(hidden, look, drawn))
        if bptt_steps and (step + 1) % bptt_steps == 0:
            hidden, drawn, state = hidden.detach(), _cut(drawn), _cut(state)
    return Unrolled(
        torch.stack([step.hidden for step in steps], dim=1),
        torch.stack([step.features for step in steps], dim=1),
        tuple(
            torch.stack(camera, dim=1)
            for camera in zip(*(step.drawn for step in steps), strict=True)
        ),
    )


def _with_own(
    network: RecurrentNetwork,
    shown: Tensor | list[Tensor],
    hidden: Tensor,
    drawn: tuple[Tensor, ...],
    share: float,
) -> Tensor | list[Tensor]:
    """Features, or images per camera, with a share of what was expected a step before."""
    if not isinstance(shown, Tensor):
        pairs = zip(shown, drawn, strict=True)
        return [torch.lerp(image, mine.float().clamp(0, 1), share) for image, mine in pairs]
    return torch.lerp(shown, network.decode_features(hidden).float(), share) if share else shown


def _cut(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(tensor.detach() for tensor in tensors)


def _as_input(policy: RecurrentPolicy, predicted: Tensor) -> Tensor:
    """Predicted targets and efforts (B, V'), as the network would see them."""
    joints = len(policy.joint_names)
    target = policy.normalise_target.inverse(predicted[:, :joints])
    return torch.cat((policy.normalise_qpos(target), predicted[:, joints:].float()), dim=-1)
