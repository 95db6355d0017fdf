# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Stochastic action-conditioned frame predictor (SVG with a learned or fixed prior).

A latent variable per step stands for what neither tells; what is predicted never comes from
frames of the future. SVG (Denton and Fergus, arXiv:1802.07687), conditioned on actions and joints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from motion_policy.declared import Declared
from motion_policy.errors import UserError
from motion_policy.policies.base import Model, PolicySpec
from motion_policy.policies.limits import MOST_LAYERS, MOST_STEPS, MOST_UNITS
from motion_policy.policies.normalisation import to_unit_images
from motion_policy.policies.video.coder import (
    Coder,
    Decoder,
    Encoder,
    Maps,
    check_coder_size,
)
from motion_policy.policies.video.lstm import CodeLSTM, GaussianLSTM, LSTMState
from motion_policy.policies.video.packed_coder import PackedDecoder, PackedEncoder

Coders = tuple[Encoder, Decoder] | tuple[PackedEncoder, PackedDecoder]

AT_ONCE = 64  # rollouts that are computed side by side
INITIAL_SPREAD = 0.02  # standard deviation of fresh weights


class FramePredictorConfig(Declared):
    """The hyper-parameters of a frame predictor; the defaults are the published ones."""

    coder: Coder = Field(default='dcgan', description='vgg costs seven times as much')
    channels: int = Field(default=64, ge=1, le=MOST_UNITS, description='of the largest maps')
    code_dim: int = Field(
        default=128, ge=1, le=MOST_UNITS, description='values that a frame becomes'
    )
    latent_dim: int = Field(
        default=64, ge=1, le=MOST_UNITS, description='values of the latent of a step'
    )
    hidden_dim: int = Field(default=256, ge=1, le=MOST_UNITS, description='units of every LSTM')
    predictor_layers: int = Field(default=2, ge=1, le=MOST_LAYERS)
    posterior_layers: int = Field(default=1, ge=1, le=MOST_LAYERS)
    prior_layers: int = Field(default=1, ge=1, le=MOST_LAYERS, description='of a learned prior')
    prior: Literal['fixed', 'learned'] = Field(
        default='fixed', description='of the latent: N(0, 1), or told by the frames before'
    )
    condition: Literal['both', 'action', 'position', 'none'] = Field(
        default='both', description='what the frame predictor is told of every step'
    )
    condition_of: Literal['before', 'target'] = Field(
        default='before', description='the row that leads to a frame, or the one of the frame'
    )
    past: int = Field(default=2, ge=1, le=MOST_STEPS, description='frames that are seen')
    future: int = Field(
        default=10, ge=1, le=MOST_STEPS, description='frames that are predicted in training'
    )
    skip: Literal['last', 'published'] = Field(
        default='last', description='whose skips stay: the last frame seen, or the one before'
    )
    code_norm: bool = Field(
        default=False, description='batch normalisation of predicted codes, as some have it'
    )


class Memory(NamedTuple):
    """What is known after the last frame that was seen.

    Attributes:
        code: of that frame, (B, code_dim).
        predictor, prior: states of the recurrent parts.
        halves: of the decoder's convolutions, those that read the skips that stay.
    """

    code: Tensor
    predictor: LSTMState
    prior: LSTMState
    halves: Maps

    def repeated(self, times: int) -> Memory:
        """For `times` rollouts of each; the halves are shared."""
        return Memory(
            self.code.repeat(times, 1),
            _repeated(self.predictor, times),
            _repeated(self.prior, times),
            self.halves,
        )


