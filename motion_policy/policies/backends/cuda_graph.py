# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""CUDA graph of a policy's step: static tensors, one replay per step.

At one observation at a time a GPU waits for Python to launch kernel after kernel; a replay is one
launch. It must be made in the thread in which it will run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from motion_policy.policies.backends.graph import Step, random_observation, step_inputs
from motion_policy.policies.base import ObservationBatch, Policy
from motion_policy.policies.uploads import Upload

WARM_UP_STEPS = 3


class StaticStep:
    """A back end: the same kernels as the policy's own, replayed; on a CPU they are called.

    Args:
        policy: in eval mode; its weights may change in place, but may not move.
        precision: 'float32', or 'bf16' for automatic mixed precision.
    """

    name = 'torch'

    def __init__(self, policy: Policy, precision: str) -> None:
        self.policy, self.precision = policy, precision
        self._step = Step(policy).eval()
        self.names = self._step.names
        # Not in inference mode: the tensors are written to in and out of it.
        example = step_inputs(policy, random_observation(policy, seed=0), None)
        self._inputs = [values.clone() for values in example]
        self._uploads = {
            camera: Upload(self._input(f'image/{camera}')) for camera in policy.cameras
        }
        self._outputs: tuple[Tensor, ...] = ()
        with torch.no_grad():
            self._replay = self._captured() if policy.device.type == 'cuda' else self._called

    def takes(self, observation: ObservationBatch, explain: bool) -> bool:
        """One observation at a time, and explanations where the graph has them."""
        return len(observation['qpos']) == 1 and (not explain or bool(self.names.extras))

    def act(
        self, observation: ObservationBatch, state: Any, explain: bool
    ) -> tuple[Tensor, Any, dict[str, Tensor]]:
        """One step -> chunk (1, k, A), next state, extras, on the policy's device."""
        policy = self.policy
        for name, values in zip(policy.sensors, policy.sensor_values(observation), strict=True):
            self._input(name).copy_(values)
        for camera in self._uploads:
            self._take_image(observation, camera)
        if self.names.states:
            state = policy.initial_state(1) if state is None else state
            for target, values in zip(self._inputs[-self.names.states :], state, strict=True):
                target.copy_(values)
        self._replay()
        # The next replay writes over the outputs.
        chunk, *others = (values.clone() for values in self._outputs)
        states = self.names.states
        extras = dict(zip(self.names.extras, others[states:], strict=True)) if explain else {}
        return chunk, tuple(others[:states]) or None, extras

    def _input(self, name: str) -> Tensor:
        return self._inputs[self.names.inputs.index(name)]

    def _take_image(self, observation: ObservationBatch, camera: str) -> None:
        upload, frame = self._uploads[camera], self.policy.ready_image(observation, camera)
        if frame is not None and frame.device.type == 'cpu' and upload.fits(frame.numpy()):
            upload(frame.numpy())
            return
        upload.value.copy_(self.policy.seen_image(observation, camera))

    def _called(self) -> None:
        with torch.no_grad(), self._mixed():
            self._outputs = self._step(*self._inputs)

    def _captured(self) -> Callable[[], None]:
        device = self.policy.device
        with torch.cuda.device(device):
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(WARM_UP_STEPS):
                    self._called()
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            # Other threads of the process may go on using the GPU meanwhile.
            with torch.cuda.graph(graph, capture_error_mode='thread_local'):
                self._called()
        return graph.replay

    def _mixed(self) -> torch.autocast:
        kind = self.policy.device.type
        # Weights that were converted outside the graph would not be there when it is replayed.
        return torch.autocast(
            kind, torch.bfloat16, enabled=self.precision == 'bf16', cache_enabled=False
        )
