# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A frame predictor's training step, prediction and ranking against the loop over the frames.

The reference runs the same modules in default memory order, float32, one frame after the other,
the decoder on concatenated maps; it encodes no frame of which it needs nothing. Both sides begin
at ready-made frames in [0, 1] in training and end with gradients; a prediction begins at uint8.
One thread; they take turns, and CPU time counts.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from motion_policy.cli.main import main
from motion_policy.cli.measurement import Measurement, interleaved_ms
from motion_policy.policies import PolicySpec, make_model
from motion_policy.policies.allocator import keep_freed_memory
from motion_policy.policies.cpu_layers import Convolutions
from motion_policy.policies.frame_predictor import FrameNetwork, FramePredictorModel
from motion_policy.policies.frame_unrolling import teacher_forced
from motion_policy.policies.normalisation import Normalisation, Spread
from motion_policy.robot import load_robot_spec

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


def run(seconds: float) -> list[Measurement]:
    """Measure every line for `seconds`, but at least two turns after a first one."""
    threads = torch.get_num_threads()
    keep_freed_memory()
    torch.set_num_threads(1)
    try:
        results = []
        for coder in CODERS:
            results += _training(coder, seconds)
            results += [_prediction(coder, seconds), _ranking(coder, seconds)]
        return results
    finally:
        torch.set_num_threads(threads)


def random_model(coder: str) -> FramePredictorModel:
    """A frame predictor with random weights, for the tabletop arm."""
    torch.manual_seed(0)
    robot = load_robot_spec('tabletop_sim')
    joints = len(robot.joints.names)
    values = Spread(mean=(0.0,) * joints, std=(1.0,) * joints)
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


def training_steps(coder: str) -> dict[str, Step]:
    """Forward and backward of a teacher-forced batch: ours in float32 and bf16, the reference."""
    model = random_model(coder).train()
    network, plain = model.network, plain_network(model.network)
    steps, joints = PAST + FUTURE - 1, len(model.joint_names)
    frames = torch.rand(steps + 1, BATCH, SIDE, SIDE, 3).permute(0, 1, 4, 2, 3)
    contiguous = frames.contiguous()
    told = torch.randn(steps, BATCH, 2 * joints)
    noise = torch.randn(steps, BATCH, model.config.latent_dim)

    def ours(precision: str) -> None:
        bf16 = precision == 'bf16'
        with torch.autocast('cpu', dtype=torch.bfloat16, enabled=bf16):
            unrolled = teacher_forced(network, frames, told, noise, at_once=coder == 'dcgan')
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


def predictions(coder: str) -> dict[str, Step]:
    """One prediction at batch 1: ours, and the loop."""
    model = random_model(coder).eval()
    plain = plain_network(model.network).eval()
    joints = len(model.joint_names)
    frames = torch.randint(0, 256, (1, PAST, SIDE, SIDE, 3), dtype=torch.uint8)
    actions, positions = torch.randn(2, 1, PAST - 1 + FUTURE, joints)
    noise = torch.randn(FUTURE, 1, model.config.latent_dim)

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


def _training(coder: str, seconds: float) -> list[Measurement]:
    steps = training_steps(coder)
    taken = interleaved_ms(list(steps.values()), seconds, least=2, warm_up=1)
    medians = dict(zip(steps, (statistics.median(times) for times in taken), strict=True))
    return [
        Measurement(
            what=f'{coder} {SIDE}x{SIDE}, training step, batch {BATCH}, {PAST} + {FUTURE} frames, '
            f'{precision}, 1 thread',
            ours=medians[precision],
            reference=medians['reference'],
            reference_name=REFERENCE,
            unit='ms of CPU time, median',
            target=target,
            details={'turns': len(taken[0]), 'threads': 1},
        )
        for precision, target in TARGETS.items()
    ]


def _prediction(coder: str, seconds: float) -> Measurement:
    what = f'{coder} {SIDE}x{SIDE}, {FUTURE} frames predicted from {PAST}, batch 1, 1 thread'
    return _against_a_prediction(what, predictions(coder), seconds)


def _against_a_prediction(
    what: str, calls: dict[str, Step], seconds: float, plans: int = 1
) -> Measurement:
    """One of so many plans that a call of ours foresees, against one prediction of the loop."""
    taken = interleaved_ms(list(calls.values()), seconds, least=3, warm_up=2)
    reference, ours = (statistics.median(times) for times in taken)
    return Measurement(
        what=what,
        ours=ours / plans,
        reference=reference,
        reference_name=REFERENCE,
        unit='ms of CPU time, median',
        target=PREDICTION_TARGET,
        details={'turns': len(taken[0]), 'threads': 1},
    )


def rankings(coder: str) -> dict[str, Step]:
    """CANDIDATES plans ranked by what they lead to: ours, and one prediction of the loop."""
    model = random_model(coder).eval()
    joints = len(model.joint_names)
    observation = {
        'frames': torch.randint(0, 256, (PAST, SIDE, SIDE, 3), dtype=torch.uint8),
        'actions': torch.randn(PAST - 1, joints),
        'positions': torch.randn(PAST, joints),
    }
    goal = torch.randint(0, 256, (SIDE, SIDE, 3), dtype=torch.uint8)
    chunks = torch.randn(CANDIDATES, FUTURE, joints)
    return {
        'reference': predictions(coder)['reference'],
        'ours': lambda: model.rank(observation, chunks, goal=goal),
    }


def _ranking(coder: str, seconds: float) -> Measurement:
    what = f'{coder} {SIDE}x{SIDE}, {FUTURE} frames, each of {CANDIDATES} ranked, 1 thread'
    return _against_a_prediction(what, rankings(coder), seconds, CANDIDATES)


if __name__ == '__main__':
    import sys

    raise SystemExit(main(['bench', 'predict', *sys.argv[1:]]))
