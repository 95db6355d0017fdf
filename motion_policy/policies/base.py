# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`Model` and `Policy`: a network beside the spec that describes it.

A policy turns an observation into an action chunk. Its caller speaks robot units and camera
pixels; cropping, resizing and normalising happen inside, by the functions that training uses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Protocol

import torch
from pydantic import AfterValidator, BaseModel, Field, model_validator
from torch import Tensor, nn
from typing_extensions import NotRequired, TypedDict

from motion_policy.declared import Declared
from motion_policy.policies.action_space import ActionSpace, ActionSpaceName
from motion_policy.policies.camera_view import CameraView
from motion_policy.policies.depth_bytes import depth_bytes
from motion_policy.policies.depth_view import DepthView
from motion_policy.policies.foresight_limits import ForesightLimits
from motion_policy.policies.limits import MOST_PIXELS
from motion_policy.policies.normalisation import (
    Normalisation,
    Scaling,
    Statistics,
    to_unit_images,
)
from motion_policy.robot import ImageFit, RobotSpec, depth_stream
from motion_policy.robot.image_fit import Size
from motion_policy.robot.spec import FARTHEST_MM, SLOWEST_HZ, DepthSpec

FORMAT: Literal['motion_policy/policy/1'] = 'motion_policy/policy/1'

# In what form a model gets the demonstrations: whole episodes as they were seen, episodes of image
# features that stay, single frames, single rows with the actions that followed, or short clips.
LearnsFrom = Literal['sequences', 'features', 'frames', 'chunks', 'clips']

Edge = Annotated[int, Field(ge=1, le=MOST_PIXELS)]


class ObservationBatch(TypedDict):
    """What a policy is told: qpos (B, J) float32 in robot units, images {camera: (B, H, W, 3)
    uint8 RGB} as the cameras send them, and effort (B, J) and inputs (B, I) float32, the columns
    of its vectors one after the other, where the policy was trained with them.

    Depth stands among the images by the name of its stream (`depth_top`): millimetres (B, H, W)
    of any whole type, or their bytes (B, H, W, 2) uint8, the low one first.

    Images (B, h, w, 3) uint8 that are as the policy sees them stand in `seen`, by camera; what is
    there counts in place of `images`. Of depth they are (B, h, w, 2), see `depth_bytes`.
    """

    qpos: Tensor
    images: dict[str, Tensor]
    seen: NotRequired[dict[str, Tensor]]
    effort: NotRequired[Tensor]
    inputs: NotRequired[Tensor]


class BackEnd(Protocol):
    """What takes a policy's steps faster than its own forward; see `backends`."""

    name: str
    precision: str

    def takes(self, observation: ObservationBatch, explain: bool) -> bool:
        """Whether it can take this step."""

    def act(
        self, observation: ObservationBatch, state: Any, explain: bool
    ) -> tuple[Tensor, Any, dict[str, Tensor]]:
        """One step -> actions (B, k, A) as `Policy.predict`, next state, extras."""


class CameraFit(ImageFit):
    """What a policy sees of a camera's image, and in which size (height, width)."""

    size: tuple[Edge, Edge] | None = Field(
        default=None, description='height, width that the network sees; unset: image_size'
    )


def said_fits(views: Sequence[CameraView]) -> dict[str, CameraFit]:
    """What a checkpoint says of its cameras; nothing where all are stretched to one size."""
    alike = len({view.size for view in views}) < 2
    if alike and all(view.options.is_plain for view in views):
        return {}
    return {view.camera: CameraFit(**view.options.model_dump(), size=view.size) for view in views}


def _in_order(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] >= value[1]:
        raise ValueError(f'found {list(value)}, expected [near, far] in m, near < far')
    return value


Metres = Annotated[float, Field(ge=0, le=FARTHEST_MM / 1000)]
# What a policy tells apart of depth: near, far.
DepthRange = Annotated[tuple[Metres, Metres], AfterValidator(_in_order)]


