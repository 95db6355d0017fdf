# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`motion-policy export-policy CHECKPOINT --to FORMAT`: writes its step for other run times.

A file gets its name only when it is whole, and its numbers are held against the policy's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from motion_policy.cli.literal import escape


@dataclass(frozen=True)
class Arguments:
    """Write a policy's step as one graph: joints and images in, chunk out, in robot units.

    The state of a recurrent policy goes in and comes out. NAME.json beside the file names inputs
    and outputs.
    """

    checkpoint: Annotated[
        str,
        tyro.conf.Positional,
        tyro.conf.arg(
            metavar='CHECKPOINT', help='folder of the policy, or the name of one in models/'
        ),
    ]
    to: Literal['onnx', 'openvino', 'torchscript', 'aoti']
    """aoti is for machines like this one and needs a C++ compiler"""
    out: Path | None = None
    """the file; default: the checkpoint's name with the ending of the format, here"""


def run(arguments: Arguments) -> int:
    """Export one policy; 0 when it is written and gives the right numbers, 1 when it does not."""
    # torch is slow to load, and a mistyped option need not wait for it.
    from motion_policy.policies import load_policy
    from motion_policy.policies.backends.export import ENDINGS, export_policy
    from motion_policy.policies.backends.selection import BOUNDS

    policy = load_policy(arguments.checkpoint)
    name = Path(arguments.checkpoint).resolve().name
    path = arguments.out or Path(f'{name}{ENDINGS[arguments.to]}')
    console = Console()
    with console.status(f'exporting to {arguments.to}'):
        exported = export_policy(policy, arguments.to, path)
    for file in exported.files:
        console.print(f'wrote {escape(str(file))}', soft_wrap=True, highlight=False)
    words = f'greatest difference from the policy: {exported.difference:.1e} of its units'
    console.print(words, highlight=False)
    if exported.difference <= BOUNDS['float32']:
        return 0
    console.print(f'[red]expected at most {BOUNDS["float32"]:g}[/red]', highlight=False)
    return 1
