# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The house keeps its rooms: who imports whom, who reads a clock, and how a file begins."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from repository import ROOT

PACKAGE = ROOT / 'motion_policy'
HEADER = '# Copyright 2026 The motion_policy Authors\n# SPDX-License-Identifier: Apache-2.0\n'

# What each room may import; `errors` and `share` belong to the whole house.
LEFT_OF = {
    'robot': set(),
    'streams': {'robot'},
    'episodes': {'robot', 'streams'},
    'policies': {'robot', 'streams', 'episodes'},
    'training': {'robot', 'streams', 'episodes', 'policies'},
    'control': {'robot', 'streams', 'episodes', 'policies'},
    'simulation': {'robot', 'streams'},
    'evaluation': {
        'robot', 'streams', 'episodes', 'policies', 'training', 'control', 'simulation',
    },
    'inference': {'robot', 'streams', 'policies', 'control'},
    'rehearsal': {'robot', 'streams'},
    'survey': {'robot', 'streams'},
    'cockpit': {'robot', 'streams', 'episodes'},
    'nodes': {
        'robot', 'streams', 'episodes', 'policies', 'control', 'simulation', 'inference',
        'rehearsal', 'survey', 'cockpit',
    },
    'cli': {
        'robot', 'streams', 'episodes', 'policies', 'training', 'control', 'simulation',
        'evaluation', 'inference', 'rehearsal', 'survey', 'cockpit', 'nodes',
    },
}  # fmt: skip
# Rooms within rooms: which of their neighbours each may import.
WITHIN = {
    'episodes': {
        'hdf5': set(),
        'formats': {'hdf5'},
        'quality': {'hdf5'},
        'editing': {'hdf5'},
        'viewers': {'quality'},
    },
    'policies': {
        'cpu': set(),
        'recurrent': {'cpu'},
        'act': {'cpu'},
        'video': {'cpu'},
        'backends': {'cpu', 'recurrent', 'act'},
        'convert': {'recurrent', 'act'},
    },
    'nodes': {'parameters': set()},
}
LIGHTNING = {'lightning', 'pytorch_lightning'}
NEVER = {
    'robot': {'torch', 'h5py'} | LIGHTNING,
    'streams': {'torch', 'h5py'} | LIGHTNING,
    'episodes': {'torch'} | LIGHTNING,
    'policies': {'h5py'} | LIGHTNING,
    'control': LIGHTNING,
    'inference': {'h5py'} | LIGHTNING,
    'simulation': {'torch'},
    'rehearsal': {'torch', 'h5py'} | LIGHTNING,
    'survey': {'torch', 'h5py'} | LIGHTNING,
    'cockpit': {'torch', 'h5py'} | LIGHTNING,
    'nodes': LIGHTNING,
}
# Time is an argument in these rooms, so that tests, bags and the arm run the same code.
CLOCKLESS = (
    'robot', 'streams', 'episodes', 'policies', 'control', 'simulation', 'rehearsal', 'survey',
)  # fmt: skip
CLOCKS = {
    'time.time', 'time.time_ns', 'time.monotonic', 'time.monotonic_ns', 'time.perf_counter',
    'time.perf_counter_ns', 'time.sleep', 'datetime.now', 'datetime.utcnow', 'datetime.today',
}  # fmt: skip
# YAML and JSON from outside are parsed in one place, which bounds them.
PARSERS = {'yaml.safe_load', 'yaml.load', 'yaml.parse', 'json.load', 'json.loads'}
UNSAFE = {'yaml.unsafe_load', 'yaml.full_load', 'pickle.load', 'pickle.loads'}
# Public names that several modules of these folders may define: all of them are called alike.
INTERFACES = {
    'Arguments': ('cli',),  # the options of a subcommand
    'Kind': ('cli',),  # its kinds of sources or targets
    'run': ('cli',),  # a subcommand
    'main': ('cli', 'episodes', 'inference', 'nodes'),  # a process begins here
    'placeholder_for': ('episodes/formats',),  # the robot of data that bring none
    'rows_of': ('episodes/formats',),  # the rows of an episode of a format
}
# Here files get their names; there a file that is damaged on purpose gets a wrong one.
NAMING_FILES = {
    PACKAGE / 'files.py',
    ROOT / 'benchmarks' / 'damage_campaign' / 'mutations.py',
}
VAGUE = {'utils.py', 'helpers.py', 'common.py', 'manager.py', 'misc.py'}


