# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The sections of a training configuration: data, loss, schedules, augmentation.

Where ways of learning have different keys, each has a section of its own, and what they share is
declared once.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from motion_policy.declared import Declared
from motion_policy.training.schedule import Curve, LossSchedule


class DataConfig(Declared):
    """Which episodes are learnt from, and which are only judged on."""

    train: tuple[str, ...] = Field(min_length=1, description='files, folders or globs')
    validation: tuple[str, ...] | float = Field(
        default=0.1, description='files, folders or globs, or the share of `train` held back'
    )
    failures: bool = Field(default=False, description='learn from failed demonstrations too')

    @field_validator('train', 'validation', mode='before')
    @classmethod
    def _one_path_is_a_list(cls, value: Any) -> Any:
        if isinstance(value, str):
            try:
                return float(value)
            except ValueError:
                return (value,)
        return value

    @field_validator('validation')
    @classmethod
    def _share(cls, value: tuple[str, ...] | float) -> tuple[str, ...] | float:
        if isinstance(value, float) and not 0 <= value < 1:
            raise ValueError(f'a share of {value}, expected 0 <= share < 1')
        return value


class InterventionsConfig(Declared):
    """What the rows of rollouts count in which a person took over; those of demonstrations: 1."""

    weight: float = Field(default=5.0, gt=0, le=100, description='of a row that a person drove')
    only: bool = Field(default=False, description='the rows that the policy drove count nothing')
    before: float = Field(
        default=0.75, ge=0, le=60, description='s before a person took over that count nothing'
    )


class InterventionsKey(Declared):
    """What is learnt of rollouts."""

    interventions: InterventionsConfig | None = Field(
        default=None, description='what corrections count; unset: all rows count alike'
    )


class ImitationDataConfig(InterventionsKey, DataConfig):
    """The same, of demonstrations and rollouts whose actions are imitated."""


class HeldDataConfig(DataConfig):
    """The same, of images that lie where it is said."""

    hold: Literal['auto', 'device', 'host', 'no'] = Field(
        default='auto',
        description='where the images lie while it trains; no: they are read when they are drawn',
    )


class ChunkDataConfig(InterventionsKey, HeldDataConfig):
    """The same, of batches that other processes may make."""

    workers: int | None = Field(
        default=None, ge=0, description='processes that make batches; unset: as it pays'
    )


class LossConfig(Declared):
    """Weights of the terms of the loss; a model has the terms of what it predicts."""

    image: float = Field(default=0.1, ge=0)
    joint: float = Field(default=1.0, ge=0)
    point: float = Field(default=0.1, ge=0)
    feature: float = Field(default=1.0, ge=0)
    effort: float = Field(default=1.0, ge=0)


class ChunkLossConfig(Declared):
    """Weights of the terms of the loss of a chunk of actions."""

    action: float = Field(default=1.0, ge=0)
    kl: float = Field(default=10.0, ge=0)
    legacy_padding_mean: bool = Field(
        default=False, description='the mean is over padding too, as in the original ACT'
    )


class ScheduleConfig(Declared):
    """How a share rises from 0 to 1."""

    curve: Curve = 's'
    epochs: int = Field(default=100, ge=1)


class LossScheduleConfig(Declared):
    """Which weights rise while it trains; the others have their full value from the start."""

    image: ScheduleConfig | None = None
    joint: ScheduleConfig | None = None
    point: ScheduleConfig | None = ScheduleConfig()
    feature: ScheduleConfig | None = None
    effort: ScheduleConfig | None = None

    def share(self, term: str, epoch: int) -> float:
        """The share of its weight that a term has in an epoch."""
        schedule: ScheduleConfig | None = getattr(self, term, None)
        if schedule is None:
            return 1.0
        return LossSchedule(schedule.curve, schedule.epochs)(epoch)


class SamplingConfig(Declared):
    """How much of what it sees is its own prediction in the end, and how that share rises."""

    joint: float = Field(default=0.0, ge=0, le=1, description='of joints and efforts')
    image: float = Field(default=0.0, ge=0, le=1, description='of images (or their features)')
    curve: Curve = 'linear'
    epochs: int = Field(default=100, ge=1)

    def shares(self, epoch: int) -> tuple[float, float]:
        """The shares of own joints and of own images in an epoch."""
        risen = LossSchedule(self.curve, self.epochs)(epoch)
        return self.joint * risen, self.image * risen


class ImageVariation(Declared):
    """What is varied in images; standard deviations unless said. Targets stay clean."""

    image_noise: float = Field(default=0.02, ge=0, description='per pixel, of [0, 1]')
    brightness: float = Field(default=0.0, ge=0, le=1, description='factor 1 +- this, per episode')
    contrast: float = Field(default=0.0, ge=0, le=1, description='factor 1 +- this, per episode')
    saturation: float = Field(default=0.0, ge=0, le=1, description='factor 1 +- this, per episode')
    hue: float = Field(default=0.0, ge=0, le=0.5, description='turn +- this, per episode')
    erasing: float = Field(default=0.0, ge=0, le=1, description='share of episodes with a box')


class Translation(Declared):
    """How far images are moved."""

    translate: float = Field(default=0.0, ge=0, le=1, description='+- this share of the image')


class JointNoise(Declared):
    """Noise on joints (and efforts); standard deviations."""

    joint_noise: float = Field(default=0.02, ge=0, description='per step, of the joint range')


class EpisodeNoise(JointNoise):
    """The same in episodes."""

    joint_offset: float = Field(default=0.0, ge=0, description='per episode, of the joint range')


class SequenceAugmentationConfig(ImageVariation, EpisodeNoise):
    """What is varied in episodes of images."""


class FeatureAugmentationConfig(EpisodeNoise):
    """What is varied in episodes of features."""

    feature_noise: float = Field(default=0.02, ge=0, description='per step, of their range')


class FrameAugmentationConfig(ImageVariation, Translation):
    """What is varied in single frames; all but light and noise in the target alike."""

    autocontrast: float = Field(default=0.0, ge=0, le=1, description='share of frames')
    horizontal_flip: float = Field(default=0.0, ge=0, le=1, description='share of frames')
    vertical_flip: float = Field(default=0.0, ge=0, le=1, description='share of frames')


class ChunkAugmentationConfig(ImageVariation, Translation, JointNoise):
    """What is varied in single rows."""
