# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Which kinds of model there are. A new family adds its class here and nowhere else."""

from __future__ import annotations

from motion_policy.errors import UserError
from motion_policy.policies.act import ACTPolicy
from motion_policy.policies.base import Model, Policy, PolicySpec
from motion_policy.policies.cae import CAEModel
from motion_policy.policies.cae_rnn import CAERNNPolicy, RNNModel
from motion_policy.policies.cnnrnn import CNNRNNLNPolicy, CNNRNNPolicy
from motion_policy.policies.frame_predictor import FramePredictorModel
from motion_policy.policies.sarnn import SARNNPolicy

MODEL_KINDS: dict[str, type[Model]] = {
    kind.kind: kind
    for kind in (
        ACTPolicy,
        SARNNPolicy,
        CNNRNNPolicy,
        CNNRNNLNPolicy,
        CAERNNPolicy,
        CAEModel,
        RNNModel,
        FramePredictorModel,
    )
}


def model_class(kind: str) -> type[Model]:
    """The class of a kind; UserError if there is none of that name."""
    if kind not in MODEL_KINDS:
        raise UserError(f"unknown policy kind '{kind}' (known: {', '.join(MODEL_KINDS)})")
    return MODEL_KINDS[kind]


def make_model(spec: PolicySpec) -> Model:
    """A freshly initialised model."""
    return model_class(spec.kind)(spec)


def make_policy(spec: PolicySpec) -> Policy:
    """A freshly initialised policy; UserError for a kind of model that moves no robot."""
    model = make_model(spec)
    if not isinstance(model, Policy):
        raise UserError(f"kind: a '{spec.kind}' can move no robot")
    return model
