# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime and OpenVINO as run times of a policy's exported graph.

Both get the number of threads that torch has when they are made, and never wait by spinning.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from motion_policy.errors import UserError
from motion_policy.policies.backends.graph import StepNames, step_inputs, step_names
from motion_policy.policies.base import ObservationBatch, Policy

Compute = Callable[[Sequence[Tensor]], Sequence[Any]]

# Back end: the packages that it needs, which the extra of its name brings.
PACKAGES = {
    'onnx': ('onnxruntime', 'onnx', 'onnxscript'),
    'openvino': ('openvino', 'onnx', 'onnxscript'),
}


class GraphStep:
    """A back end: a policy's step in another run time.

    Args:
        policy: whose step it is.
        name, precision: what it is called.
        compute: runs the graph: the inputs in order -> the outputs in order, as arrays.
    """

    def __init__(self, policy: Policy, name: str, precision: str, compute: Compute) -> None:
        self.policy, self.name, self.precision = policy, name, precision
        self.names: StepNames = step_names(policy)
        self._compute = compute

    def takes(self, observation: ObservationBatch, explain: bool) -> bool:
        """One observation at a time, and explanations where the graph has them."""
        return len(observation['qpos']) == 1 and (not explain or bool(self.names.extras))

    def act(
        self, observation: ObservationBatch, state: Any, explain: bool
    ) -> tuple[Tensor, Any, dict[str, Tensor]]:
        """One step -> chunk (1, k, A), next state, extras."""
        inputs = step_inputs(self.policy, observation, state)
        chunk, *others = (torch.from_numpy(values) for values in self._compute(inputs))
        states = self.names.states
        extras = dict(zip(self.names.extras, others[states:], strict=True)) if explain else {}
        return chunk, tuple(others[:states]) or None, extras


def missing_package(name: str) -> str | None:
    """The first package that a back end needs and that is not installed."""
    for package in PACKAGES.get(name, ()):
        if importlib.util.find_spec(package) is None:
            return package
    return None


def require_packages(name: str) -> None:
    """UserError that says how to install what a back end needs, unless it is all there."""
    missing = missing_package(name)
    if missing is not None:
        raise UserError(
            f"'{name}' needs the package '{missing}': pip install 'motion_policy[{name}]'"
        )


def versions_of(name: str) -> tuple[str, ...]:
    """Package versions on which a graph for this back end depends."""
    found = []
    for package in ('torch', *PACKAGES[name]):
        try:
            found.append(f'{package} {version(package)}')
        except PackageNotFoundError:  # installed without metadata
            found.append(package)
    return tuple(found)


def run_onnx(model: bytes, names: StepNames) -> Compute:
    """A function that runs an ONNX model in ONNX Runtime, in float32.

    It takes and returns what `names` tells, in order: `qpos` (1, J), ...; `chunk` (1, k, A), ...
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    # A thread that spins takes a core from the control loop for a gain of a few percent.
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            model, options, providers=['CPUExecutionProvider']
        )  # fmt: skip
    except Exception as error:  # its own types, several, of no common base
        raise UserError(f'ONNX Runtime does not take the policy: {_first_line(error)}') from None

    def compute(inputs: Sequence[Tensor]) -> Sequence[Any]:
        arrays = (values.numpy() for values in inputs)
        return session.run(names.outputs, dict(zip(names.inputs, arrays, strict=True)))  # type: ignore[no-any-return]

    return compute


@cache
def openvino_core() -> Any:
    """The one `openvino.Core` of this process, which is kept until the process ends.

    Its CPU plugin gives the thread that compiles first a stack for signal handlers and frees that
    with the core. If it went in another thread, or there were two, a thread would be left with a
    stack that is gone: the next signal (SIGINT, SIGTERM, SIGCHLD) would be a segmentation fault.
    """
    import openvino

    return openvino.Core()


def run_openvino(model: bytes | Path, names: StepNames, precision: str) -> tuple[Compute, str]:
    """A function that runs an ONNX model, or a file, in OpenVINO on the CPU; and its precision.

    That is float32, whatever was asked for, on a processor without bf16. The function takes and
    returns what `names` tells, in its order: `qpos` (1, J), ...; `chunk` (1, k, A), ...
    """
    import openvino

    limit = os.environ.get('ONEDNN_MAX_CPU_ISA', '')
    if limit.upper() not in ('', 'ALL', 'DEFAULT'):  # SIGSEGV in a step of 2026.4
        raise UserError(
            f"environment variable ONEDNN_MAX_CPU_ISA is '{limit}', expected no such variable: "
            'OpenVINO would crash'
        )
    core = openvino_core()
    settings = {
        'PERFORMANCE_HINT': 'LATENCY',
        'INFERENCE_NUM_THREADS': torch.get_num_threads(),
        'NUM_STREAMS': 1,
        # Without it the processor would decide.
        'INFERENCE_PRECISION_HINT': 'bf16' if precision == 'bf16' else 'f32',
    }
    try:
        compiled = core.compile_model(core.read_model(model=model), 'CPU', settings)
    except RuntimeError as error:
        raise UserError(f'OpenVINO does not take the policy: {_first_line(error)}') from None
    request = compiled.create_infer_request()
    outputs = [compiled.output(name) for name in names.outputs]

    def compute(inputs: Sequence[Tensor]) -> Sequence[Any]:
        arrays = (values.numpy() for values in inputs)
        given = dict(zip(names.inputs, arrays, strict=True))
        results = request.infer(given, share_inputs=True)
        return [np.array(results[output]) for output in outputs]

    in_bf16 = compiled.get_property('INFERENCE_PRECISION_HINT') == openvino.Type.bf16
    return compute, 'bf16' if in_bf16 else 'float32'


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__
