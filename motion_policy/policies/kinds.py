# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Registry of model kinds.

A class says itself how it learns: see `Model`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from motion_policy.errors import UserError
from motion_policy.policies.act.act import ACTPolicy
from motion_policy.policies.base import Model, Policy, PolicySpec
from motion_policy.policies.recurrent.cae import CAEModel
from motion_policy.policies.recurrent.cae_rnn import CAERNNPolicy, RNNModel
from motion_policy.policies.recurrent.cnnrnn import CNNRNNLNPolicy, CNNRNNPolicy
from motion_policy.policies.recurrent.sarnn import SARNNPolicy
from motion_policy.policies.video.predictor import FramePredictorModel

DRAWING = frozenset(
    ['normal_', 'uniform_', 'xavier_uniform_', 'kaiming_uniform_', 'orthogonal_', 'trunc_normal_']
)

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


def model_class(kind: Any) -> type[Model]:
    """The class of a kind; UserError if there is none of that name."""
    if not isinstance(kind, str) or kind not in MODEL_KINDS:
        raise UserError(f"unknown policy kind '{kind}' (known: {', '.join(MODEL_KINDS)})")
    return MODEL_KINDS[kind]


def trained_class(kind: Any) -> type[Model]:
    """The class of a kind that can be trained; UserError if there is none of that name."""
    model = model_class(kind)
    if model.learns_from is None:
        trained = ', '.join(name for name, each in MODEL_KINDS.items() if each.learns_from)
        raise UserError(f"kind: a '{kind}' is not trained, only: {trained}")
    return model


def make_model(spec: PolicySpec) -> Model:
    """A freshly initialised model. UserError for sizes of which none can be made."""
    try:
        return model_class(spec.kind)(spec)
    except (RuntimeError, OverflowError) as error:
        raise UserError(f'hyper: no {spec.kind} of these sizes: {_one_line(error)}') from None


def model_on_paper(spec: PolicySpec) -> Model:
    """The same without weights: names and shapes, which take no memory whatever their size."""
    with torch.device('meta'), _WithoutValues():
        return make_model(spec)


def model_to_fill(spec: PolicySpec) -> Model:
    """The same with weights of any values: for who puts in every one of them next."""
    with _WithoutDrawing():
        return make_model(spec)


class _WithoutDrawing(TorchFunctionMode):
    """Leaves tensors as they are where random values would be drawn into them."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func.__name__ in DRAWING:
            return args[0] if args else kwargs['tensor']
        return func(*args, **(kwargs or {}))


class _WithoutValues(_WithoutDrawing):
    """Leaves tensors as they are where values would be drawn or counted into them.

    There is nothing to fill, and PyTorch would import its compiler, triton, sympy and all, for
    that, which takes longer than all else that is read of a checkpoint.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is torch.randn:
            return torch.empty(*args)
        if func is torch.linspace:
            return torch.empty(args[2])
        return super().__torch_function__(func, types, args, kwargs)


def make_policy(spec: PolicySpec) -> Policy:
    """A freshly initialised policy; UserError for a kind of model that moves no robot."""
    model = make_model(spec)
    if not isinstance(model, Policy):
        raise UserError(f"kind: a '{spec.kind}' can move no robot")
    return model


def _one_line(error: Exception) -> str:
    return ' '.join(str(error).split())[:200]
