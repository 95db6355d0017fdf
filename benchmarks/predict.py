# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Training step, prediction and ranking of a frame predictor against the loop over the frames.

The reference runs the same modules in default memory order, float32, one frame after the other,
the decoder on concatenated maps; it encodes no frame of which it needs nothing. Both sides begin
at ready-made frames in [0, 1] in training and end with gradients; a prediction begins at uint8.
One thread; they take turns, and CPU time counts. On a GPU wall time counts until it has finished;
there TF32 is allowed in training, as `motion-policy train` has it, and off in prediction.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from measuring.timing import gpu_clock_ns, interleaved_ms, threads
from torch import Tensor, nn

from motion_policy.cli.main import main
from motion_policy.cli.measurement import GPU, Line, Measurement
from motion_policy.policies import PolicySpec, make_model
from motion_policy.policies.cpu.allocator import keep_freed_memory
from motion_policy.policies.cpu.layers import Convolutions
from motion_policy.policies.cpu.processor import forbid_tf32
from motion_policy.policies.normalisation import MeanStd, Normalisation
from motion_policy.policies.video.predictor import FrameNetwork, FramePredictorModel
from motion_policy.policies.video.unrolling import faster_at_once, teacher_forced_clip
from motion_policy.robot import load_robot_spec

DEVICES = ('cpu', GPU)
SUMMARY = 'training step and prediction of frame predictors against the loop over the frames'
CODERS = ('dcgan', 'vgg')
SIDE, BATCH, PAST, FUTURE = 64, 12, 2, 10
HYPER: dict[str, Any] = {}  # the defaults are the published ones
TARGETS = {'float32': 0.7, 'bf16': 0.45}
PREDICTION_TARGET = 0.5
CANDIDATES = 16  # plans that are ranked
BETA = 1e-4
REFERENCE = 'loop over the frames, plain layers in default memory order, float32'

Step = Callable[[], object]


def lines(seconds: float, device: str) -> list[Line]:
    """Every line for `seconds`, but at least two turns after a first one."""
    keep_freed_memory()
    kinds = (_training, _prediction, _ranking)  # the first as PyTorch sets TF32, for it stays off
    return [partial(_measured, kind, coder, seconds, device) for kind in kinds for coder in CODERS]


def _measured(
    kind: Callable[[str, float, str], list[Measurement]], coder: str, seconds: float, device: str
) -> list[Measurement]:
    if kind is not _training:
        forbid_tf32(torch.device(device))  # as where a model is loaded
    with threads(1):
        return kind(coder, seconds, device)


def random_model(coder: str) -> FramePredictorModel:
    """A frame predictor with random weights, for the tabletop arm."""
    torch.manual_seed(0)
    robot = load_robot_spec('tabletop_sim')
    joints = len(robot.joints.names)
    values = MeanStd(mean=(0.0,) * joints, std=(1.0,) * joints)
    spec = PolicySpec(
        kind='frame_predictor',
        rate=10,
        cameras=(next(iter(robot.cameras)),),
        image_size=(SIDE, SIDE),
        hyper={**HYPER, 'coder': coder, 'past': PAST, 'future': FUTURE},
        normalisation=Normalisation(qpos=values, action=values),
        robot=robot,
    )
    return cast(FramePredictorModel, make_model(spec))


def training_steps(coder: str, device: str = 'cpu') -> dict[str, Step]:
    """Forward and backward of a teacher-forced batch: ours in float32 and bf16, the reference."""
    model = random_model(coder).to(device).train()
    network, plain = model.network, plain_network(model.network)
    steps, joints = PAST + FUTURE - 1, len(model.joint_names)
    frames = torch.rand(steps + 1, BATCH, SIDE, SIDE, 3).to(device).permute(0, 1, 4, 2, 3)
    contiguous = frames.contiguous()
    told = torch.randn(steps, BATCH, 2 * joints).to(device)
    noise = torch.randn(steps, BATCH, model.config.latent_dim).to(device)
    at_once = faster_at_once(network, frames)

    def ours(precision: str) -> None:
        bf16 = precision == 'bf16'
        with torch.autocast(device, dtype=torch.bfloat16, enabled=bf16):
            unrolled = teacher_forced_clip(network, frames, told, noise, at_once=at_once)
            pairs = zip(unrolled.frames, frames[1:], strict=True)
            errors = [(drawn.float() - frame).square().mean() for drawn, frame in pairs]
            loss = torch.stack(errors).mean() + BETA * unrolled.kl().mean()
        _learn(network, loss)

    return {
        'reference': lambda: _learn(plain, loop_loss(plain, contiguous, told, noise)),
        'float32': lambda: ours('float32'),
        'bf16': lambda: ours('bf16'),
    }


def loop_loss(network: FrameNetwork, frames: Tensor, told: Tensor, noise: Tensor) -> Tensor:
    """The same loss, one frame after the other."""
    seen = [network.encoder(frame) for frame in frames]
    predictor: Any = None
    posterior: Any = None
    errors, divergences = [], []
    for step in range(1, len(frames)):
        latent, posterior = network.posterior(seen[step][0][None], posterior)
        given = (told[step - 1], seen[step - 1][0], latent.sample(noise[step - 1])[0])
        codes, predictor = network.predictor(torch.cat(given, -1)[None], predictor)
        drawn = network.decoder(codes[0], seen[min(step - 1, PAST - 1)][1])
        errors.append((drawn - frames[step]).square().mean())
        divergences.append(latent.kl_from_standard().mean())
    return torch.stack(errors).mean() + BETA * torch.stack(divergences).mean()


