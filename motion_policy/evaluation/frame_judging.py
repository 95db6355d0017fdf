# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Evaluation of a frame predictor on clips: many futures sampled from the prior for each.

The last frame seen, repeated, is judged beside it by the same scores. Every number says how it
was made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from motion_policy.evaluation.frame_actions import ActionReader, mean_r_squared, r_squared
from motion_policy.evaluation.frame_clips import Clip
from motion_policy.evaluation.frame_scores import psnr, ssim
from motion_policy.evaluation.provenance import model_provenance
from motion_policy.policies.video.predictor import FramePredictorModel
from motion_policy.policies.video.unrolling import on_its_own

Float64Array = npt.NDArray[np.float64]

SCORES = ('psnr', 'ssim')
COPY, POSTERIOR, MEAN, BEST = 'copy_last', 'posterior', 'mean', 'best'
RANDOM, TRUTH = 'random', 'truth'
WHO = {
    BEST: 'best of the samples',
    MEAN: 'mean of the samples',
    POSTERIOR: 'posterior, which sees the future',
    COPY: 'last frame seen, repeated',
}


@dataclass(frozen=True)
class JudgedClip:
    """One clip of F predicted frames.

    Attributes:
        clip: the clip.
        scores: score -> who -> (F,) float64; of `best` by each score's own best sample.
        best: the sample with the greatest mean PSNR.
        ways: who -> the ways that were read from its frames, (F, J); empty without a reader.
    """

    clip: Clip
    scores: Mapping[str, Mapping[str, Float64Array]]
    best: int
    ways: Mapping[str, Tensor]


@dataclass(frozen=True)
class FrameEvaluation:
    """All that was judged.

    Attributes:
        model: the frame predictor.
        clips: its clips, judged, in their order.
        samples: futures of each.
        future: frames predicted, F.
        seed: of the latents.
        every: frames from one clip to the next of a recording; 0: only the first.
    """

    model: FramePredictorModel
    clips: Sequence[JudgedClip]
    samples: int
    future: int
    seed: int
    every: int

    @cached_property
    def curves(self) -> dict[str, dict[str, Float64Array]]:
        """Score -> who -> the mean over all clips at each step, (F,)."""
        return {
            score: {
                who: np.mean([clip.scores[score][who] for clip in self.clips], axis=0)
                for who in WHO
            }
            for score in SCORES
        }

    def mean(self, score: str, who: str) -> float:
        """The mean over all clips and steps."""
        return float(self.curves[score][who].mean())

    @cached_property
    def action_r2(self) -> dict[str, list[float | None]]:
        """Who -> how much of the commands can be read from its frames, of each joint."""
        past = self.model.config.past
        last = past + self.future - 1
        commanded = torch.cat([one.clip.ways[past - 1 : last] for one in self.clips])
        return {
            who: r_squared(torch.cat([one.ways[who] for one in self.clips]), commanded)
            for who in self.clips[0].ways
        }

    def protocol(self) -> dict[str, str]:
        """Everything that a figure depends on, in words."""
        model = self.model
        config, spec = model.config, model.spec
        height, width = self.clips[0].clip.frames.shape[1:3]
        view = model.views[model.cameras[0]]
        size = f'{view.size[1]}x{view.size[0]}'
        recorded = f'{width}x{height}'
        told = {
            'both': 'recorded action and position',
            'action': 'recorded action',
            'position': 'recorded position',
            'none': 'nothing',
        }[config.condition]
        row = 'the frame itself' if config.condition_of == 'target' else 'the frame before it'
        which = (
            f'the first {config.past + self.future} of each recording'
            if self.every == 0
            else f'clips that begin every {self.every} frames'
        )
        prior = 'N(0, 1)' if config.prior == 'fixed' else 'the learned prior'
        resized = 'as recorded' if size == recorded else f'resized from {recorded}, truth as well'
        if not view.options.is_plain:
            resized = f'{view.options} of {recorded}, truth as well'
        return {
            'clips': f'{len(self.clips)}, all of the data given',
            'frames': f'{config.past} seen, {self.future} predicted at {spec.rate:g} Hz; {which}',
            'told of each step': told if told == 'nothing' else f'{told} of the row of {row}',
            'latents': f'drawn from {prior}, seed {self.seed}; none from frames of the future',
            'samples': f'{self.samples} of each clip',
            'best': 'of each clip the sample with the greatest mean over the predicted frames, '
            'for PSNR and SSIM apart',
            'averaged': 'over colours, frames, samples (mean) and clips, of all clips',
            'PSNR': '10 log10(1 / MSE) dB of each colour of each frame, colours from 0 to 1 '
            '(no maximum of image or video, no mean of MSEs)',
            'SSIM': '11x11 Gaussian, sigma 1.5, where it lies inside, K1 0.01, K2 0.03, '
            'range 1, each colour',
            'image': f'{size}, {resized}; predictions not rounded',
            'batch normalisation': 'statistics of training',
            'skips from': 'the last frame seen'
            if config.skip == 'last'
            else 'the frame before the last seen',
            'action inference': 'R2 of the commanded way (action less position), read from pairs '
            'of frames by a small network that learnt on true frames of the training set',
        }

    def to_json(self) -> dict[str, Any]:
        """All numbers, and how they were made."""
        return {
            **model_provenance(self.model),
            'prior': self.model.config.prior,
            'condition': self.model.config.condition,
            'past': self.model.config.past,
            'future': self.future,
            'samples': self.samples,
            'seed': self.seed,
            'protocol': self.protocol(),
            'scores': {
                who: {
                    **{score: self.mean(score, who) for score in SCORES},
                    **{f'{score}_of_step': self.curves[score][who].tolist() for score in SCORES},
                }
                for who in WHO
            },
            'action_r2': {
                who: {'mean': mean_r_squared(shares), 'joints': shares}
                for who, shares in self.action_r2.items()
            },
            'clips': [
                {
                    'path': one.clip.name,
                    'row': one.clip.row,
                    **{
                        score: {who: float(one.scores[score][who].mean()) for who in WHO}
                        for score in SCORES
                    },
                }
                for one in self.clips
            ],
        }