class PolicySpec(Declared):
    """All that `policy.yaml` holds: enough to rebuild the policy and to know where it is from."""

    format: Literal['motion_policy/policy/1'] = FORMAT
    kind: str
    rate: float = Field(
        ge=SLOWEST_HZ, le=1000, description='Hz: one step of the policy per period'
    )
    cameras: tuple[str, ...]
    image_size: tuple[Edge, Edge] = Field(description='height, width that the network sees')
    fit: dict[str, CameraFit] = Field(
        default_factory=dict,
        description='per camera: crop, rotate, fit and size; else the whole image is stretched',
    )
    depth: dict[str, DepthRange] = Field(
        default_factory=dict,
        description='range [near, far] in m of each depth camera; cameras has their streams',
    )
    target: Literal['action', 'qpos'] = Field(
        default='action',
        description='what row 0 predicts one period ahead: the leader or the follower',
    )
    effort: bool = Field(
        default=False, description='joint efforts are an input, and are predicted too'
    )
    inputs: tuple[str, ...] = Field(
        default=(), description="vectors of the robot's that are an input, too"
    )
    action_space: ActionSpaceName = Field(
        default='joints', description='what is predicted in place of joint targets'
    )
    absolute_joints: tuple[str, ...] = Field(
        default=(), description='joints that joints_relative leaves as they are'
    )
    hyper: dict[str, Any] = Field(default_factory=dict)
    normalisation: Normalisation
    robot: RobotSpec
    data: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, float] = Field(default_factory=dict)
    foresight: ForesightLimits | None = Field(
        default=None, description='how wrong its predicted frames may be before that is an alarm'
    )
    software: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode='after')
    def _fits_robot(self) -> PolicySpec:
        joints = len(self.robot.joints.names)
        ranges = self.normalisation
        if self.effort and ranges.effort is None:
            raise ValueError('effort is an input, but normalisation.effort is missing')
        self._check_inputs()
        target = ranges.qpos if self.target == 'qpos' else ranges.action
        given = {'qpos': ranges.qpos, 'action': target, 'effort': ranges.effort}
        for name, values in given.items():
            if values is not None and len(values.offset) != joints:
                raise ValueError(
                    f'normalisation.{name} has {len(values.offset)} values, '
                    f'the robot {joints} joints'
                )
        for camera in self.cameras:
            if self.cameras.count(camera) > 1:
                raise ValueError(f"camera '{camera}' stands twice in cameras, expected it once")
            if camera not in self.robot.image_topics:
                known = ', '.join(self.robot.image_topics) or 'none'
                raise ValueError(f"camera '{camera}' is not one of the robot's: {known}")
        self._check_depth()
        self._check_fit()
        self._check_space()
        return self

    def _check_space(self) -> None:
        space, found = self.space, self.normalisation.target
        count = 0 if self.action_space == 'joints' else len(space.columns)
        if (0 if found is None else len(found.offset)) != count:
            raise ValueError(
                f'normalisation.target has {0 if found is None else len(found.offset)} values, '
                f"action_space '{self.action_space}' {count}"
            )

    def _check_fit(self) -> None:
        for camera, fit in self.fit.items():
            if camera not in self.cameras:
                known = ', '.join(self.cameras) or 'none'
                raise ValueError(f"fit: camera '{camera}' is not one of cameras: {known}")
            sends = self.robot.image_topics[camera]
            try:
                fit.check_within((sends.height, sends.width))
            except ValueError as error:
                raise ValueError(f'fit.{camera}: {error}') from None

    def _check_depth(self) -> None:
        seen = [c for c in self.cameras if isinstance(self.robot.image_topics[c], DepthSpec)]
        if sorted(seen) != sorted(map(depth_stream, self.depth)):
            raise ValueError(
                f'depth has ranges of {", ".join(self.depth) or "none"}, expected one of each '
                f'depth camera in cameras: {", ".join(seen) or "none"}'
            )

    def _check_inputs(self) -> None:
        for name in self.inputs:
            if name not in self.robot.vectors:
                known = ', '.join(self.robot.vectors) or 'none'
                raise ValueError(f"inputs: '{name}' is not one of the robot's vectors: {known}")
            if self.inputs.count(name) > 1:
                raise ValueError(f"inputs: '{name}' stands twice, expected it once")
        found = 0 if self.normalisation.inputs is None else len(self.normalisation.inputs.offset)
        if found != len(self.input_columns):
            raise ValueError(
                f'normalisation.inputs has {found} values, inputs have {len(self.input_columns)}'
            )

    def size_of(self, camera: str) -> Size:
        """Height and width in which the network sees a camera."""
        fit = self.fit.get(camera)
        return self.image_size if fit is None or fit.size is None else fit.size

    @property
    def sizes(self) -> tuple[Size, ...]:
        """The same of every camera, in their order."""
        return tuple(map(self.size_of, self.cameras))

    def view(self, camera: str) -> CameraView:
        """What is seen of a camera: what brings its images to how the network sees them."""
        sends, fit = self.robot.image_topics[camera], self.fit.get(camera, ImageFit())
        options = ImageFit(crop=fit.crop, rotate=fit.rotate, fit=fit.fit)
        known = camera, (sends.height, sends.width), self.size_of(camera), options
        ranges = {depth_stream(name): metres for name, metres in self.depth.items()}
        return DepthView(*known, *ranges[camera]) if camera in ranges else CameraView(*known)

    @property
    def input_columns(self) -> tuple[str, ...]:
        """What each of the numbers of the vectors that are an input is."""
        return tuple(n for name in self.inputs for n in self.robot.vectors[name].numbers)

    @property
    def space(self) -> ActionSpace:
        """What is predicted, and how it becomes joint targets."""
        return ActionSpace(self.action_space, self.robot, self.rate, self.absolute_joints)

    @property
    def target_range(self) -> Statistics:
        """By what the predicted target is normalised."""
        if self.normalisation.target is not None:
            return self.normalisation.target
        return self.normalisation.qpos if self.target == 'qpos' else self.normalisation.action


