# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Selection of the back end of a policy: PyTorch, ONNX Runtime or OpenVINO.

None takes a step before its numbers were held against those of the policy itself on this machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from motion_policy.errors import UserError
from motion_policy.policies.act.act import ACTPolicy
from motion_policy.policies.backends.act_step import PackedACT
from motion_policy.policies.backends.cache import cached, policy_digest
from motion_policy.policies.backends.cuda_graph import StaticStep
from motion_policy.policies.backends.graph import export_onnx, random_observation, step_names
from motion_policy.policies.backends.recurrent_step import PackedRecurrent, packs
from motion_policy.policies.backends.runtimes import (
    GraphStep,
    missing_package,
    require_packages,
    run_onnx,
    run_openvino,
    versions_of,
)
from motion_policy.policies.base import BackEnd, ObservationBatch, Policy
from motion_policy.policies.cpu.processor import has_bf16
from motion_policy.policies.recurrent.base import RecurrentPolicy

# eager: the policy itself, call by call, as it was trained.
BACK_ENDS = ('auto', 'eager', 'torch', 'onnx', 'openvino')
PRECISIONS = ('float32', 'bf16')
ONLY_FLOAT32 = ('eager', 'onnx')
# The greatest allowed difference from the policy itself, of targets in network units, relative
# where they are greater than 1. bf16 keeps 8 bits: 2 % after some thirty layers is usual.
BOUNDS = {'float32': 1e-5, 'bf16': 0.05}
CHECKED_STEPS = 3
ROLLOUT_STEPS = 10  # of a policy with a state, which feeds its rounding back into itself
WORTHWHILE_NS = {'cpu': 5_000_000, 'cuda': 500_000}  # no graph is made for a shorter step
TIMED_STEPS = 3
CLEARLY = 0.9  # another run time is taken only for this part of PyTorch's time, or less

Clock = Callable[[], int]
Say = Callable[[str], None]


@dataclass(frozen=True)
class BackEndChoice:
    """What the user asks for: one of BACK_ENDS, one of PRECISIONS. UserError for another word."""

    name: str = 'auto'
    precision: str = 'float32'

    def __post_init__(self) -> None:
        for what, given, known in (
            ('backend', self.name, BACK_ENDS),
            ('precision', self.precision, PRECISIONS),
        ):
            if given not in known:
                raise UserError(f"{what} is '{given}', expected one of: {', '.join(known)}")
        if self.precision == 'bf16' and self.name in ONLY_FLOAT32:
            raise UserError(f"precision is 'bf16', the backend '{self.name}' has float32 only")


def use_back_end(
    policy: Policy, choice: BackEndChoice, now_ns: Clock, say: Say | None = None
) -> None:
    """Let a loaded policy's steps be taken as `choice` says, from now on.

    `auto` measures what is installed, and takes the fastest that gives the policy's own numbers.
    For a short step it makes no graph, and takes what is at hand without measuring.

    Args:
        policy: in eval mode; its weights may not change afterwards.
        choice: what the user asked for; where a processor has no bf16, `auto` and OpenVINO compute
            in float32 instead, and `chosen` and `say` tell so.
        now_ns: a clock, to find the fastest with.
        say: gets a line about slow work and about what was chosen.

    Raises:
        UserError: what was asked for is not installed, does not fit the policy, or gives
            numbers that are further from the policy's own than BOUNDS allows.
    """
    say = say or (lambda line: None)
    policy.back_end = None
    checks = Checks(policy)
    if choice.name != 'auto':
        policy.back_end = _checked(checks, choice.name, choice.precision, say)
    elif choice.precision == 'bf16' and has_bf16(policy.device):
        policy.back_end = _fastest(checks, 'bf16', now_ns, say)
        if policy.back_end is None:
            raise UserError(f'{policy.source}: no installed back end computes it in bf16 here')
    else:
        policy.back_end = _fastest(checks, 'float32', now_ns, say)
    taken = chosen(policy)
    say(f"{policy.source}: backend '{taken.name}' in {taken.precision}{_why(policy, choice)}")


def _why(policy: Policy, choice: BackEndChoice) -> str:
    """What to know about bf16 where the processor has none."""
    if choice.precision != 'bf16' or has_bf16(policy.device):
        return ''
    if chosen(policy).precision == 'bf16':
        return ', which this processor has no instructions for: float32 is faster'
    return ', as this processor has no bf16'


def chosen(policy: Policy) -> BackEndChoice:
    """Who computes the policy's steps now; asking for it by this choice gives the same numbers."""
    back_end = policy.back_end
    return BackEndChoice('eager' if back_end is None else back_end.name, _precision(back_end))


def _precision(back_end: BackEnd | None) -> str:
    return 'float32' if back_end is None else back_end.precision


