# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Docstrings give the shapes of arrays and the sources of networks and losses."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

import pytest
from repository import ROOT


@pytest.fixture(scope='module')
def trees() -> dict[str, ast.Module]:
    """The syntax tree of every module of the package by its path from the root."""
    files = sorted((ROOT / 'motion_policy').rglob('*.py'))
    read = {path.relative_to(ROOT).as_posix(): path.read_text(encoding='utf-8') for path in files}
    return {name: ast.parse(text) for name, text in read.items()}


# (J,), (B, T, V'), (..., 3), (2 * J,), (n,), (...): one of them is no word of prose.
NUMBER = r"(?:[A-Za-z]\w{0,11}'?|\d+)"
SIZE = rf'(?:\.\.\.|{NUMBER}(?: [*+/-] {NUMBER})*)'
TUPLE = re.compile(rf'\(({SIZE}(?:, {SIZE})+|{SIZE},|\.\.\.)\)')
SURE = re.compile(r'(?<!\w)(?:[A-Z]\w*|\d+|\.\.\.|[kn])(?!\w)')


def tells_a_shape(docstring: str | None) -> bool:
    text = ' '.join((docstring or '').split())
    return 'scalar' in text or any(SURE.search(found) for found in TUPLE.findall(text))


def test_a_shape_is_known_from_prose() -> None:
    for text in ('(J,)', 'x: (B, T, J) [rad]', '(..., 3)', "(2 * J, V')", 'of (...)', 'a scalar'):
        assert tells_a_shape(text)
    for text in (None, '', 'Positions [rad, m].', 'of joints (rad, m)', '(as is)', 'f(x)'):
        assert not tells_a_shape(text)


ARRAYS = {'ndarray', 'NDArray', 'Tensor'}


def names_in(annotation: ast.expr | None) -> set[str]:
    """Return the last names of everything that stands in an annotation."""
    if annotation is None:
        return set()
    parts = list(ast.walk(annotation))
    named = {node.id for node in parts if isinstance(node, ast.Name)}
    return named | {node.attr for node in parts if isinstance(node, ast.Attribute)}


def array_types(trees: Mapping[str, ast.Module]) -> dict[str, set[str]]:
    """Return by module the names of arrays there: `ARRAYS` and aliases, also imported ones."""
    known = {path: set(ARRAYS) for path in trees}
    news = True
    while news:
        news = False
        for path, tree in trees.items():
            found = set[str]()
            for node in tree.body:
                if isinstance(node, ast.Assign) and names_in(node.value) & known[path]:
                    if isinstance(node.value, ast.Subscript | ast.Attribute | ast.BinOp):
                        found |= names_in(node.targets[0])
                elif isinstance(node, ast.ImportFrom) and node.module:
                    there = known.get(f'{node.module.replace(".", "/")}.py', set())
                    found |= {alias.name for alias in node.names} & there
            news |= not found <= known[path]
            known[path] |= found
    return known


NAMED_BY_SHAPE = {'RgbImage'}  # (H, W, 3) uint8, wherever it stands
# Weights by name, each of the shape that its layer has.
WITHOUT_SHAPES = {
    'motion_policy/policies/convert/lerobot_folder.py: LeRobotFolder',
    'motion_policy/policies/checkpoint.py: checked_weights',
    'motion_policy/policies/convert/conversion.py: fill',
    'motion_policy/policies/convert/lerobot_folder.py: write_lerobot_folder',
    'motion_policy/policies/convert/torch_files.py: float_weights',
    'motion_policy/policies/weights_file.py: check_claim',
    'motion_policy/policies/weights_file.py: check_shapes',
    'motion_policy/policies/weights_file.py: each_tensor',
    'motion_policy/policies/weights_file.py: read_tensors',
    'motion_policy/policies/weights_file.py: usable_weight',
}