def python_files(*folders: Path) -> list[Path]:
    """Return every Python file below `folders`, sorted."""
    return sorted(path for folder in folders for path in folder.rglob('*.py'))


OURS = [
    ROOT / 'setup.py',
    *python_files(PACKAGE, ROOT / 'test', ROOT / 'launch', ROOT / 'benchmarks', ROOT / 'scripts'),
]


def name_of(path: Path) -> str:
    """Return a path as it reads from the repository root."""
    return path.relative_to(ROOT).as_posix()


@cache
def nodes_of(path: Path) -> list[ast.AST]:
    """Return every node of a file's syntax tree."""
    return list(ast.walk(ast.parse(path.read_text(encoding='utf-8'))))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted module) of every import, those inside functions too."""
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{name_of(path)}:{node.lineno}: relative import'
            yield from ((node.lineno, f'{node.module}.{alias.name}') for alias in node.names)


@cache
def calls(path: Path) -> list[tuple[int, str, ast.Call]]:
    """Return (line, dotted name, node) of every call of a plain or dotted name."""
    found = (node for node in nodes_of(path) if isinstance(node, ast.Call))
    return [(node.lineno, ast.unparse(node.func), node) for node in found]


def gives_a_name(called: str, node: ast.Call) -> bool:
    """Whether a call gives a file its name, or brings it to the disk for that."""
    if called in {'os.replace', 'os.rename', 'shutil.move', 'os.fsync', 'os.link'}:
        return True
    # `Path.replace` takes one argument, `str.replace` two or more.
    alone = len(node.args) == 1 and not node.keywords
    return called.endswith('.rename') or (called.endswith('.replace') and alone)


def open_pickles(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, name) of every use of `pickle`, but for an unpickler that makes only what its
    own `find_class` knows.
    """
    closed = {
        base
        for node in nodes_of(path)
        if isinstance(node, ast.ClassDef) and 'def find_class' in ast.unparse(node)
        if 'super()' not in ast.unparse(node)
        for base in node.bases
    }
    for node in nodes_of(path):
        named = isinstance(node, ast.Attribute) and ast.unparse(node.value) == 'pickle'
        if named and node.attr != 'UnpicklingError' and node not in closed:
            yield node.lineno, ast.unparse(node)


def room_files() -> list[tuple[str, Path]]:
    """Return (room, file) for every file that stands in a room."""
    return [
        (path.relative_to(PACKAGE).parts[0], path)
        for path in python_files(PACKAGE)
        if path.parent != PACKAGE
    ]


@pytest.fixture(scope='module', autouse=True)
def trees() -> Iterator[None]:
    """Give the memory of all the syntax trees back."""
    yield
    nodes_of.cache_clear()
    calls.cache_clear()


def test_every_room_is_known() -> None:
    assert {room for room, _ in room_files()} <= set(LEFT_OF)


def test_a_room_imports_only_rooms_to_its_left() -> None:
    wrong = []
    for room, path in room_files():
        for line, module in imports(path):
            parts = module.split('.')
            other = parts[1] if parts[0] == 'motion_policy' else room
            if other in LEFT_OF and other != room and other not in LEFT_OF[room]:
                wrong.append(f'{name_of(path)}:{line}: {room} imports {other}')
    assert wrong == []


def test_a_room_within_a_room_imports_only_neighbours_that_it_may() -> None:
    wrong = []
    for room, path in room_files():
        within = path.relative_to(PACKAGE / room).parts[0]
        if within == path.name or not any((PACKAGE / room / within).glob('__init__.py')):
            continue
        allowed = WITHIN[room][within] | {within}
        for line, module in imports(path):
            other = module.removeprefix(f'motion_policy.{room}.').split('.')[0]
            if other in WITHIN[room] and other not in allowed:
                wrong.append(f'{name_of(path)}:{line}: {within} imports {other}')
    assert wrong == []