class FrameNetwork(nn.Module):
    """The networks of a frame predictor, time first.

    Args:
        side: of the square images.
        condition_dim: values that it is told of every step.
        config: the hyper-parameters.
    """

    def __init__(self, side: int, condition_dim: int, config: FramePredictorConfig) -> None:
        super().__init__()
        self.config = config
        code, latent, hidden = config.code_dim, config.latent_dim, config.hidden_dim
        self.encoder = Encoder(config.coder, side, config.channels, code)
        self.decoder = Decoder(config.coder, side, config.channels, code)
        self.predictor = CodeLSTM(
            condition_dim + code + latent, hidden, config.predictor_layers, code, config.code_norm
        )
        self.posterior = GaussianLSTM(code, hidden, config.posterior_layers, latent)
        self.prior: GaussianLSTM | None = None
        if config.prior == 'learned':
            self.prior = GaussianLSTM(code, hidden, config.prior_layers, latent)
        self.apply(_begin)

    def skip_frame(self, step: int, past: int) -> int:
        """The frame whose skips the prediction of frame `step` reads, `past` frames being seen."""
        kept = past - 1 if self.config.skip == 'last' else max(past - 2, 0)
        return min(step - 1, kept)

    def watch(self, frames: Tensor, conditions: Tensor, coders: Coders) -> Memory:
        """Frames (P, B, 3, S, S) and the conditions (P - 1, B, C) between them -> Memory."""
        past, batch = frames.shape[:2]
        encoder, decoder = coders
        codes, skips = encoder(frames.flatten(0, 1))
        codes = codes.unflatten(0, (past, batch))
        predictor: LSTMState = None
        prior: LSTMState = None
        if past > 1:
            latent, _ = self.posterior(codes[1:])
            told = torch.cat((conditions, codes[:-1], latent.mean), dim=-1)
            _, predictor = self.predictor(told)
            if self.prior is not None:
                _, prior = self.prior(codes[:-1])
        first = self.skip_frame(past, past) * batch
        halves = decoder.halves(tuple(skip[first : first + batch] for skip in skips))
        return Memory(codes[-1], predictor, prior, halves)

    def roll(
        self,
        memory: Memory,
        conditions: Tensor,
        noise: Tensor,
        coders: Coders,
    ) -> Tensor:
        """Conditions (F, N, C) and noise (F, N, Z) -> frames (F, N, 3, S, S).

        N is a multiple of the frames that were watched, in their order over and over.
        """
        encoder, decoder = coders
        code, predictor, prior, halves = memory.repeated(noise.shape[1] // len(memory.code))
        frames: list[Tensor] = []
        for condition, latent in zip(conditions, noise, strict=True):
            if frames:
                code, _ = encoder(frames[-1])
            if self.prior is not None:
                expected, prior = self.prior(code[None], prior)
                latent = expected.sample(latent[None])[0]
            told = torch.cat((condition, code, latent), dim=-1)
            drawn, predictor = self.predictor(told[None], predictor)
            frames.append(decoder.decode(drawn[0], halves))
        return torch.stack(frames)


class FramePredictorModel(Model):
    """A frame predictor in robot units and camera pixels. Not a policy: it moves no robot."""

    kind: ClassVar[str] = 'frame_predictor'
    Config: ClassVar[type[BaseModel]] = FramePredictorConfig
    learns_from = 'clips'
    predicts_target = False
    config: FramePredictorConfig

    def __init__(self, spec: PolicySpec) -> None:
        super().__init__(spec)
        if len(spec.cameras) != 1:
            found = ', '.join(spec.cameras) or 'none'
            raise UserError(f'cameras: found {found}, a frame_predictor looks through one')
        (size,) = spec.sizes
        check_coder_size(size)
        joints = len(self.joint_names)
        told = {'both': 2 * joints, 'none': 0}.get(self.config.condition, joints)
        self.network = FrameNetwork(size[0], told, self.config)
        self.network.to(memory_format=torch.channels_last)
        self._packed: tuple[PackedEncoder, PackedDecoder] | None = None
        self.register_load_state_dict_post_hook(_forget_packed)

    def train(self, mode: bool = True) -> FramePredictorModel:
        """As of every module; what was packed for predicting is forgotten."""
        if mode:
            self._packed = None
        super().train(mode)
        return self

    def _apply(self, *args: Any, **kwargs: Any) -> FramePredictorModel:
        self._packed = None
        super()._apply(*args, **kwargs)
        return self

    def rows_to(self, frames: int) -> int:
        """How many rows of actions and positions lead from frame 0 to the last of `frames`."""
        return frames if self.config.condition_of == 'target' else frames - 1

    def unit_frames(self, frames: Tensor, *, as_seen: bool = False) -> Tensor:
        """(B, T, H, W, 3) uint8 -> (T, B, 3, h, w) in [0, 1] as the network sees them.

        Args:
            frames: as the camera sends them.
            as_seen: they are (B, T, h, w, 3) already, as the model's view of the camera gives.

        Raises ValueError for anything else.
        """
        if frames.ndim != 5 or frames.shape[-1] != 3 or frames.dtype != torch.uint8:
            raise ValueError(
                f'frames are {tuple(frames.shape)} {frames.dtype}, '
                'expected (batch, time, height, width, 3) uint8'
            )
        ordered = frames.transpose(0, 1).to(self.device)
        view, images = self.views[self.cameras[0]], ordered.flatten(0, 1)
        if not as_seen:
            images = view(images)
        elif tuple(images.shape[1:3]) != view.size:
            raise ValueError(f'frames are {tuple(frames.shape)}, expected them as seen: {view}')
        return to_unit_images(images).unflatten(0, ordered.shape[:2])

    def conditions(self, actions: Tensor, positions: Tensor | None) -> Tensor:
        """Rows (B, R, J) in robot units -> what each step is told, (R or R - 1, B, C).

        Positions may be missing where the condition is 'action' or 'none'. ValueError for
        another number of joints or of rows.
        """
        self._check_rows('actions', actions)
        given = {'action': actions, 'position': positions}
        scales = {'action': self.normalise_target, 'position': self.normalise_qpos}
        wanted = {'both': ('action', 'position'), 'none': ()}.get(
            self.config.condition, (self.config.condition,)
        )
        parts = [actions.new_zeros(*actions.shape[:2], 0).to(self.device, torch.float32)]
        for name in wanted:
            rows = given[name]
            if rows is None:
                raise ValueError('positions are missing, this frame predictor is told of them')
            self._check_rows(f'{name}s', rows)
            if rows.shape != actions.shape:
                found = f'{tuple(rows.shape)}, actions are {tuple(actions.shape)}'
                raise ValueError(f'positions are {found}: expected as many rows')
            parts.append(scales[name](rows.to(self.device, torch.float32)))
        first = 1 if self.config.condition_of == 'target' else 0
        return torch.cat(parts, dim=-1)[:, first:].transpose(0, 1)

    @torch.inference_mode()
    def predict(
        self,
        frames: Tensor,
        actions: Tensor,
        positions: Tensor | None = None,
        *,
        as_seen: bool = False,
        samples: int = 1,
        generator: torch.Generator | None = None,
        at_once: int = AT_ONCE,
    ) -> Tensor:
        """The frames after those seen, one future for each sample of the prior.

        Args:
            frames: the last ones seen, (B, P, H, W, 3) uint8, P as in training.
            actions, positions: (B, R, J) in robot units. Row i is that of frame i, the first of
                `frames` being frame 0; so the first P - 1 rows are of the past. R = P - 1 + F
                rows lead to F frames, with `condition_of: target` one more row is needed.
            as_seen: the frames are (B, P, h, w, 3) as the network sees them, not the camera's.
            samples: futures per sequence.
            generator: of the latents, on the model's device.
            at_once: how many futures are computed side by side; changes no result.

        Returns:
            (B, samples, F, 3, h, w) float32 in [0, 1].

        Raises:
            ValueError: for shapes that are none of these.
        """
        seen = self.unit_frames(frames, as_seen=as_seen)
        told = self.conditions(actions, positions)
        past, batch = seen.shape[:2]
        steps = len(told) - (past - 1)
        if steps < 1 or told.shape[1] != batch:
            raise ValueError(
                f'actions are {tuple(actions.shape)}, expected {batch} sequences of more rows '
                f'than lead to the {past} frames seen'
            )
        memory = self.network.watch(seen, told[: past - 1], self._coders())
        ahead = told[past - 1 :].repeat(1, samples, 1)
        drawn = self._rolled(memory, ahead, generator, at_once)
        return drawn.unflatten(1, (samples, batch)).permute(2, 1, 0, 3, 4, 5)

    @torch.inference_mode()
    def rank(
        self,
        observation: Mapping[str, Tensor],
        chunks: Tensor,
        *,
        goal: Tensor | None = None,
        score: Callable[[Tensor], Tensor] | None = None,
        positions: Tensor | None = None,
        samples: int = 1,
        generator: torch.Generator | None = None,
        at_once: int = AT_ONCE,
    ) -> Tensor:
        """A score for each of K chunks of actions by what it is predicted to lead to.

        What was seen is encoded once for all of them.

        Args:
            observation: `frames` (P, H, W, 3) uint8; `actions` (P - 1, J) between them and
                `positions` (P, J) in robot units.
            chunks: (K, F, J) in robot units, the first row to be sent now.
            goal: an image (H, W, 3) uint8. The score is minus the squared error of the predicted
                frames to it, summed over frames, pixels and colours in [0, 1].
            score: in place of a goal; (K, samples, F, 3, h, w) -> (K,), the greater the better.
            positions: (K, F, J) of the rows of `chunks`. Left out, each target is taken as
                reached when the next is sent; not so where actions are no positions.
            samples: futures of each chunk, over which a goal's score is the mean.
            generator: of the latents, on the model's device.
            at_once: how many futures are computed side by side; changes no result.

        Returns:
            (K,) float32.

        Raises:
            ValueError: for shapes that are none of these, or not one of goal and score.
        """
        if (goal is None) == (score is None):
            raise ValueError('expected a goal or a score, and not both')
        self._check_rows('chunks', chunks)
        if self.config.condition_of == 'target':
            raise ValueError("rank: expected a frame predictor with condition_of 'before'")
        count = len(chunks)
        seen = self.unit_frames(observation['frames'][None])
        past = len(seen)
        device = self.device
        chunks, known = chunks.to(device), observation['positions'].to(device)
        if positions is None:
            now = known[-1].expand(count, 1, -1)
            positions = torch.cat((now, chunks[:, :-1]), dim=1)
        before = self.conditions(observation['actions'][None].to(device), known[None, :-1])
        memory = self.network.watch(seen, before, self._coders())
        ahead = self.conditions(chunks, positions.to(device)).repeat(1, samples, 1)
        drawn = self._rolled(memory, ahead, generator, at_once)
        futures = drawn.unflatten(1, (samples, count)).permute(2, 1, 0, 3, 4, 5)
        if score is not None:
            return score(futures)
        assert goal is not None and past == len(seen)
        wanted = self.unit_frames(goal[None, None])[0]
        return -(futures - wanted).square().sum((2, 3, 4, 5)).mean(1)

    def _rolled(
        self,
        memory: Memory,
        conditions: Tensor,
        generator: torch.Generator | None,
        at_once: int,
    ) -> Tensor:
        """Futures (F, N, 3, h, w) for conditions (F, N, C), some side by side."""
        steps, count = conditions.shape[:2]
        shape = (steps, count, self.config.latent_dim)
        noise = torch.randn(shape, generator=generator, device=self.device)
        batch = len(memory.code)
        together = max(1, at_once // batch) * batch
        coders = self._coders()
        parts = zip(conditions.split(together, 1), noise.split(together, 1), strict=True)
        return torch.cat([self.network.roll(memory, *part, coders) for part in parts], dim=1)

    def _coders(self) -> Coders:
        """Encoder and decoder; in eval mode their fast forms."""
        network = self.network
        if self.training:
            return network.encoder, network.decoder
        if self._packed is None:
            with torch.inference_mode(False), torch.no_grad():
                self._packed = PackedEncoder(network.encoder), PackedDecoder(network.decoder)
        return self._packed

    def _check_rows(self, name: str, rows: Tensor) -> None:
        joints = len(self.joint_names)
        if rows.ndim != 3 or rows.shape[-1] != joints:
            raise ValueError(
                f'{name} are {tuple(rows.shape)}, expected (batch, rows, {joints}) '
                f'for the joints {", ".join(self.joint_names)}'
            )


def _forget_packed(model: nn.Module, _: object) -> None:
    assert isinstance(model, FramePredictorModel)
    model._packed = None


def _repeated(state: LSTMState, times: int) -> LSTMState:
    return None if state is None else (state[0].repeat(1, times, 1), state[1].repeat(1, times, 1))


def _begin(layer: nn.Module) -> None:
    """Fresh weights as published."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(layer.weight, 0, INITIAL_SPREAD)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1, INITIAL_SPREAD)
        nn.init.zeros_(layer.bias)