class Model(nn.Module):
    """What stands in a checkpoint folder: networks, and the spec from which they were made.

    Attributes:
        kind: the name of the family, as configurations and checkpoints have it.
        Config: its hyper-parameters, a `Declared`.
        learns_from: in which form it gets the demonstrations; None: it is not trained.
        autoencoder_key: the key of a training's `policy` that names trained autoencoders to begin
            with; None: there is no such key.
        needs_autoencoder: whether it can begin in no other way.
        predicts_target: whether it predicts joints, those that the spec calls `target`.
        sensors: how what is seen beside images is scaled, by its name in an observation; in the
            order of the vector.
        views: how it sees the images of each camera.
        space: what it predicts in place of joint targets.
    """

    kind: ClassVar[str]
    Config: ClassVar[type[BaseModel]]
    learns_from: ClassVar[LearnsFrom | None] = None
    autoencoder_key: ClassVar[str | None] = None
    needs_autoencoder: ClassVar[bool] = False
    predicts_target: ClassVar[bool] = True

    def __init__(self, spec: PolicySpec) -> None:
        super().__init__()
        self.config = self.Config.model_validate(spec.hyper)
        # A checkpoint says every hyper-parameter, also those that were left at their defaults.
        self.spec = spec.model_copy(update={'hyper': self.config.model_dump(mode='json')})
        self.views = {camera: spec.view(camera) for camera in spec.cameras}
        if spec.action_space != 'joints' and not isinstance(self, Policy):
            raise ValueError(
                f"action_space: found '{spec.action_space}', but a '{spec.kind}' has no use for it"
            )
        self.space = spec.space
        self.source = spec.kind  # where it was loaded from, for messages
        self.normalise_qpos = Scaling(spec.normalisation.qpos)
        self.normalise_target = Scaling(spec.target_range)
        effort, inputs = spec.normalisation.effort, spec.normalisation.inputs
        self.normalise_effort = Scaling(effort) if spec.effort and effort else None
        self.normalise_inputs = Scaling(inputs) if inputs else None
        scalings = {
            'qpos': self.normalise_qpos,
            'effort': self.normalise_effort,
            'inputs': self.normalise_inputs,
        }
        self.sensors = {name: scaling for name, scaling in scalings.items() if scaling is not None}

    @property
    def device(self) -> torch.device:
        return self.normalise_qpos.offset.device

    @property
    def period_ns(self) -> int:
        return round(1e9 / self.spec.rate)

    @property
    def joint_names(self) -> tuple[str, ...]:
        return tuple(self.spec.robot.joints.names)

    @property
    def cameras(self) -> tuple[str, ...]:
        return self.spec.cameras

    @property
    def vector_dim(self) -> int:
        """Values per step beside the images: joints, and efforts and vectors where used."""
        return sum(scaling.count for scaling in self.sensors.values())

    @property
    def predicted_dim(self) -> int:
        """Values that a recurrent policy predicts: actions, and efforts where they are used."""
        return self.action_dim + (len(self.joint_names) if self.spec.effort else 0)

    @property
    def action_dim(self) -> int:
        """Values A of one action in its space; in that of joints there are J."""
        return self.normalise_target.count

    def scaled(self, values: Sequence[Tensor]) -> Tensor:
        """What `sensors` saw, (..., n) each in that order -> one normalised vector (..., V)."""
        parts = [s(value) for s, value in zip(self.sensors.values(), values, strict=True)]
        return torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0]


