# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Training configuration: one YAML file and `key=value` overrides, validated before any work.

A `TrainConfig` is the configuration of one way of learning, which the kind of the policy chooses.
Each way declares the keys that it has; those that several have are declared once. Every mistake is
one line that names the file (or the command line) and the key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import (
    BaseModel,
    Field,
    TypeAdapter,
    ValidationError,
    WrapValidator,
    field_serializer,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from motion_policy.declared import Declared
from motion_policy.documents import parse_yaml, read_yaml
from motion_policy.errors import UserError
from motion_policy.files import FileError
from motion_policy.policies.action_space import ActionSpace, ActionSpaceName
from motion_policy.policies.base import DepthRange, Edge, LearnsFrom, Model
from motion_policy.policies.camera_view import CameraView
from motion_policy.policies.depth_view import DepthView
from motion_policy.policies.kinds import trained_class
from motion_policy.robot import ImageFit, RobotSpec, depth_stream
from motion_policy.robot.image_fit import Fit
from motion_policy.robot.load import error_place, first_error_line, short
from motion_policy.robot.spec import SLOWEST_HZ
from motion_policy.robot.tool import ToolSpec, with_tool
from motion_policy.robot.values import no_repeats
from motion_policy.training.config_sections import (
    ChunkAugmentationConfig,
    ChunkDataConfig,
    ChunkLossConfig,
    DataConfig,
    FeatureAugmentationConfig,
    FrameAugmentationConfig,
    HeldDataConfig,
    ImitationDataConfig,
    InterventionsConfig,
    InterventionsKey,
    LossConfig,
    LossScheduleConfig,
    SamplingConfig,
    SequenceAugmentationConfig,
)
from motion_policy.training.frame_schedule import PredictionConfig

COMMAND_LINE = 'command line'
ROUND_STEPS = 1000
COUNTED = ('epochs', 'steps', 'warmup_epochs', 'warmup_steps')  # what a run is counted in


OneSize = tuple[Edge, Edge]
ONE_SIZE = TypeAdapter[OneSize](OneSize)
OWN_SIZES = TypeAdapter[dict[str, OneSize]](dict[str, OneSize])
ONE_FIT = TypeAdapter[Fit](Fit)
OWN_FITS = TypeAdapter[dict[str, ImageFit]](dict[str, ImageFit])


class ConfigError(UserError):
    """A training configuration that says something impossible."""


def _image_size(value: Any, _: Any) -> OneSize | dict[str, OneSize]:
    own = isinstance(value, Mapping)
    return OWN_SIZES.validate_python(value) if own else ONE_SIZE.validate_python(value)


def _fit(value: Any, _: Any) -> Fit | dict[str, ImageFit] | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        return ONE_FIT.validate_python(value)
    whole = {name: {'fit': one} if isinstance(one, str) else one for name, one in value.items()}
    return OWN_FITS.validate_python(whole)


class RunConfig(Declared):
    """What every training run says. Rates in Hz, sizes (height, width)."""

    learns_from: ClassVar[LearnsFrom]
    counted_in: ClassVar[Literal['epochs', 'steps']]
    needs_camera: ClassVar[bool] = True
    single_rows: ClassVar[bool] = False  # whether an episode of one row says something

    policy: dict[str, Any] = Field(description='kind, and the hyper-parameters of that kind')
    data: DataConfig
    output: Path = Field(description='folder of the run: best/, last/, tensorboard/, resume.ckpt')
    rate: float = Field(
        default=10.0, ge=SLOWEST_HZ, le=1000, description='steps of the policy per second'
    )
    cameras: tuple[str, ...]
    image_size: Annotated[OneSize | dict[str, OneSize], WrapValidator(_image_size)] = (64, 64)
    fit: Annotated[Fit | dict[str, ImageFit] | None, WrapValidator(_fit)] = Field(
        default=None,
        description='crop, rotate and fit of cameras; unset: as the robot spec says',
    )
    batch_size: int = Field(
        default=5, ge=1, description='episodes; frames for a cae or act, clips'
    )
    learning_rate: float = Field(default=1e-3, gt=0)
    learning_rate_shape: Literal['constant', 'cosine'] = 'constant'
    gradient_clip: float = Field(default=0.0, ge=0, description='largest norm; 0: none')
    average: float = Field(
        default=0.0, ge=0, lt=1, description='decay of a running mean of the weights; 0: none'
    )
    seed: int = 0
    threads: int | None = Field(default=None, ge=1, description='of the CPU; all cores if unset')
    device: str = Field(default='auto', pattern=r'^(auto|cpu|cuda(:\d+)?)$')
    devices: int = Field(default=1, ge=1, description='GPUs, or processes on a CPU')
    nodes: int = Field(default=1, ge=1)
    precision: Literal['32-true', 'bf16-mixed', '16-mixed'] = '32-true'
    validate_every: int | None = Field(
        default=None, ge=1, description='epochs, unset: 1; steps for act, unset: 1000'
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

    @field_validator('cameras', mode='before')
    @classmethod
    def _one_camera_is_a_list(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_serializer('fit')
    def _fit_as_given(self, value: Fit | dict[str, ImageFit] | None) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: f.model_dump(mode='json', exclude_unset=True) for name, f in value.items()}

    @model_validator(mode='after')
    def _names_cameras(self) -> RunConfig:
        no_repeats('cameras', self.cameras)
        for key, given in (('image_size', self.image_size), ('fit', self.fit)):
            if not isinstance(given, dict):
                continue
            for name in given:
                if name not in self.images:
                    known = ', '.join(self.images) or 'none'
                    raise ValueError(f"{key}: camera '{name}' is not one of cameras: {known}")
        for name in self.images:
            if isinstance(self.image_size, dict) and name not in self.image_size:
                raise ValueError(
                    f"image_size: camera '{name}' is missing, expected [height, width] of each"
                )
        return self

    @model_validator(mode='after')
    def _sees(self) -> RunConfig:
        if self.needs_camera and not self.images:
            raise ValueError(f"cameras: found none, a '{self.kind}' needs at least one")
        return self

    @property
    def images(self) -> tuple[str, ...]:
        """What is seen: the cameras, then depth cameras, by the names of their streams."""
        return (*self.cameras, *map(depth_stream, seen_depth(self)))

    def size_of(self, camera: str) -> OneSize:
        """Height and width in which the network sees a camera."""
        return self.image_size[camera] if isinstance(self.image_size, dict) else self.image_size

    def view(self, camera: str, robot: RobotSpec) -> CameraView:
        """What is seen of a camera of a robot: as its spec says, but for what this one says.

        ConfigError for a crop that is not within the camera's image.
        """
        sends = robot.image_topics[camera]
        given: dict[str, Any] = {}
        if isinstance(self.fit, str):
            given = {'fit': self.fit}
        elif self.fit is not None and camera in self.fit:
            given = self.fit[camera].model_dump(exclude_unset=True)
        options = ImageFit(**{**sends.image_fit.model_dump(), **given})
        try:
            options.check_within((sends.height, sends.width))
        except ValueError as error:
            raise ConfigError(f'fit.{camera}: {error}') from None
        known = camera, (sends.height, sends.width), self.size_of(camera), options
        ranges = {depth_stream(name): metres for name, metres in seen_depth(self).items()}
        return DepthView(*known, *ranges[camera]) if camera in ranges else CameraView(*known)

    @property
    def kind(self) -> str:
        """The kind of policy."""
        return str(self.policy['kind'])

    @property
    def model(self) -> type[Model]:
        """Its class."""
        return trained_class(self.kind)

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
        """What its encoders begin with: 'imagenet', 'none' or a file; None: as suits them."""
        return _take_backbone_weights(dict(self.policy), self.model)

    @property
    def by_steps(self) -> bool:
        """Whether the run is counted in steps of the optimiser, else in epochs."""
        return self.counted_in == 'steps'


class EpochsConfig(RunConfig):
    """A run that is counted in epochs: its policies are written after each."""

    counted_in = 'epochs'
    round_length: ClassVar[int] = 1

    epochs: int | None = Field(
        default=None, ge=1, description='one epoch shows every episode once; not for act'
    )
    warmup_epochs: int = Field(default=0, ge=0)

    @model_validator(mode='after')
    def _counted(self) -> EpochsConfig:
        if self.epochs is None:
            raise ValueError('epochs: missing, expected how many to train')
        return self

    @property
    def length(self) -> int:
        """How many epochs are trained."""
        return self.epochs or 1

    @property
    def warmup(self) -> int:
        """In how many of them the learning rate rises."""
        return self.warmup_epochs

    @property
    def rounds(self) -> int:
        """How often the run writes its policies."""
        return self.length

    @property
    def validation_period(self) -> int:
        """Rounds between validations: a short run is judged too."""
        return min(self.validate_every or 1, self.rounds)


class StepsConfig(RunConfig):
    """A run that is counted in steps: its policies are written after each `round_length`."""

    counted_in = 'steps'
    validation_period: ClassVar[int] = 1

    steps: int | None = Field(
        default=None, ge=1, description='of the optimiser, in place of epochs; for act'
    )
    warmup_steps: int = Field(default=0, ge=0)

    @model_validator(mode='after')
    def _counted(self) -> StepsConfig:
        if self.steps is None:
            raise ValueError('steps: missing, expected how many to train')
        if self.steps % self.round_length:
            raise ValueError(
                f'steps: found {self.steps}, expected a multiple of '
                f'validate_every={self.round_length}'
            )
        return self

    @property
    def length(self) -> int:
        """How many steps are trained."""
        return self.steps or 1

    @property
    def warmup(self) -> int:
        """In how many of them the learning rate rises."""
        return self.warmup_steps

    @property
    def round_length(self) -> int:
        """Steps between policies that are written: a short run is judged too."""
        return min(self.validate_every or ROUND_STEPS, self.length)

    @property
    def rounds(self) -> int:
        """How often the run writes its policies."""
        return self.length // self.round_length


class TargetKey(Declared):
    """What is predicted."""

    target: Literal['action', 'qpos'] = 'action'


class EffortKey(Declared):
    """What is seen of the robot."""

    effort: bool = Field(default=False, description='joint efforts are seen and predicted too')
    inputs: tuple[str, ...] = Field(
        default=(), description="vectors of the robot's that are seen, too; by their names"
    )

    @model_validator(mode='after')
    def _each_input_once(self) -> EffortKey:
        no_repeats('inputs', self.inputs)
        return self


class ActionSpaceKey(Declared):
    """What is predicted in place of joint targets."""

    action_space: ActionSpaceName = Field(
        default='joints', description='joints, joints_relative, tool or tool_relative'
    )
    absolute_joints: tuple[str, ...] | None = Field(
        default=None,
        description='joints that joints_relative leaves as they are, beside joints.velocities; '
        'unset: joints.grippers',
    )
    tool: ToolSpec | None = Field(
        default=None,
        description="whose place is predicted, or reported of joints; unset: the robot spec's",
    )

    @model_validator(mode='after')
    def _belongs_together(self) -> ActionSpaceKey:
        if self.absolute_joints is not None and self.action_space != 'joints_relative':
            raise ValueError(
                f"absolute_joints: found with action_space '{self.action_space}', expected "
                'joints_relative'
            )
        return self


class DepthKey(Declared):
    """What is seen of depth."""

    depth: dict[str, DepthRange] = Field(
        default_factory=dict,
        description='depth cameras that are seen, too, each with its range [near, far] in m',
    )


class TermsConfig(TargetKey, DepthKey, EpochsConfig):
    """A run whose loss has a term for each thing that is predicted."""

    loss: LossConfig = LossConfig()
    loss_schedule: LossScheduleConfig = LossScheduleConfig()


class EpisodesConfig(ActionSpaceKey, EffortKey, TermsConfig):
    """A run in which a recurrent policy learns from whole episodes."""

    data: ImitationDataConfig
    bptt_steps: int | None = Field(
        default=None, ge=1, description='steps after which gradients are cut; unset: never'
    )
    scheduled_sampling: SamplingConfig = SamplingConfig()

    @model_validator(mode='after')
    def _mixes_in_joints(self) -> EpisodesConfig:
        sampled = self.scheduled_sampling.joint
        if sampled and self.action_space != 'joints':
            raise ValueError(
                f'scheduled_sampling.joint: found {sampled}, but with action_space '
                f"'{self.action_space}' no joints are predicted that could be mixed in"
            )
        return self


class SequenceConfig(EpisodesConfig):
    """Of a policy that learns from episodes as they were seen."""

    learns_from = 'sequences'

    image_loss_frames: int | None = Field(
        default=None,
        ge=1,
        description='frames per episode on which the image is predicted, drawn anew; unset: all',
    )
    augmentation: SequenceAugmentationConfig = SequenceAugmentationConfig()

    @model_validator(mode='after')
    def _mixes_in_what_is_learnt(self) -> SequenceConfig:
        sampled = self.scheduled_sampling.image
        if sampled and not self.loss.image:
            raise ValueError(
                f'scheduled_sampling.image: found {sampled}, but with loss.image=0 no image is '
                'learnt that could be mixed in'
            )
        return self


class FeatureConfig(EpisodesConfig):
    """Of a policy that learns from episodes of image features."""

    learns_from = 'features'

    augmentation: FeatureAugmentationConfig = FeatureAugmentationConfig()


class FrameConfig(TermsConfig):
    """Of an autoencoder, which learns from single frames."""

    learns_from = 'frames'
    single_rows = True

    frames_per_epoch: int | None = Field(
        default=None, ge=1, description='drawn anew for each epoch of a cae; unset: all'
    )
    augmentation: FrameAugmentationConfig = FrameAugmentationConfig()


class ChunkConfig(ActionSpaceKey, EffortKey, TargetKey, DepthKey, StepsConfig):
    """Of a policy that learns from single rows and the actions that followed."""

    learns_from = 'chunks'
    needs_camera = False
    single_rows = True

    data: ChunkDataConfig
    learning_rate_backbone: float | None = Field(
        default=None, gt=0, description='of what sees the images; unset: learning_rate'
    )
    weight_decay: float = Field(default=0.0, ge=0, description='of AdamW')
    loss: ChunkLossConfig = ChunkLossConfig()
    validation_frames: int = Field(
        default=512, ge=1, description='of all that may be judged on, evenly spread'
    )
    augmentation: ChunkAugmentationConfig = ChunkAugmentationConfig()


class ClipConfig(EpochsConfig):
    """Of a frame predictor, which learns from short clips."""

    learns_from = 'clips'

    data: HeldDataConfig
    prediction: PredictionConfig = Field(
        default=PredictionConfig(), description='how a frame_predictor is trained'
    )


TrainConfig = SequenceConfig | FeatureConfig | FrameConfig | ChunkConfig | ClipConfig
WAYS: dict[LearnsFrom, type[TrainConfig]] = {way.learns_from: way for way in get_args(TrainConfig)}


def predicted_target(config: TrainConfig) -> Literal['action', 'qpos']:
    """What the model predicts one step ahead, if it does."""
    return config.target if isinstance(config, TargetKey) else 'action'


def sees_effort(config: TrainConfig) -> bool:
    """Whether joint efforts are seen, too."""
    return isinstance(config, EffortKey) and config.effort


def seen_vectors(config: TrainConfig) -> tuple[str, ...]:
    """The vectors of the robot that are seen, too."""
    return config.inputs if isinstance(config, EffortKey) else ()


def action_space(config: TrainConfig, robot: RobotSpec) -> ActionSpace:
    """What is predicted, of a robot that has the tool of the configuration if that names one.

    ConfigError where the robot does not have what it needs.
    """
    if not isinstance(config, ActionSpaceKey):
        return ActionSpace('joints', robot, config.rate)
    absolute = config.absolute_joints
    if absolute is None:
        absolute = tuple(robot.joints.grippers)
    joints = robot.joints
    absolute = (*absolute, *(name for name in joints.velocities if name not in absolute))
    if config.action_space != 'joints_relative':
        absolute = ()
    try:
        return ActionSpace(config.action_space, robot, config.rate, absolute)
    except (ValueError, UserError) as error:
        raise ConfigError(str(error)) from None


def weighed_interventions(config: RunConfig) -> InterventionsConfig | None:
    """What corrections count; None: as much as everything else."""
    return config.data.interventions if isinstance(config.data, InterventionsKey) else None


def seen_depth(config: RunConfig) -> dict[str, tuple[float, float]]:
    """The depth cameras that are seen, too, with their ranges [m]."""
    return config.depth if isinstance(config, DepthKey) else {}


def load_train_config(path: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """The configuration in a YAML file, changed by `key=value` overrides (`loss.image=0.2`).

    Raises ConfigError.
    """
    try:
        content = read_yaml(Path(path), 'a training configuration')
    except FileError as error:
        raise ConfigError(str(error)) from None
    changed = [_override(content, text) for text in overrides]
    return train_config(content, path, changed)


def train_config(
    content: dict[str, Any],
    source: str | Path = 'training configuration',
    overridden: Sequence[str] = (),
) -> TrainConfig:
    """The configuration that a mapping holds.

    Args:
        content: what a YAML file has.
        source: what is named where something is wrong in it.
        overridden: dotted keys for which the command line is named instead.

    Raises ConfigError.
    """

    def place(key: str) -> str | Path:
        return COMMAND_LINE if any(_same_branch(key, other) for other in overridden) else source

    way = _way_of(content)
    own, foreign = _own_keys(content, way or SequenceConfig, list(WAYS.values()))
    if way is not None and foreign:
        key, value = min(foreign, key=lambda found: found[0] not in COUNTED)
        kind = content['policy']['kind']
        reason = f'is trained by {way.counted_in}' if key in COUNTED else 'has no use for it'
        raise ConfigError(f"{place(key)}: {key}: found {short(value)}, but a '{kind}' {reason}")
    try:
        own = with_tool(own, place('tool'))
    except UserError as error:
        raise ConfigError(str(error)) from None
    try:
        return (way or SequenceConfig).model_validate(own)
    except ValidationError as error:
        keys = [_key_of(detail) for detail in error.errors()]
        ours = any(place(key) == COMMAND_LINE for key in keys)
        line = first_error_line(error, content, COMMAND_LINE if ours else source)
        raise ConfigError(line) from None


def _key_of(detail: ErrorDetails) -> str:
    """The dotted key that an error is about; what several keys say together names it itself."""
    key = '.'.join(str(part) for part in error_place(detail))
    return key or detail['msg'].removeprefix('Value error, ').partition(':')[0]


def _way_of(content: dict[str, Any]) -> type[TrainConfig] | None:
    """How the policy learns; None if `policy` names none that does, which validation will tell."""
    policy = content.get('policy')
    try:
        form = trained_class(policy.get('kind')).learns_from if isinstance(policy, dict) else None
    except UserError:
        return None
    return WAYS[form] if form else None


def _own_keys(
    given: dict[str, Any], mine: type[BaseModel] | None, known: Sequence[type[BaseModel]]
) -> tuple[dict[str, Any], list[tuple[str, Any]]]:
    """Parts a section into the keys to validate, and those that only other ways of learning have.

    Of these, such as say the default go: files of before have them, written by hand or by a run.

    Args:
        given: the section as it was read.
        mine: what it may hold; None where only others have such a section.
        known: what it may hold for any way.
    """
    own: dict[str, Any] = {}
    foreign: list[tuple[str, Any]] = []
    for key, value in given.items():
        field = mine.model_fields.get(key) if mine else None
        fields = [way.model_fields[key] for way in known if key in way.model_fields]
        sections = [section for section in map(_section, fields) if section]
        if sections and isinstance(value, dict):
            part, rest = _own_keys(value, _section(field) if field else None, sections)
            foreign += [(f'{key}.{name}', found) for name, found in rest]
            if field:
                own[key] = part
        elif field or (mine and not fields):
            own[key] = value
        elif not (fields and _is_default(fields[0], value)):
            foreign.append((key, value))
    return own, foreign


def _section(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type(BaseModel)) else None


def _is_default(field: FieldInfo, value: Any) -> bool:
    kind: Any = field.annotation
    try:
        return bool(TypeAdapter(kind).validate_python(value) == field.default)
    except ValidationError:
        return False


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