def test_a_file_format_imports_no_other() -> None:
    formats = PACKAGE / 'episodes' / 'formats'
    names = {path.name for path in formats.iterdir() if (path / '__init__.py').is_file()}
    assert {'aloha', 'lerobot', 'rosbag'} <= names
    wrong = []
    for path in python_files(formats):
        own = path.relative_to(formats).parts[0]
        for line, module in imports(path):
            other = module.removeprefix('motion_policy.episodes.formats.').split('.')[0]
            if module.startswith('motion_policy.') and other in names - {own}:
                wrong.append(f'{name_of(path)}:{line}: {own} imports {other}')
    assert wrong == []


def test_what_belongs_to_the_whole_house_imports_no_room() -> None:
    files = sorted(PACKAGE.glob('*.py'))
    assert {'declared.py', 'documents.py', 'errors.py', 'files.py', 'share.py'} <= {
        path.name for path in files
    }
    wrong = [
        f'{name_of(path)}:{line}: {module}'
        for path in files
        for line, module in imports(path)
        if module.startswith('motion_policy.') and module.split('.')[1] in LEFT_OF
    ]
    assert wrong == []


def test_rclpy_is_imported_in_nodes_only() -> None:
    ros = {'rclpy', 'launch', 'launch_ros', 'ament_index_python'}
    wrong = [
        f'{name_of(path)}:{line}: {module}'
        for path in python_files(PACKAGE)
        for line, module in imports(path)
        if module.split('.')[0] in ros and PACKAGE / 'nodes' not in path.parents
    ]
    assert wrong == []


def test_heavy_libraries_stay_out_of_light_rooms() -> None:
    wrong = [
        f'{name_of(path)}:{line}: {module} in {room}'
        for room, path in room_files()
        for line, module in imports(path)
        if module.split('.')[0] in NEVER.get(room, set())
    ]
    assert wrong == []


def test_rooms_take_time_as_an_argument() -> None:
    wrong = []
    for path in (path for room, path in room_files() if room in CLOCKLESS):
        names = [(line, called) for line, called, _ in calls(path)] + list(imports(path))
        wrong += [
            f'{name_of(path)}:{line}: {name}'
            for line, name in names
            if CLOCKS & {name, name.removeprefix('datetime.')}
        ]
    assert wrong == []


def test_yaml_and_json_are_parsed_in_one_place_only() -> None:
    wrong = [
        f'{name_of(path)}:{line}: {called}'
        for path in python_files(PACKAGE)
        for line, called, _ in calls(path)
        if called in PARSERS and path != PACKAGE / 'documents.py'
    ]
    assert wrong == []


def test_files_get_their_names_in_one_place_only() -> None:
    wrong = [
        f'{name_of(path)}:{line}: {called}'
        for path in python_files(PACKAGE, ROOT / 'benchmarks')
        for line, called, node in calls(path)
        if path not in NAMING_FILES and gives_a_name(called, node)
    ]
    assert wrong == []
    endings = [
        f'{name_of(path)}:{node.lineno}'
        for path in python_files(PACKAGE, ROOT / 'benchmarks')
        for node in nodes_of(path)
        if isinstance(node, ast.Constant) and node.value == '.part'
    ]
    assert [place.partition(':')[0] for place in endings] == ['motion_policy/files.py'], endings


@pytest.mark.parametrize(
    ('code', 'named'),
    [
        ('part.replace(path)', True),
        ('os.replace(part, path)', True),
        ('Path(part).rename(path)', True),
        ("text.replace('a', 'b')", False),
        ('replace(day, work=work)', False),
        ('stamp.replace(hour=0)', False),
    ],
)
def test_a_call_that_names_a_file_is_told_from_others(code: str, named: bool) -> None:
    call = ast.parse(code, mode='eval').body
    assert isinstance(call, ast.Call)
    assert gives_a_name(ast.unparse(call.func), call) is named