def judge_clips(
    model: FramePredictorModel,
    clips: Iterable[Clip],
    *,
    samples: int,
    seed: int,
    every: int = 0,
    reader: ActionReader | None = None,
    on_clip: Callable[[Any], None] = lambda result: None,
) -> FrameEvaluation:
    """Judge every clip; the latents of a clip depend on the seed and its number alone.

    Args:
        model: in eval mode.
        clips: of past + future frames each, at least one.
        samples: futures of each clip.
        seed: of the latents.
        every: how the clips were chosen; noted.
        reader: reads actions from frames; None: no action inference.
        on_clip: called after every clip.
    """
    judged = []
    for number, clip in enumerate(clips):
        futures = futures_of(model, clip, samples, seed, number)
        judged.append(_judged(model, clip, futures, reader))
        on_clip(judged[-1])
    future = len(judged[0].scores['psnr'][COPY])
    return FrameEvaluation(model, judged, samples, future, seed, every)


@dataclass(frozen=True)
class Futures:
    """Frames (F, 3, S, S) in [0, 1] on the CPU, and the one seen last, (3, S, S).

    `samples` is (N, F, 3, S, S).
    """

    last: Tensor
    truth: Tensor
    posterior: Tensor
    samples: Tensor


@torch.inference_mode()
def futures_of(
    model: FramePredictorModel, clip: Clip, samples: int, seed: int, number: int
) -> Futures:
    """What was predicted after the first frames of a clip; the number fixes the latents."""
    past = model.config.past
    rows = model.rows_to(len(clip.frames))
    told = clip.actions[None, :rows], clip.positions[None, :rows]
    drawn_from = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    generator = torch.Generator(model.device).manual_seed(drawn_from)
    predicted = model.predict(
        clip.frames[None, :past], *told, samples=samples, generator=generator
    )
    seen, conditions = model.unit_frames(clip.frames[None]), model.conditions(*told)
    noise = torch.zeros(*conditions.shape[:2], model.config.latent_dim, device=model.device)
    redrawn = on_its_own(model.network, seen, conditions, noise).frames[past - 1 :]
    return Futures(
        seen[past - 1, 0].cpu(), seen[past:, 0].cpu(), torch.cat(redrawn).cpu(), predicted[0].cpu()
    )


def _judged(
    model: FramePredictorModel, clip: Clip, futures: Futures, reader: ActionReader | None
) -> JudgedClip:
    scores: dict[str, dict[str, Float64Array]] = {}
    best = 0
    for name, score in (('psnr', psnr), ('ssim', ssim)):
        of_samples = score(futures.samples, futures.truth).double().numpy()
        greatest = int(of_samples.mean(axis=1).argmax())
        best = greatest if name == 'psnr' else best
        scores[name] = {
            BEST: of_samples[greatest],
            MEAN: of_samples.mean(axis=0),
            POSTERIOR: score(futures.posterior, futures.truth).double().numpy(),
            COPY: score(futures.last.expand_as(futures.truth), futures.truth).double().numpy(),
        }
    ways: dict[str, Tensor] = {}
    if reader is not None:
        shown = {
            TRUTH: futures.truth,
            RANDOM: futures.samples[0],
            BEST: futures.samples[best],
            POSTERIOR: futures.posterior,
            COPY: futures.last.expand_as(futures.truth),
        }
        ways = {who: _read(reader, futures.last, frames) for who, frames in shown.items()}
    return JudgedClip(clip, scores, best, ways)


@torch.inference_mode()
def _read(reader: ActionReader, last: Tensor, frames: Tensor) -> Tensor:
    """The ways between the last frame seen and the frames (F, 3, S, S) after it: (F, J)."""
    sequence = torch.cat((last[None], frames))
    return reader(sequence[:-1], sequence[1:])
