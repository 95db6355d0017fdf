# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Keys of the configuration for which a way of learning has no use."""

from __future__ import annotations

from motion_policy.policies.base import LearnsFrom

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