class Checks:
    """Observations, and what the policy itself answers to them."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        stateful = policy.initial_state(1) is not None
        self.observations = [
            random_observation(policy, seed)
            for seed in range(ROLLOUT_STEPS if stateful else CHECKED_STEPS)
        ]
        self._expected: list[Tensor] | None = None

    def difference(self, back_end: BackEnd) -> float:
        """The greatest difference from the policy's own targets, in network units."""
        if self._expected is None:
            in_use, self.policy.back_end = self.policy.back_end, None
            self._expected = list(self._answers(None))
            self.policy.back_end = in_use
        scale = self.policy.normalise_target.scale
        worst = 0.0
        for expected, found in zip(self._expected, self._answers(back_end), strict=True):
            size = (self.policy.normalise_target(expected)).abs().clamp(min=1)
            error = float(((found.to(expected.device) - expected) / scale / size).abs().max())
            worst = error if math.isnan(error) else max(worst, error)
            if math.isnan(worst):
                break
        return worst

    def _answers(self, back_end: BackEnd | None) -> Iterator[Tensor]:
        state: Any = None
        for observation in self.observations:
            chunk, state = self._step(back_end, observation, state)
            yield chunk

    @torch.inference_mode()
    def _step(
        self, back_end: BackEnd | None, observation: ObservationBatch, state: Any
    ) -> tuple[Tensor, Any]:
        if back_end is not None:
            chunk, state, _ = back_end.act(observation, state, False)
        else:
            chunk, state, _ = self.policy.predict(observation, state, False)
        return chunk, state

    def shortest_ns(self, back_ends: Sequence[BackEnd | None], now_ns: Clock) -> list[int]:
        """The shortest time of a step for each of them, taken in turns."""
        shortest = [0] * len(back_ends)
        for turn in range(TIMED_STEPS):
            for place, back_end in enumerate(back_ends):
                begin = now_ns()
                self._step(back_end, self.observations[0], None)[0].cpu()  # a GPU is waited for
                taken = now_ns() - begin
                shortest[place] = taken if turn == 0 else min(shortest[place], taken)
        return shortest


def _fastest(checks: Checks, precision: str, now_ns: Clock, say: Say) -> BackEnd | None:
    """The fastest that passes its check; None: the policy itself."""
    worthwhile_ns = WORTHWHILE_NS.get(checks.policy.device.type, 0)
    if precision == 'float32' and checks.shortest_ns([None], now_ns)[0] < worthwhile_ns:
        packed = isinstance(checks.policy, RecurrentPolicy) and checks.policy.device.type == 'cpu'
        return _sound(checks, 'torch', precision, say) if packed else None
    found: list[BackEnd | None] = [None] if precision == 'float32' else []
    for name in ('torch', 'openvino', 'onnx'):
        if missing_package(name) is not None or (precision == 'bf16' and name in ONLY_FLOAT32):
            continue
        back_end = _sound(checks, name, precision, say)
        if back_end is not None:
            found.append(back_end)
    if not found:
        return None
    times = checks.shortest_ns(found, now_ns)
    # PyTorch's own stand first: what is simpler wins where nothing is clearly faster.
    best = 0
    for place, (back_end, taken) in enumerate(zip(found, times, strict=True)):
        ours = back_end is None or back_end.name == 'torch'
        if taken < times[best] * (1 if ours else CLEARLY):
            best = place
    return found[best]


def _sound(checks: Checks, name: str, precision: str, say: Say) -> BackEnd | None:
    """A back end that gave the right numbers; None where there is none."""
    try:
        return _checked(checks, name, precision, say)
    except UserError as error:
        say(f'not used: {error}')
        return None


def _checked(checks: Checks, name: str, precision: str, say: Say) -> BackEnd | None:
    """A back end that gave the right numbers; None where the policy itself is meant.

    One that was built from a cached graph that is wrong is built once more.
    """
    policy = checks.policy
    difference = allowed = math.nan
    for anew in (False, True):
        back_end = _make(policy, name, precision, say, anew=anew)
        if back_end is None:
            return None
        difference, allowed = checks.difference(back_end), BOUNDS[back_end.precision]
        if difference <= allowed:
            return back_end
        if name == 'torch':
            break
    raise UserError(
        f"{policy.source}: the backend '{name}' in {precision} differs from the policy by "
        f'{difference:.1e} of its units, expected at most {allowed:g}'
    )


def _make(
    policy: Policy, name: str, precision: str, say: Say, *, anew: bool = False
) -> BackEnd | None:
    if name == 'eager':
        return None
    if name == 'torch':
        return _make_torch(policy, precision)
    require_packages(name)
    if policy.device.type != 'cpu':
        raise UserError(f"the backend '{name}' runs on a CPU, the policy is on {policy.device}")

    def build() -> bytes:
        say(f'{policy.source}: making its graph for this machine, once; it takes some seconds')
        return export_onnx(policy)

    model = cached(policy_digest(policy, *versions_of('onnx')[:1]), build, anew=anew)
    names = step_names(policy)
    if name == 'onnx':
        return GraphStep(policy, name, precision, run_onnx(model, names))
    compute, precision = run_openvino(model, names, precision)
    return GraphStep(policy, name, precision, compute)


def _make_torch(policy: Policy, precision: str) -> BackEnd | None:
    if policy.device.type == 'cuda':
        return StaticStep(policy, precision)
    if isinstance(policy, ACTPolicy) and policy.device.type == 'cpu':
        return PackedACT(policy, precision)
    if precision == 'bf16':
        raise UserError(f"{policy.source}: the backend 'torch' has no bf16 for a {policy.kind}")
    if isinstance(policy, RecurrentPolicy) and policy.device.type == 'cpu' and packs(policy):
        return PackedRecurrent(policy)
    return None
