# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Training configuration: one YAML file and `key=value` overrides, validated before any work.

Every mistake is one line that names the file (or the command line) and the key.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from motion_policy.declared import Declared
from motion_policy.documents import parse_yaml, read_yaml
from motion_policy.errors import UserError
from motion_policy.files import FileError
from motion_policy.policies.base import Edge, LearnsFrom, Model
from motion_policy.policies.kinds import trained_class
from motion_policy.robot.load import first_error_line
from motion_policy.robot.spec import SLOWEST_HZ
from motion_policy.training.frame_schedule import PredictionConfig
from motion_policy.training.kinds import UNUSED
from motion_policy.training.schedule import Curve, LossSchedule

COMMAND_LINE = 'command line'
ROUND_STEPS = 1000


class ConfigError(UserError):
    """A training configuration that says something impossible."""


class DataConfig(Declared):
    """Which episodes are learnt from, and which are only judged on."""

    train: tuple[str, ...] = Field(min_length=1, description='files, folders or globs')
    validation: tuple[str, ...] | float = Field(
        default=0.1, description='files, folders or globs, or the share of `train` held back'
    )
    failures: bool = Field(default=False, description='learn from failed demonstrations too')
    hold: Literal['auto', 'device', 'host', 'no'] = Field(
        default='auto',
        description='where the images lie while it trains; no: they are read when they are drawn',
    )
    workers: int | None = Field(
        default=None, ge=0, description='processes that make batches; unset: as it pays'
    )

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


class LossConfig(Declared):
    """Weights of the terms of the loss; a model has the terms of what it predicts."""

    image: float = Field(default=0.1, ge=0)
    joint: float = Field(default=1.0, ge=0)
    point: float = Field(default=0.1, ge=0)
    feature: float = Field(default=1.0, ge=0)
    effort: float = Field(default=1.0, ge=0)
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


class AugmentationConfig(Declared):
    """What is varied in the inputs; targets stay clean. Standard deviations unless said."""

    image_noise: float = Field(default=0.02, ge=0, description='per pixel, of [0, 1]')
    joint_noise: float = Field(default=0.02, ge=0, description='per step, of the joint range')
    joint_offset: float = Field(default=0.0, ge=0, description='per episode, of the joint range')
    brightness: float = Field(default=0.0, ge=0, le=1, description='factor 1 +- this, per episode')
    contrast: float = Field(default=0.0, ge=0, le=1, description='factor 1 +- this, per episode')
    saturation: float = Field(default=0.0, ge=0, le=1, description='factor 1 +- this, per episode')
    hue: float = Field(default=0.0, ge=0, le=0.5, description='turn +- this, per episode')
    erasing: float = Field(default=0.0, ge=0, le=1, description='share of episodes with a box')
    feature_noise: float = Field(default=0.02, ge=0, description='per step, of their range')
    translate: float = Field(default=0.0, ge=0, le=1, description='+- this share of the image')
    autocontrast: float = Field(default=0.0, ge=0, le=1, description='share of frames')
    horizontal_flip: float = Field(default=0.0, ge=0, le=1, description='share of frames')
    vertical_flip: float = Field(default=0.0, ge=0, le=1, description='share of frames')


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


