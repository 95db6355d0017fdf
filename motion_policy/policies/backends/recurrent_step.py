# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Inference of an LSTM policy for one observation on a CPU in PyTorch.

What follows the images is so little arithmetic that calling it costs more than computing it: both
products of the LSTM are one here, and reading out is one with returning to robot units.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from motion_policy.policies.backends.graph import step_inputs
from motion_policy.policies.base import ObservationBatch
from motion_policy.policies.normalisation import to_unit_images
from motion_policy.policies.recurrent.base import RecurrentNetwork, RecurrentPolicy, State
from motion_policy.policies.recurrent.cae_rnn import CAERNN
from motion_policy.policies.recurrent.cnnrnn import CNNRNN
from motion_policy.policies.recurrent.sarnn import SARNN


class PackedRecurrent:
    """A back end: one step of `policy`, whose weights may not change from now on.

    Args:
        policy: on the CPU, in eval mode, one that `packs` says yes to.
    """

    name, precision = 'torch', 'float32'

    @torch.inference_mode()
    def __init__(self, policy: RecurrentPolicy) -> None:
        self.policy = policy
        parts = _parts(policy.network)
        assert parts is not None
        rec, layer, first = parts
        weight = torch.cat((rec.weight_ih_l0, rec.weight_hh_l0), dim=1)
        self.into_gates = weight.t().contiguous(), rec.bias_ih_l0 + rec.bias_hh_l0
        joints = slice(first, first + policy.action_dim)
        scale, offset = policy.normalise_target.scale, policy.normalise_target.offset
        into_targets = (layer.weight[joints] * scale[:, None]).t().contiguous()
        self.into_targets = into_targets, layer.bias[joints] * scale + offset
        scalings = policy.sensors.values()
        self.told = [(-one.offset / one.scale, 1 / one.scale) for one in scalings]

    def takes(self, observation: ObservationBatch, explain: bool) -> bool:
        """One observation at a time, when nobody asks for more than the targets."""
        return len(observation['qpos']) == 1 and not explain

    def act(
        self, observation: ObservationBatch, state: State | None, explain: bool
    ) -> tuple[Tensor, State, dict[str, Tensor]]:
        """As `Policy.act`: chunk (1, 1, A) in robot units, state (h, c), (1, R) each, {}."""
        *sensors, h, c = step_inputs(self.policy, observation, state)
        images = [to_unit_images(image) for image in sensors[len(self.told) :]]
        pairs = zip(self.told, sensors, strict=False)
        told = [torch.addcmul(shift, values, factor) for (shift, factor), values in pairs]
        inputs = torch.cat((self.policy.network.encode_images(images), *told, h), dim=1)
        h, c = self._cell(inputs, c)
        weight, bias = self.into_targets
        return torch.addmm(bias, h, weight)[:, None], (h, c), {}

    def _cell(self, inputs: Tensor, c: Tensor) -> State:
        """The LSTM (Hochreiter and Schmidhuber, doi:10.1162/neco.1997.9.8.1735).

        Its gates are in PyTorch's order.
        """
        weight, bias = self.into_gates
        enter, keep, new, show = torch.addmm(bias, inputs, weight).chunk(4, dim=1)
        c = torch.addcmul(keep.sigmoid_().mul_(c), enter.sigmoid_(), new.tanh_())
        return show.sigmoid_().mul(c.tanh()), c


def packs(policy: RecurrentPolicy) -> bool:
    """Whether a policy is made of an LSTM and a linear layer behind it, and known to be."""
    parts = _parts(policy.network)
    return parts is not None and isinstance(parts[0], nn.LSTM) and isinstance(parts[1], nn.Linear)


def _parts(network: RecurrentNetwork) -> tuple[Any, Any, int] | None:
    """What remembers, what is read out by, and its first row that is a joint; None: not known."""
    if isinstance(network, CAERNN):
        sequence = network.sequence
        return sequence.rec, _only(sequence.out), sequence.feature_dim
    if isinstance(network, SARNN | CNNRNN):
        return network.rec, _only(network.decoder_joint), 0
    return None


def _only(layers: Any) -> Any:
    """Its first layer where nothing else changes a value."""
    first, *others = layers
    return first if all(isinstance(layer, nn.Identity) for layer in others) else layers