class Policy(Model, ABC):
    """A model that can move a robot. One subclass per family: `initial_state`, `infer`.

    Attributes:
        back_end: what takes the steps that it can take; None: the policy itself takes all.
    """

    back_end: BackEnd | None = None

    @property
    def chunk_rows(self) -> int:
        """Rows of every chunk; a policy with one is asked once per period."""
        return 1

    @property
    def first_due_ns(self) -> int:
        """How long after the observation the targets of row 0 are to be reached."""
        return self.period_ns

    @abstractmethod
    def initial_state(self, batch_size: int) -> Any:
        """The state before the first step, on the policy's device; None if it has none."""

    @abstractmethod
    def infer(
        self, images: dict[str, Tensor], vector: Tensor, state: Any, explain: bool
    ) -> tuple[Tensor, Any, dict[str, Tensor]]:
        """In network units: images (B, 3, h, w), vector (B, V) -> targets (B, k, A), state, more.

        `vector` holds the joint positions, then efforts and vectors if the spec asks for them.
        With `explain` false nothing is computed that the targets do not need.
        """

    @torch.inference_mode()
    def act(self, observation: ObservationBatch, state: Any) -> tuple[Tensor, Any]:
        """One step -> (chunk (B, k, A) float32 in robot units, next state).

        Row i of the chunk is to be sent i periods after the observation.
        """
        chunk, state, _ = self._act(observation, state, explain=False)
        return chunk, state

    @torch.inference_mode()
    def act_and_explain(
        self, observation: ObservationBatch, state: Any
    ) -> tuple[Tensor, Any, dict[str, Tensor]]:
        """`act`, and what the policy attended to and expects to see, from the same forward.

        Chunk (B, k, J) in robot units, next state, and extras as the family's `infer` names them;
        of one that predicts poses of the tool `tool_pose`, as `ActionSpace.poses`, too.
        """
        return self._act(observation, state, explain=True)

    def explain(self, observation: ObservationBatch, state: Any) -> dict[str, Tensor]:
        """The extras alone, (B, ...) each; `state` is from before this observation and stays."""
        return self.act_and_explain(observation, state)[2]

    def _act(
        self, observation: ObservationBatch, state: Any, explain: bool
    ) -> tuple[Tensor, Any, dict[str, Tensor]]:
        actions, state, extras = self.predict(observation, state, explain)
        if explain and self.space.of_tool:
            extras = {**extras, 'tool_pose': self.space.poses(actions, observation['qpos'])}
        return self.space.joints(actions, observation['qpos']), state, extras

    @torch.inference_mode()
    def predict(
        self, observation: ObservationBatch, state: Any, explain: bool
    ) -> tuple[Tensor, Any, dict[str, Tensor]]:
        """As `act_and_explain`, but actions (B, k, A) in the action space of the policy."""
        back_end = self.back_end
        if back_end is not None and back_end.takes(observation, explain):
            return back_end.act(observation, state, explain)
        vector = self.scaled(self.sensor_values(observation))
        if state is None:
            state = self.initial_state(len(vector))
        images = {camera: self._image(observation, camera) for camera in self.cameras}
        targets, state, extras = self.infer(images, vector, state, explain)
        return self.normalise_target.inverse(targets.float()), state, extras

    def sensor_values(self, observation: ObservationBatch) -> list[Tensor]:
        """What is seen beside images, (B, n) of each of `sensors`, on the policy's device.

        ValueError where one is missing, or has another number of values.
        """
        found = []
        for name, scaling in self.sensors.items():
            values: Any = observation.get(name)
            count = scaling.count
            if values is None:
                raise ValueError(f'the observation has no {name}, which this policy needs')
            if values.ndim != 2 or values.shape[1] != count:
                raise ValueError(f'{name} is {tuple(values.shape)}, expected (batch, {count})')
            found.append(values.to(self.device, torch.float32))
        return found

    def ready_image(self, observation: ObservationBatch, camera: str) -> Tensor | None:
        """The image (B, h, w, 3) of a camera where it is as the policy sees it; None: it is not.

        ValueError as of `seen_image`.
        """
        view = self.views[camera]
        seen = observation.get('seen', {}).get(camera)
        if seen is not None:
            _check_image(seen, camera, view.channels, view.size)
            return seen
        image = observation.get('images', {}).get(camera)
        if image is None:
            raise ValueError(f"the observation has no camera '{camera}'")
        if _is_numbers(image, view):
            return None
        _check_image(image, camera, view.channels)
        return image if view.leaves((image.shape[1], image.shape[2])) else None

    def seen_image(self, observation: ObservationBatch, camera: str) -> Tensor:
        """The image (B, h, w, 3) uint8 of a camera as the policy sees it, on its device.

        ValueError if there is none, it is something else, or a crop is meant for another size.
        """
        ready = self.ready_image(observation, camera)
        if ready is not None:
            return ready.to(self.device)
        view, image = self.views[camera], observation['images'][camera].to(self.device)
        return view(depth_bytes(image) if _is_numbers(image, view) else image)

    def _image(self, observation: ObservationBatch, camera: str) -> Tensor:
        return to_unit_images(self.seen_image(observation, camera))


def _is_numbers(image: Tensor, view: CameraView) -> bool:
    """Whether an image of depth (B, H, W) holds millimetres, not their bytes."""
    whole = not (image.is_floating_point() or image.is_complex())
    return view.channels == 2 and image.ndim == 3 and whole


def _check_image(image: Tensor, camera: str, channels: int, size: Size | None = None) -> None:
    """ValueError unless an image (B, H, W, C) is uint8, of a size if one is given."""
    wrong_size = size is not None and tuple(image.shape[1:3]) != tuple(size)
    if image.ndim != 4 or image.shape[-1] != channels or image.dtype != torch.uint8 or wrong_size:
        shape = 'height, width' if size is None else f'{size[0]}, {size[1]}'
        raise ValueError(
            f"camera '{camera}' gives {tuple(image.shape)} {image.dtype}, "
            f'expected (batch, {shape}, {channels}) uint8'
        )