class TrainConfig(Declared):
    """One training run. Rates in Hz, sizes (height, width)."""

    policy: dict[str, Any] = Field(description='kind, and the hyper-parameters of that kind')
    data: DataConfig
    output: Path = Field(description='folder of the run: best/, last/, tensorboard/, resume.ckpt')
    rate: float = Field(
        default=10.0, ge=SLOWEST_HZ, le=1000, description='steps of the policy per second'
    )
    cameras: tuple[str, ...]
    image_size: tuple[Edge, Edge] = (64, 64)
    target: Literal['action', 'qpos'] = 'action'
    effort: bool = Field(default=False, description='joint efforts are seen and predicted too')
    batch_size: int = Field(
        default=5, ge=1, description='episodes; frames for a cae or act, clips'
    )
    epochs: int | None = Field(
        default=None, ge=1, description='one epoch shows every episode once; not for act'
    )
    steps: int | None = Field(
        default=None, ge=1, description='of the optimiser, in place of epochs; for act'
    )
    frames_per_epoch: int | None = Field(
        default=None, ge=1, description='drawn anew for each epoch of a cae; unset: all'
    )
    learning_rate: float = Field(default=1e-3, gt=0)
    learning_rate_shape: Literal['constant', 'cosine'] = 'constant'
    learning_rate_backbone: float | None = Field(
        default=None, gt=0, description='of what sees the images; unset: learning_rate'
    )
    weight_decay: float = Field(default=0.0, ge=0, description='of AdamW')
    warmup_epochs: int = Field(default=0, ge=0)
    warmup_steps: int = Field(default=0, ge=0)
    gradient_clip: float = Field(default=0.0, ge=0, description='largest norm; 0: none')
    average: float = Field(
        default=0.0, ge=0, lt=1, description='decay of a running mean of the weights; 0: none'
    )
    loss: LossConfig = LossConfig()
    loss_schedule: LossScheduleConfig = LossScheduleConfig()
    prediction: PredictionConfig = Field(
        default=PredictionConfig(), description='how a frame_predictor is trained'
    )
    image_loss_frames: int | None = Field(
        default=None,
        ge=1,
        description='frames per episode on which the image is predicted, drawn anew; unset: all',
    )
    bptt_steps: int | None = Field(
        default=None, ge=1, description='steps after which gradients are cut; unset: never'
    )
    scheduled_sampling: SamplingConfig = SamplingConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    seed: int = 0
    threads: int | None = Field(default=None, ge=1, description='of the CPU; all cores if unset')
    device: str = Field(default='auto', pattern=r'^(auto|cpu|cuda(:\d+)?)$')
    devices: int = Field(default=1, ge=1, description='GPUs, or processes on a CPU')
    nodes: int = Field(default=1, ge=1)
    precision: Literal['32-true', 'bf16-mixed', '16-mixed'] = '32-true'
    validate_every: int | None = Field(
        default=None, ge=1, description='epochs, unset: 1; steps for act, unset: 1000'
    )
    validation_frames: int = Field(
        default=512, ge=1, description='of all that may be judged on, evenly spread'
    )
    pictures_every: int = Field(default=25, ge=0, description='epochs (steps for act); 0: never')
    resume: Literal['auto', 'never'] = 'auto'

    @field_validator('policy')
    @classmethod
    def _known_policy(cls, value: dict[str, Any]) -> dict[str, Any]:
        hyper = dict(value)
        if 'kind' not in hyper:
            raise ValueError('kind: missing, expected a kind of policy')
        model = trained_class(hyper.pop('kind'))
        _take_autoencoders(hyper, model)
        _take_backbone_weights(hyper, model)
        try:
            model.Config.model_validate(hyper)
        except ValidationError as error:
            line = first_error_line(error, hyper, '')
            raise ValueError(line.removeprefix(': ')) from None
        return value

    @model_validator(mode='after')
    def _counted_in_one_way(self) -> TrainConfig:
        ours, others = ('steps', 'epochs') if self.by_steps else ('epochs', 'steps')
        for key in (others, f'warmup_{others}'):
            if getattr(self, key):
                raise ValueError(
                    f"{key}: found {getattr(self, key)}, but a '{self.kind}' is trained by {ours}"
                )
        if getattr(self, ours) is None:
            raise ValueError(f'{ours}: missing, expected how many to train')
        if not self.cameras and self.learns_from != 'chunks':
            raise ValueError(f"cameras: found none, a '{self.kind}' needs at least one")
        if self.steps and self.steps % self.round_steps:
            raise ValueError(
                f'steps: found {self.steps}, expected a multiple of '
                f'validate_every={self.round_steps}'
            )
        return self

    @model_validator(mode='after')
    def _only_what_is_used(self) -> TrainConfig:
        for key in sorted(UNUSED[self.learns_from]):
            owner: BaseModel = self
            value: Any = self
            for part in key.split('.'):
                owner, value = value, getattr(value, part)
            if value != type(owner).model_fields[part].default:
                raise ValueError(f"{key}: found {value}, but a '{self.kind}' has no use for it")
        sampled = self.scheduled_sampling.image
        if sampled and not self.loss.image and self.learns_from == 'sequences':
            raise ValueError(
                f'scheduled_sampling.image: found {sampled}, but with loss.image=0 no image is '
                'learnt that could be mixed in'
            )
        return self

    @field_validator('cameras', mode='before')
    @classmethod
    def _one_camera_is_a_list(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @property
    def kind(self) -> str:
        """The kind of policy."""
        return str(self.policy['kind'])

    @property
    def model(self) -> type[Model]:
        """Its class."""
        return trained_class(self.kind)

    @property
    def learns_from(self) -> LearnsFrom:
        """In which form it gets the demonstrations."""
        form = self.model.learns_from
        assert form is not None
        return form

    @property
    def hyper(self) -> dict[str, Any]:
        """The hyper-parameters that the configuration names."""
        hyper = {key: value for key, value in self.policy.items() if key != 'kind'}
        _take_autoencoders(hyper, self.model)
        _take_backbone_weights(hyper, self.model)
        return hyper

    @property
    def autoencoders(self) -> tuple[str, ...]:
        """The checkpoints of the trained autoencoders that this run begins with."""
        return _take_autoencoders(dict(self.policy), self.model)

    @property
    def backbone_weights(self) -> str | None:
        """What its eyes begin with: 'imagenet', 'none' or a file; None: as suits them."""
        return _take_backbone_weights(dict(self.policy), self.model)

    @property
    def by_steps(self) -> bool:
        """Whether the run is counted in steps, else in epochs."""
        return self.learns_from == 'chunks'

    @property
    def rounds(self) -> int:
        """How often the run writes its policies: after each epoch, or each `round_steps`."""
        return self.steps // self.round_steps if self.steps else self.epochs or 1

    @property
    def round_steps(self) -> int:
        """Steps per round of a run that is counted in steps: a short run is judged too."""
        return min(self.validate_every or ROUND_STEPS, self.steps or ROUND_STEPS)

    @property
    def validation_period(self) -> int:
        """Rounds between validations: a short run is judged too."""
        return 1 if self.by_steps else min(self.validate_every or 1, self.rounds)


def load_train_config(path: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """The configuration in a YAML file, changed by `key=value` overrides (`loss.image=0.2`).

    Raises ConfigError.
    """
    try:
        content = read_yaml(Path(path), 'a training configuration')
    except FileError as error:
        raise ConfigError(str(error)) from None
    changed = [_override(content, text) for text in overrides]
    try:
        return TrainConfig.model_validate(content)
    except ValidationError as error:
        keys = ['.'.join(str(part) for part in detail['loc']) for detail in error.errors()]
        ours = any(_same_branch(key, other) for key in keys for other in changed)
        source = COMMAND_LINE if ours else path
        raise ConfigError(first_error_line(error, content, source)) from None


def _take_autoencoders(policy: dict[str, Any], model: type[Model]) -> tuple[str, ...]:
    """Takes the autoencoders to begin with out of the keys of `policy`."""
    key = model.autoencoder_key
    paths = policy.pop(key, None) if key else None
    if paths is None:
        if model.needs_autoencoder:
            raise ValueError(f'{key}: missing, expected the checkpoint of a trained cae')
        return ()
    paths = [paths] if isinstance(paths, str) else paths
    if not isinstance(paths, list | tuple) or not all(isinstance(path, str) for path in paths):
        raise ValueError(f'{key}: found {paths}, expected a path or a list of paths')
    return tuple(paths)


def _take_backbone_weights(policy: dict[str, Any], model: type[Model]) -> str | None:
    """Takes the weights that the backbone begins with out of the keys of `policy`."""
    if model.learns_from != 'chunks' or 'backbone_weights' not in policy:
        return None
    source = policy.pop('backbone_weights')
    if source is None:  # what `none` is to YAML, spelt `null`
        return 'none'
    if not isinstance(source, str):
        raise ValueError(f'backbone_weights: found {source}, expected imagenet, none or a path')
    return source


def _override(content: dict[str, Any], text: str) -> str:
    """Sets the key that `text` names in `content`; returns the part that validation will name."""
    key, separator, value = text.partition('=')
    if not separator or not key:
        raise ConfigError(f"{COMMAND_LINE}: '{text}', expected key=value")
    try:
        parsed = parse_yaml(value, f"{COMMAND_LINE}: '{text}'")
    except FileError as error:
        raise ConfigError(str(error)) from None
    here = content
    *parents, last = key.split('.')
    for parent in parents:
        here = here.setdefault(parent, {})
        if not isinstance(here, dict):
            raise ConfigError(f"{COMMAND_LINE}: '{key}': '{parent}' has no keys below it")
    here[last] = parsed
    return 'policy' if parents[:1] == ['policy'] else key


def _same_branch(key: str, other: str) -> bool:
    """Whether one of two dotted keys is the other or lies below it."""
    return f'{key}.'.startswith(f'{other}.') or f'{other}.'.startswith(f'{key}.')
