# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""How each kind of model is trained: a line of `KINDS` per kind, by which the rest goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# Whole episodes as they were seen, episodes of image features that stay, single frames, single
# moments with the actions that followed, or short clips.
LearnsFrom = Literal['sequences', 'features', 'frames', 'chunks', 'clips']


@dataclass(frozen=True)
class Kind:
    """How a kind of model learns.

    Attributes:
        learns_from: in which form it gets the demonstrations.
        autoencoder: the key of `policy` that names trained autoencoders to begin with.
        needs_autoencoder: whether it can begin in no other way.
    """

    learns_from: LearnsFrom
    autoencoder: str | None = None
    needs_autoencoder: bool = False

    @property
    def by_steps(self) -> bool:
        """Whether a run is counted in steps of the optimiser, else in epochs."""
        return self.learns_from == 'chunks'

    @property
    def unused(self) -> frozenset[str]:
        """Keys of the configuration for which it has no use."""
        return UNUSED[self.learns_from]


KINDS = {
    'cae': Kind('frames'),
    'cae_rnn': Kind('features', 'cae', needs_autoencoder=True),
    'cnnrnn': Kind('sequences', 'pretrained'),
    'cnnrnnln': Kind('sequences', 'pretrained'),
    'sarnn': Kind('sequences'),
    'act': Kind('chunks'),
    'frame_predictor': Kind('clips'),
}

_TRANSLATE = {'augmentation.translate'}
_FRAMES = {
    'frames_per_epoch',
    'augmentation.autocontrast',
    'augmentation.horizontal_flip',
    'augmentation.vertical_flip',
}
_STEPS = {
    'effort',
    'bptt_steps',
    'scheduled_sampling',
    'augmentation.joint_noise',
    'augmentation.joint_offset',
}
_FEATURES = {'augmentation.feature_noise'}
_LIGHT = {
    'augmentation.image_noise',
    'augmentation.brightness',
    'augmentation.contrast',
    'augmentation.saturation',
    'augmentation.hue',
    'augmentation.erasing',
}
_CHUNKS = {
    'data.hold',
    'data.workers',
    'learning_rate_backbone',
    'weight_decay',
    'validation_frames',
    'loss.action',
    'loss.kl',
    'loss.legacy_padding_mean',
}
_CLIPS = {'prediction'}
_EPOCHS = {
    'bptt_steps',
    'scheduled_sampling',
    'image_loss_frames',
    'loss_schedule',
    'loss.image',
    'loss.joint',
    'loss.point',
    'loss.feature',
    'loss.effort',
    'augmentation.joint_offset',
}
UNUSED: dict[LearnsFrom, frozenset[str]] = {
    'sequences': frozenset(_FRAMES | _TRANSLATE | _FEATURES | _CHUNKS | _CLIPS),
    'features': frozenset(
        _FRAMES | _TRANSLATE | _LIGHT | {'image_loss_frames'} | _CHUNKS | _CLIPS
    ),
    'frames': frozenset(_STEPS | _FEATURES | {'image_loss_frames'} | _CHUNKS | _CLIPS),
    'chunks': frozenset(_FRAMES | _FEATURES | _EPOCHS | _CLIPS),
    'clips': frozenset(
        _FRAMES | _TRANSLATE | _FEATURES | _CHUNKS | _STEPS | _LIGHT | _EPOCHS | {'target'}
    )
    - {'data.hold'},
}