def predictions(coder: str, device: str = 'cpu') -> dict[str, Step]:
    """One prediction at batch 1: ours, and the loop."""
    model = random_model(coder).to(device).eval()
    plain = plain_network(model.network).eval()
    joints = len(model.joint_names)
    frames = torch.randint(0, 256, (1, PAST, SIDE, SIDE, 3), dtype=torch.uint8).to(device)
    actions, positions = torch.randn(2, 1, PAST - 1 + FUTURE, joints).to(device)
    noise = torch.randn(FUTURE, 1, model.config.latent_dim).to(device)

    def reference() -> None:
        images = (frames.permute(1, 0, 4, 2, 3).float() / 255).contiguous()
        loop_prediction(plain, images, model.conditions(actions, positions), noise)

    return {'reference': reference, 'ours': lambda: model.predict(frames, actions, positions)}


@torch.no_grad()
def loop_prediction(
    network: FrameNetwork, images: Tensor, told: Tensor, noise: Tensor
) -> list[Tensor]:
    """Images (P, 1, 3, S, S), told (P - 1 + F, 1, C), noise (F, 1, Z) -> F frames."""
    predictor: Any = None
    posterior: Any = None
    drawn: list[Tensor] = []
    seen = [network.encoder(image) for image in images]
    for step in range(1, len(images) + len(noise)):
        ahead = step - len(images)
        code = seen[step - 1][0] if ahead <= 0 else network.encoder(drawn[-1])[0]
        if ahead < 0:
            latent, posterior = network.posterior(seen[step][0][None], posterior)
            z = latent.mean[0]
        else:
            z = noise[ahead]
        given = torch.cat((told[step - 1], code, z), -1)[None]
        codes, predictor = network.predictor(given, predictor)
        if ahead >= 0:
            drawn.append(network.decoder(codes[0], seen[-1][1]))
    return drawn


def plain_network(network: FrameNetwork) -> FrameNetwork:
    """A copy of plain layers in default memory order."""
    plain = copy.deepcopy(network).to(memory_format=torch.contiguous_format)
    for module in plain.modules():
        if isinstance(module, Convolutions):
            module.__class__ = nn.Sequential
    return plain


def _learn(network: nn.Module, loss: Tensor) -> None:
    network.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]


def _training(coder: str, seconds: float, device: str) -> list[Measurement]:
    steps = training_steps(coder, device)
    taken = interleaved_ms(
        list(steps.values()), seconds, least=2, warm_up=1, clock_ns=_clock(device)
    )
    medians = dict(zip(steps, (statistics.median(times) for times in taken), strict=True))
    return [
        Measurement(
            what=f'{coder} {SIDE}x{SIDE}, training step, batch {BATCH}, {PAST} + {FUTURE} frames, '
            f'{precision}, {_where(device)}',
            ours=medians[precision],
            reference=medians['reference'],
            reference_name=REFERENCE,
            unit=_unit(device),
            target=target,
            details={'turns': len(taken[0]), 'threads': 1},
        )
        for precision, target in TARGETS.items()
    ]


def _where(device: str) -> str:
    return torch.cuda.get_device_name() if device == GPU else '1 thread'


def _clock(device: str) -> Callable[[], int]:
    return gpu_clock_ns if device == GPU else time.thread_time_ns


def _unit(device: str) -> str:
    return 'ms, median' if device == GPU else 'ms of CPU time, median'


def _prediction(coder: str, seconds: float, device: str) -> list[Measurement]:
    what = f'{coder} {SIDE}x{SIDE}, {FUTURE} frames predicted from {PAST}, batch 1'
    return [_against_a_prediction(what, predictions(coder, device), seconds, device)]


def _against_a_prediction(
    what: str, calls: dict[str, Step], seconds: float, device: str, plans: int = 1
) -> Measurement:
    """One of so many plans that a call of ours foresees, against one prediction of the loop."""
    taken = interleaved_ms(
        list(calls.values()), seconds, least=3, warm_up=2, clock_ns=_clock(device)
    )
    reference, ours = (statistics.median(times) for times in taken)
    return Measurement(
        what=f'{what}, {_where(device)}',
        ours=ours / plans,
        reference=reference,
        reference_name=REFERENCE,
        unit=_unit(device),
        target=PREDICTION_TARGET,
        details={'turns': len(taken[0]), 'threads': 1},
    )


def rankings(coder: str, device: str = 'cpu') -> dict[str, Step]:
    """CANDIDATES plans ranked by what they lead to: ours, and one prediction of the loop."""
    model = random_model(coder).to(device).eval()
    joints = len(model.joint_names)
    observation = {
        'frames': torch.randint(0, 256, (PAST, SIDE, SIDE, 3), dtype=torch.uint8),
        'actions': torch.randn(PAST - 1, joints),
        'positions': torch.randn(PAST, joints),
    }
    goal = torch.randint(0, 256, (SIDE, SIDE, 3), dtype=torch.uint8)
    chunks = torch.randn(CANDIDATES, FUTURE, joints)
    return {
        'reference': predictions(coder, device)['reference'],
        'ours': lambda: model.rank(observation, chunks, goal=goal),
    }


def _ranking(coder: str, seconds: float, device: str) -> list[Measurement]:
    what = f'{coder} {SIDE}x{SIDE}, {FUTURE} frames, each of {CANDIDATES} ranked'
    return [_against_a_prediction(what, rankings(coder, device), seconds, device, CANDIDATES)]


if __name__ == '__main__':
    import sys

    raise SystemExit(main(['bench', 'predict', *sys.argv[1:]]))
