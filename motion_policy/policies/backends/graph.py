# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""One step of a policy as a graph of named tensors, which other run times can execute.

Batch size is 1. Everything is inside but the way of images to what the network sees (crop,
rotation, size): pixels and robot units in, robot units out.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from motion_policy.errors import UserError
from motion_policy.policies.act.act import ACTPolicy
from motion_policy.policies.base import ObservationBatch, Policy
from motion_policy.policies.normalisation import Scaling, to_unit_images

OPSET = 18


@dataclass(frozen=True)
class StepNames:
    """What goes in and comes out, in order.

    In: `qpos` (1, J) and, where the policy uses them, `effort` (1, J) and `inputs` (1, I) float32
    in robot units; `image/CAM` (1, h, w, 3) uint8 RGB per camera,
    (1, h, w, 2) of depth, see `depth_bytes`; `state/N`, float32, as it came
    out of the step before, zeros at first. Out: `chunk` (1, k, A) float32 in robot units;
    `state/N`, called `next/N`; ACT's `attention/CAM` (1, h', w').
    """

    inputs: tuple[str, ...]
    states: int
    extras: tuple[str, ...]

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of everything that comes out."""
        following = tuple(f'next/{index}' for index in range(self.states))
        return ('chunk', *following, *self.extras)


def step_names(policy: Policy) -> StepNames:
    """The names for one policy."""
    states = len(policy.initial_state(1) or ())
    sensors = list(policy.sensors)
    sensors += [f'image/{camera}' for camera in policy.cameras]
    extras = [f'attention/{camera}' for camera in policy.cameras] if explains(policy) else []
    return StepNames(
        (*sensors, *(f'state/{index}' for index in range(states))), states, tuple(extras)
    )


def explains(policy: Policy) -> bool:
    """Whether the graph holds the policy's extras too: where they cost next to nothing."""
    return isinstance(policy, ACTPolicy) and not policy.sees_points


def step_inputs(policy: Policy, observation: ObservationBatch, state: Any) -> list[Tensor]:
    """The tensors that an observation of batch size 1 and a state become, in order.

    Joints and efforts (1, J), vectors (1, I), images (1, h, w, 3) as the network sees them, the
    state's tensors. ValueError for a tensor of a wrong shape.
    """
    parts = policy.sensor_values(observation)
    for camera in policy.cameras:
        parts.append(policy.seen_image(observation, camera).contiguous())
    parts += policy.initial_state(1) or () if state is None else state
    return parts


class Step(nn.Module):
    """`policy` as a function of the tensors that `StepNames` tells of: `qpos` (1, J), ..."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.policy = policy
        self.names = step_names(policy)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        policy, given = self.policy, dict(zip(self.names.inputs, inputs, strict=True))
        vector = policy.scaled([given[name] for name in policy.sensors])
        images = {camera: to_unit_images(given[f'image/{camera}']) for camera in policy.cameras}
        state = tuple(given[f'state/{index}'] for index in range(self.names.states)) or None
        targets, state, extras = policy.infer(images, vector, state, bool(self.names.extras))
        chunk = policy.normalise_target.inverse(targets.float())
        return chunk, *(state or ()), *(extras[name] for name in self.names.extras)


def random_observation(policy: Policy, seed: int) -> ObservationBatch:
    """An observation as it may come: joints in the range of the data, images of patches and noise.

    Of batch size 1, on the policy's device, with images as the network sees them.
    """
    generator = torch.Generator().manual_seed(seed)

    def drawn(scaling: Scaling) -> Tensor:
        values = torch.rand(1, scaling.count, generator=generator)
        return scaling.inverse(values.to(policy.device))

    observation: Any = {name: drawn(scaling) for name, scaling in policy.sensors.items()}
    observation['images'] = observation['seen'] = {}
    for camera, (height, width) in zip(policy.cameras, policy.spec.sizes, strict=True):
        coarse = torch.rand(1, 3, 4, 4, generator=generator)
        patches = nn.functional.interpolate(coarse, (height, width)).permute(0, 2, 3, 1)
        noise = torch.rand(1, height, width, 3, generator=generator)
        image = (255 * (0.75 * patches + 0.25 * noise)).round().byte()
        channels = policy.views[camera].channels  # of depth any bytes are some
        observation['images'][camera] = image[..., :channels].contiguous().to(policy.device)
    seen: ObservationBatch = observation
    return seen


@torch.no_grad()
def export_onnx(policy: Policy) -> bytes:
    """The step as an ONNX model; its metadata say what it is and whom it drives.

    Raises UserError where a package for it is missing, or the policy is not on a CPU.
    """
    onnx = _exporter()
    step, example = prepared(policy)
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter('ignore')  # of the exporter's own future
        program = torch.onnx.export(
            step,
            tuple(example),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(step.names.inputs),
            output_names=list(step.names.outputs),
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    model.producer_name = 'motion_policy'
    del model.graph.value_info[:]
    for node in model.graph.node:  # where each operator was written down is nobody's business
        node.doc_string = ''
        del node.metadata_props[:]
    onnx.helper.set_model_props(model, step_facts(policy))
    content: bytes = model.SerializeToString()
    return content


def step_facts(policy: Policy) -> dict[str, str]:
    """What the user of an exported step must know, as text."""
    spec = policy.spec
    return {
        'motion_policy.kind': spec.kind,
        'motion_policy.rate_hz': f'{spec.rate:g}',
        'motion_policy.joints': json.dumps(list(policy.joint_names)),
        'motion_policy.robot': spec.robot.name,
        'motion_policy.image_size': json.dumps(list(spec.image_size)),
        **({'motion_policy.fit': json.dumps(fit_facts(policy))} if spec.fit else {}),
        **({'motion_policy.depth_m': json.dumps(spec.depth)} if spec.depth else {}),
        'motion_policy.target': spec.target,
    }


def fit_facts(policy: Policy) -> dict[str, Any]:
    """What is to be done with the images of each camera before the step: crop, rotate, fit, size.

    `sent` is the height and width of the images in whose pixels a crop is.
    """
    return {
        camera: {
            **view.options.model_dump(mode='json'),
            'size': list(view.size),
            'sent': list(view.sent),
        }
        for camera, view in policy.views.items()
    }


@torch.no_grad()
def prepared(policy: Policy) -> tuple[Step, Sequence[Tensor]]:
    """The step in eval mode, and inputs to trace it with, as of `StepNames`: `qpos` (1, J), ...

    It has run once, so that what it keeps for the next step is no part of the trace.
    """
    if policy.device.type != 'cpu':
        raise UserError(f'{policy.source}: is on {policy.device}, expected the CPU for an export')
    step = Step(policy).eval()
    example = step_inputs(policy, random_observation(policy, seed=0), None)
    step(*example)
    return step, example


def _exporter() -> Any:
    try:
        import onnx
        import onnxscript  # noqa: F401  the exporter of torch needs it
    except ImportError as error:
        raise UserError(
            f"export to ONNX needs the package '{error.name}': pip install onnx onnxscript"
        ) from None
    return onnx
