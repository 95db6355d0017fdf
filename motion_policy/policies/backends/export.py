# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Export of a policy's step to ONNX, OpenVINO, TorchScript or AOTInductor.

What is written is read back and run before anybody is told that it is there.
"""

from __future__ import annotations

import io
import json
import shutil
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from motion_policy.errors import UserError
from motion_policy.files import check_output, naming_errors, settle
from motion_policy.policies.backends.graph import (
    Step,
    export_onnx,
    fit_facts,
    prepared,
    step_facts,
    step_names,
)
from motion_policy.policies.backends.runtimes import (
    Compute,
    GraphStep,
    openvino_core,
    require_packages,
    run_onnx,
    run_openvino,
)
from motion_policy.policies.backends.selection import Checks
from motion_policy.policies.base import Policy

ENDINGS = {'onnx': '.onnx', 'openvino': '.xml', 'torchscript': '.pt', 'aoti': '.pt2'}


@dataclass(frozen=True)
class Exported:
    """The files that were written, and how far their numbers are from the policy's own."""

    files: tuple[Path, ...]
    difference: float


def export_policy(policy: Policy, to: str, path: Path) -> Exported:
    """Write the step of a policy on the CPU to `path`, and what its user must know beside it.

    Args:
        policy: as loaded, in eval mode.
        to: one of ENDINGS.
        path: ends as ENDINGS says; a file of this name is replaced.

    Raises:
        UserError: another ending, no such folder, a missing package or compiler, or a policy whose
            step gives no joint targets.
    """
    if policy.space.name != 'joints':
        raise UserError(
            f"{policy.source}: its network predicts '{policy.space.name}', of which an exported "
            'step would make no joint targets; train one with action_space joints to export it, '
            'or run this one by policy_node or load_policy, which do'
        )
    path = path.expanduser()
    if path.suffix != ENDINGS[to]:
        raise UserError(f'{path}: expected a name that ends in {ENDINGS[to]}')
    for name in (path, path.with_suffix('.json')):
        check_output(name)
    folder = tempfile.TemporaryDirectory(prefix='.export.', dir=path.parent)
    with naming_errors(path, Path(folder.name)), folder:
        part = Path(folder.name) / path.name
        compute = _WRITERS[to](policy, part)
        difference = Checks(policy).difference(GraphStep(policy, to, 'float32', compute))
        part.with_suffix('.json').write_text(json.dumps(_facts(policy), indent=2) + '\n')
        files = [path.parent / file.name for file in sorted(part.parent.iterdir())]
        for target in files:
            settle(part.parent / target.name, target)
    return Exported(tuple(files), difference)


def _facts(policy: Policy) -> dict[str, Any]:
    step, example = prepared(policy)
    with torch.no_grad():
        results = step(*example)
    facts: dict[str, Any] = {
        name.removeprefix('motion_policy.'): text for name, text in step_facts(policy).items()
    }
    facts['joints'], facts['image_size'] = list(policy.joint_names), list(policy.spec.image_size)
    facts['rate_hz'] = policy.spec.rate
    if policy.spec.inputs:
        vectors = policy.spec.robot.vectors
        facts['vectors'] = {name: list(vectors[name].numbers) for name in policy.spec.inputs}
    if policy.spec.fit:
        facts['fit'] = fit_facts(policy)
    for what, names, tensors in (
        ('inputs', step.names.inputs, example), ('outputs', step.names.outputs, results),
    ):  # fmt: skip
        facts[what] = {
            name: {'shape': list(values.shape), 'type': str(values.dtype).removeprefix('torch.')}
            for name, values in zip(names, tensors, strict=True)
        }
    return facts


def _write_onnx(policy: Policy, path: Path) -> Compute:
    require_packages('onnx')
    path.write_bytes(export_onnx(policy))
    return run_onnx(path.read_bytes(), step_names(policy))


def _write_openvino(policy: Policy, path: Path) -> Compute:
    require_packages('openvino')
    import openvino

    model = openvino_core().read_model(model=export_onnx(policy))
    try:
        openvino.save_model(model, path, compress_to_fp16=False)
    except RuntimeError as error:  # a stream of C++ does not say more
        raise UserError(f'{path.name}: cannot be written: {error}') from None
    return run_openvino(path, step_names(policy), 'float32')[0]


@torch.no_grad()
def _write_torchscript(policy: Policy, path: Path) -> Compute:
    step, example = prepared(policy)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of what tracing takes for constant: here it is
        # Its own comparison allows less than float32 rounding; ours follows.
        traced = torch.jit.trace(step, tuple(example), check_trace=False)
        # Given a name instead, torch ends the process when the disk is full.
        content = io.BytesIO()
        torch.jit.save(torch.jit.freeze(traced.eval()), content)
        path.write_bytes(content.getvalue())
        return _run_torch(torch.jit.load(str(path)))


def _write_aoti(policy: Policy, path: Path) -> Compute:
    if not any(shutil.which(name) for name in ('c++', 'g++', 'clang++')):
        raise UserError('export to aoti needs a C++ compiler: none of c++, g++, clang++ is here')
    import torch._inductor.config as settings

    step, example = prepared(policy)
    with torch.no_grad(), settings.patch(freezing=True):
        program = torch.export.export(step, tuple(example))
        torch._inductor.aoti_compile_and_package(program, package_path=str(path))
    return _run_torch(torch._inductor.aoti_load_package(str(path)))


def _run_torch(step: Callable[..., Sequence[Tensor]] | Step) -> Compute:
    def compute(inputs: Sequence[Tensor]) -> Sequence[Any]:
        with torch.inference_mode():
            return [values.numpy().copy() for values in step(*inputs)]

    return compute


_WRITERS: dict[str, Callable[[Policy, Path], Compute]] = {
    'onnx': _write_onnx,
    'openvino': _write_openvino,
    'torchscript': _write_torchscript,
    'aoti': _write_aoti,
}
