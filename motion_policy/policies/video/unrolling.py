# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Frame predictors over clips: on recorded frames (teacher forcing) or on their own predictions.

Teacher forced as SVG is trained (Denton and Fergus, arXiv:1802.07687): the posterior sees the
frame to come.
Whatever depends on recorded frames alone is computed for all steps at once; a skip that stays
passes its half of the decoder's convolutions once.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from motion_policy.policies.cpu.convolutions import made_once
from motion_policy.policies.video.coder import Maps
from motion_policy.policies.video.lstm import Gaussian, LSTMState
from motion_policy.policies.video.predictor import FrameNetwork


class ClipPrediction(NamedTuple):
    """The predictions of frames 1 to T - 1, and what the latents were drawn from.

    Attributes:
        frames: (B, 3, S, S) in [0, 1] of every step.
        posterior, prior: (T - 1, B, Z); no prior where it is fixed.
    """

    frames: list[Tensor]
    posterior: Gaussian
    prior: Gaussian | None

    def kl(self) -> Tensor:
        """Of posterior and prior, summed over the latents: (T - 1, B)."""
        if self.prior is None:
            return self.posterior.kl_from_standard()
        return self.posterior.kl_from(self.prior)


class _EncodedFrames(NamedTuple):
    """Codes (T, B, code_dim) of all recorded frames; the halves that each step's skips add."""

    codes: Tensor
    halves: dict[int, Maps]


def faster_at_once(network: FrameNetwork, frames: Tensor) -> bool:
    """Whether learning takes less time if convolutions take the frames (T, B, ...) of all steps at
    once.
    """
    # The large maps of VGG leave the cache of a CPU; a GPU waits for each kernel to be launched.
    return frames.device.type != 'cpu' or network.config.coder == 'dcgan'


@made_once()
def teacher_forced_clip(
    network: FrameNetwork,
    frames: Tensor,
    conditions: Tensor,
    noise: Tensor,
    *,
    at_once: bool = True,
) -> ClipPrediction:
    """Every step sees the recorded frame before it.

    Args:
        network: in any mode.
        frames: (T, B, 3, S, S) in [0, 1].
        conditions: (T - 1, B, C), of the step to each frame.
        noise: (T - 1, B, Z), standard normal.
        at_once: convolutions take the frames of all steps at once; else those of one step. The
            numbers differ where batch normalisation learns, as its batches do.
    """
    encoded = _encode_frames(network, frames, at_once)
    with torch.autocast(frames.device.type, enabled=False):
        posterior, _ = network.posterior(encoded.codes[1:])
        prior = None if network.prior is None else network.prior(encoded.codes[:-1])[0]
        told = torch.cat((conditions, encoded.codes[:-1], posterior.sample(noise)), dim=-1)
        codes, _ = network.predictor(told)
    drawn: list[Tensor] = []
    for first, last, halves in _groups(network, encoded, len(codes)):
        steps = codes[first:last]
        if at_once:
            together = network.decoder.decode(steps.flatten(0, 1), halves)
            drawn += together.unflatten(0, steps.shape[:2])
        else:
            drawn += [network.decoder.decode(code, halves) for code in steps]
    return ClipPrediction(drawn, posterior, prior)


@made_once()
def on_its_own(
    network: FrameNetwork,
    frames: Tensor,
    conditions: Tensor,
    noise: Tensor,
    *,
    forced: bool = False,
    at_once: bool = True,
) -> ClipPrediction:
    """After the frames of the past, every step sees the frame that was predicted before it.

    The posterior goes on to see the recorded frames; gradients flow through the predictions.
    Arguments as of `teacher_forced_clip`: frames (T, B, 3, S, S), conditions (T - 1, B, C), noise
    (T - 1, B, Z); with `forced` it computes what that does, step by step.
    """
    past = network.config.past
    encoded = _encode_frames(network, frames, at_once)
    with torch.autocast(frames.device.type, enabled=False):
        posterior, _ = network.posterior(encoded.codes[1:])
        latents = posterior.sample(noise)
    predictor: LSTMState = None
    state: LSTMState = None
    priors: list[Gaussian] = []
    drawn: list[Tensor] = []
    for first, last, halves in _groups(network, encoded, len(conditions)):
        for step in range(first, last):
            code = encoded.codes[step]
            if step >= past and not forced:
                code = network.encoder(drawn[-1])[0].to(frames.dtype)
            with torch.autocast(frames.device.type, enabled=False):
                if network.prior is not None:
                    prior, state = network.prior(code[None], state)
                    priors.append(prior)
                told = torch.cat((conditions[step], code, latents[step]), dim=-1)
                codes, predictor = network.predictor(told[None], predictor)
            drawn.append(network.decoder.decode(codes[0], halves))
    if not priors:
        return ClipPrediction(drawn, posterior, None)
    parts = [torch.cat(values) for values in zip(*priors, strict=True)]
    return ClipPrediction(drawn, posterior, Gaussian(*parts))


def _encode_frames(network: FrameNetwork, frames: Tensor, at_once: bool) -> _EncodedFrames:
    """Codes of all frames, and what the skips of those that are kept add."""
    kept = {network.skip_frame(step, network.config.past) for step in range(1, len(frames))}
    if at_once:
        codes, skips = network.encoder(frames.flatten(0, 1))
        batch = frames.shape[1]
        of = {at: tuple(skip[at * batch : (at + 1) * batch] for skip in skips) for at in kept}
        codes = codes.unflatten(0, frames.shape[:2])
    else:
        encoded = [network.encoder(frame) for frame in frames]
        codes = torch.stack([code for code, _ in encoded])
        of = {at: encoded[at][1] for at in kept}
    halves = {at: network.decoder.halves(skips) for at, skips in of.items()}
    return _EncodedFrames(codes.to(frames.dtype), halves)


def _groups(
    network: FrameNetwork, encoded: _EncodedFrames, steps: int
) -> list[tuple[int, int, Maps]]:
    """(first, last, halves) of steps, counted from 0, that share the skips of one frame."""
    frames = [network.skip_frame(step + 1, network.config.past) for step in range(steps)]
    begins = [step for step in range(steps) if step == 0 or frames[step] != frames[step - 1]]
    ends = [*begins[1:], steps]
    return [(a, b, encoded.halves[frames[a]]) for a, b in zip(begins, ends, strict=True)]
