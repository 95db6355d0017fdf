# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Code and docs use the words of the field: those that were given up for them do not come back."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from repository import ROOT

FOLDERS = ('motion_policy', 'benchmarks', 'test', 'scripts', 'launch', 'config', 'docs', 'docker')
ENDINGS = ('.py', '.md', '.yaml', '.yml', '.json', '.rviz', '.xml', '.sh')

# A retired word: what is said instead, and where users' files and commands keep it.
RETIRED = {
    r'(?i)surpris': (
        'prediction error',
        r'(~|policy_node)/surprise|(greatest )?surprise \[limits\]',
    ),
    r'(?i)picture': ('image, frame', r'pictures_every'),
    r'(?i)film': ('video', r"--no-film|\bno_film\b|'film'(?=: None)"),
    r'(?<![a-z])[Ee]yes?(?![a-z])': (
        'camera network, autoencoder, backbone',
        r"\.eyes\b|'eyes'|\beyes\.\d|\b(np|torch)\.eye\(",
    ),
    r'(?i)\bspoilt\b': ('corrupted', r'(?!)'),
    r'(?i)glimpse': ('snapshot', r'(?!)'),
}
# Names that no module, class or function has any more.
RETIRED_NAMES = {
    'decoder_words': 'decoder_warnings',
    'epoch_ns': 'valid_since_ns',
    'guarding': 'guard_parameters',
    'launching': 'launch_arguments',
    'moments': 'rows or frames',
    'noted_node': 'instrumented_node',
    'remember': 'keep or encode',
    'remembered': 'cached',
    'rig': 'harness',
    'serving': 'executor',
    'spread': 'percentiles, mean_std_normalisation or scatter_to_steps',
}
DEFINED = re.compile(r'^ *(?:class|def) _*(\w+)', re.MULTILINE)


def texts() -> list[Path]:
    """Every text of ours that people read or write, but for this one."""
    below = [path for folder in FOLDERS for path in (ROOT / folder).rglob('*')]
    files = [*below, *ROOT.glob('*.md'), ROOT / 'setup.py']
    return sorted(
        path
        for path in files
        if path.suffix in ENDINGS and path.is_file() and path != Path(__file__).resolve()
    )


@pytest.mark.parametrize('word', RETIRED)
def test_a_retired_word_does_not_come_back(word: str) -> None:
    instead, kept = RETIRED[word]
    retired, allowed = re.compile(word), re.compile(kept)
    wrong = []
    for path in texts():
        for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), 1):
            if retired.search(line) and retired.search(allowed.sub('', line)):
                wrong.append(f'{path.relative_to(ROOT)}:{number}: {line.strip()}')
        if retired.search(path.name):
            wrong.append(f'{path.relative_to(ROOT)}: its name')
    assert wrong == [], f'say {instead}'


def test_a_retired_name_is_given_to_nothing() -> None:
    wrong = []
    for path in (path for path in texts() if path.suffix == '.py'):
        defined = DEFINED.findall(path.read_text(encoding='utf-8'))
        for name in (path.stem.removeprefix('test_'), *defined):
            if name in RETIRED_NAMES:
                wrong.append(f'{path.relative_to(ROOT)}: {name}, expected {RETIRED_NAMES[name]}')
    assert wrong == []