def test_nothing_that_is_read_can_execute_code() -> None:
    wrong = []
    for path in python_files(PACKAGE):
        wrong += [
            f'{name_of(path)}:{line}: {module}'
            for line, module in imports(path)
            if module.split('.')[0] in {'cloudpickle', 'dill', 'joblib'}
            or module.startswith('pickle.')
        ]
        wrong += [f'{name_of(path)}:{line}: {used}' for line, used in open_pickles(path)]
        for line, called, node in calls(path):
            options = {option.arg: option.value for option in node.keywords}
            if called in {'np.load', 'numpy.load'}:
                allowed = options.get('allow_pickle')
                safe = isinstance(allowed, ast.Constant) and allowed.value is False
            elif called == 'torch.load':
                only = options.get('weights_only')
                safe = isinstance(only, ast.Constant) and only.value is True
            else:
                safe = called not in UNSAFE
            if not safe:
                wrong.append(f'{name_of(path)}:{line}: {called}')
    assert wrong == []


def public(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (name, meaning) of each class, function and type alias that a module defines."""
    for node in nodes_of(path)[0].body:  # type: ignore[attr-defined]
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            name, meaning = node.name, name_of(path)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name, meaning = node.targets[0].id, ast.unparse(node.value)
            if name == name.upper():  # a constant
                continue
        else:
            continue
        if not name.startswith('_'):
            yield name, meaning


def test_a_public_name_means_one_thing() -> None:
    meanings: dict[str, dict[str, list[Path]]] = {}
    for path in python_files(PACKAGE):
        for name, meaning in public(path):
            meanings.setdefault(name, {}).setdefault(meaning, []).append(path)
    several = {name: found for name, found in meanings.items() if len(found) > 1}
    assert set(INTERFACES) <= set(several)
    wrong = []
    for name, found in several.items():
        paths = [path for paths in found.values() for path in paths]
        folders = {PACKAGE / folder for folder in INTERFACES.get(name, ())}
        if not all(folders & set(path.parents) for path in paths):
            wrong.append(f'{name}: {", ".join(map(name_of, paths))}')
    assert wrong == []


def faults_of(path: Path) -> Iterator[str]:
    """Yield what is wrong with the beginning, the name and the length of a file."""
    text = path.read_text(encoding='utf-8')
    body = text.removeprefix('#!/usr/bin/env python3\n')
    if not body.startswith(HEADER):
        yield 'no licence header'
    docstring = re.match(r'"""(.*?)"""', body.removeprefix(HEADER), re.DOTALL)
    first, *others = (docstring[1] if docstring else '').split('\n')
    if not first.endswith('.'):
        yield f'no sentence in the first line of the docstring: {first}'
    if others and others[0]:
        yield f'no end in the first line of the docstring: {first}'
    if path.name in VAGUE:
        yield 'a vague name'
    if len(text.splitlines()) >= 700:
        yield '700 lines or more'


def test_a_file_names_its_licence_and_says_what_lives_in_it() -> None:
    assert len(OURS) > 500
    assert [f'{name_of(path)}: {fault}' for path in OURS for fault in faults_of(path)] == []


def test_the_checkout_stays_small() -> None:
    folders = [ROOT / name for name in ('config', 'docs', 'launch', 'models', 'requirements')]
    files = [path for folder in [*folders, PACKAGE] for path in folder.rglob('*')]
    sizes = {
        name_of(path): path.stat().st_size
        for path in files
        if path.is_file() and '__pycache__' not in path.parts
    }
    assert {name: size for name, size in sizes.items() if size > 4 * 2**20} == {}
    assert sum(size for name, size in sizes.items() if name.startswith('models/')) <= 8 * 2**20


def test_the_tests_of_a_room_are_in_the_folder_of_its_name() -> None:
    others = {'benchmarks', 'docs', 'launch', 'package', 'support'}
    tests = ROOT / 'test'
    folders = {path.parent.relative_to(tests) for path in tests.rglob('*.py')} - {Path()}
    assert {f for f in folders if f.parts[0] not in others and not (PACKAGE / f).is_dir()} == set()
    strays = {path.name for path in (tests / 'support').rglob('test_*.py')}
    strays |= {
        name_of(path)
        for path in tests.rglob('*.py')
        if not path.name.startswith(('test_', 'conftest')) and 'support' not in path.parts
    }
    assert strays == set()