def public_functions(tree: ast.Module) -> Iterator[tuple[ast.ClassDef | None, ast.FunctionDef]]:
    """Yield every public function of a module, and every public method with its public class."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith('_'):
            yield None, node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith('_'):
            methods = (method for method in node.body if isinstance(method, ast.FunctionDef))
            yield from ((node, method) for method in methods if not method.name.startswith('_'))


def takes_or_gives(function: ast.FunctionDef, types: set[str]) -> bool:
    """Whether one of the types stands in the annotations of a function."""
    given = function.args
    arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    found = [argument.annotation for argument in arguments if argument]
    return any(names_in(annotation) & types for annotation in [*found, function.returns])


def test_who_takes_gives_or_holds_an_array_says_its_shape(trees: dict[str, ast.Module]) -> None:
    types = array_types(trees)
    classes = {
        node.name: node
        for tree in trees.values()
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    }

    def tells(owner: ast.ClassDef, name: str) -> bool:
        """Whether a class says the shapes of a method: there, for all, or in a base."""
        own = (node for node in owner.body if isinstance(node, ast.FunctionDef))
        documented = [owner, *(method for method in own if method.name == name)]
        bases = (classes.get(ast.unparse(base).partition('[')[0]) for base in owner.bases)
        return any(tells_a_shape(ast.get_docstring(node)) for node in documented) or any(
            tells(base, name) for base in bases if base
        )

    wrong = set()
    for path, tree in trees.items():
        for owner in (node for node in tree.body if isinstance(node, ast.ClassDef)):
            fields = [node.annotation for node in owner.body if isinstance(node, ast.AnnAssign)]
            holds = any(names_in(field) & types[path] - NAMED_BY_SHAPE for field in fields)
            public = not owner.name.startswith('_')
            if public and holds and not tells_a_shape(ast.get_docstring(owner)):
                wrong.add(f'{path}: {owner.name}')
        for owner, function in public_functions(tree):
            if not takes_or_gives(function, types[path] - NAMED_BY_SHAPE):
                continue
            told = tells(owner, function.name) if owner else False
            place = f'{owner.name}.{function.name}' if owner else function.name
            if not (told or tells_a_shape(ast.get_docstring(function))):
                wrong.add(f'{path}: {place}')
    assert wrong == WITHOUT_SHAPES


SOURCE = re.compile(r'arXiv:\d{4}\.\d{4,5}|doi:10\.\d{4,}/\S+|https://\S+')
# What computes nothing that anybody published: what all models share, what is around a policy,
# the layers of PyTorch computed faster, and the trainer's module.
WITHOUT_SOURCE = {
    'motion_policy/policies/backends/graph.py: Step',
    'motion_policy/policies/base.py: Model',
    'motion_policy/policies/base.py: Policy',
    'motion_policy/policies/cpu/convolutions.py: Layers',
    'motion_policy/policies/cpu/layers.py: Convolutions',
    'motion_policy/policies/cpu/layers.py: Tanh',
    'motion_policy/policies/cpu/layers.py: UpConvolution',
    'motion_policy/policies/cpu/products.py: Linear',
    'motion_policy/policies/normalisation.py: Scaling',
}


def is_network(node: ast.ClassDef, networks: set[str]) -> bool:
    """Whether a class is an nn.Module: by a name of PyTorch, or by that of another network."""
    bases = {ast.unparse(base).partition('[')[0] for base in node.bases}
    return any(base.startswith('nn.') or base in networks for base in bases)


def test_every_network_and_loss_names_its_source(trees: dict[str, ast.Module]) -> None:
    classes = [
        (path, node) for path, tree in trees.items() for node in tree.body
        if isinstance(node, ast.ClassDef)
    ]  # fmt: skip
    networks = set[str]()
    while more := {node.name for _, node in classes if is_network(node, networks)} - networks:
        networks |= more
    wrong = set()
    for path, tree in trees.items():
        if SOURCE.search(ast.get_docstring(tree) or ''):
            continue
        if path.endswith('_loss.py'):
            wrong.add(path)
        own = (node for node in tree.body if isinstance(node, ast.ClassDef))
        for node in (node for node in own if node.name in networks):
            if not SOURCE.search(ast.get_docstring(node) or ''):
                wrong.add(f'{path}: {node.name}')
    assert wrong == WITHOUT_SOURCE
