# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Ways to damage an input, each from a seeded generator.

`detectable` are those after which the same numbers, or a refusal, are the only right ends: the
others may change a number that nothing in the format vouches for.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

Change = Callable[[Path, np.random.Generator], None]


@dataclass(frozen=True)
class Mutation:
    """One way to damage an input.

    Args:
        name: what is done.
        change: does it to a file of the input.
        suits: for which files of it.
        detectable: whether other numbers than those of the whole input are wrong.
        out: gives the output another place, from the folder of this trial and the input, which
            stays as it was.
        room: the files written may have few bytes only.
    """

    name: str
    change: Change = lambda path, random: None
    suits: Callable[[Path], bool] = lambda path: True
    detectable: bool = True
    out: Callable[[Path, Path], Path] | None = None
    room: bool = False


def files_of(source: Path) -> list[Path]:
    """The files that an input consists of."""
    return sorted(p for p in source.rglob('*') if p.is_file()) if source.is_dir() else [source]


def _truncate(path: Path, random: np.random.Generator) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(random.integers(len(content) or 1))])


def _flip(path: Path, random: np.random.Generator) -> None:
    content = bytearray(path.read_bytes())
    for place in random.integers(len(content), size=int(random.integers(1, 4))):
        content[place] ^= 1 << int(random.integers(8))
    path.write_bytes(content)


def _zero(path: Path, random: np.random.Generator) -> None:
    content = bytearray(path.read_bytes())
    start, length = int(random.integers(len(content))), int(random.integers(1, 2000))
    content[start : start + length] = bytes(len(content[start : start + length]))
    path.write_bytes(content)


def _noise(path: Path, random: np.random.Generator) -> None:
    content = bytearray(path.read_bytes())
    start, length = int(random.integers(len(content))), int(random.integers(1, 400))
    content[start : start + length] = random.bytes(len(content[start : start + length]))
    path.write_bytes(content)


def _missing(path: Path, random: np.random.Generator) -> None:
    path.unlink()


def _folder(path: Path, random: np.random.Generator) -> None:
    path.unlink()
    path.mkdir()


def _pipe(path: Path, random: np.random.Generator) -> None:
    path.unlink()
    os.mkfifo(path)


def _endless(path: Path, random: np.random.Generator) -> None:
    path.unlink()
    path.symlink_to('/dev/zero')


def _of_another_kind(path: Path, random: np.random.Generator) -> None:
    others = [b'', b'\0' * 4096, b'{}', b'[1]', b'a: b: c', b'\x89HDF\r\n\x1a\n', b'\xff\xfe\x00']
    path.write_bytes(others[int(random.integers(len(others)))])


# HDF5


def _is_hdf5(path: Path) -> bool:
    return path.name.endswith('.hdf5')


def _datasets(file: h5py.File) -> list[str]:
    names: list[str] = []
    file.visititems(lambda n, item: names.append(n) if isinstance(item, h5py.Dataset) else None)
    return names


# Datasets without which an episode or a file of ALOHA is another; the rest may be missing there.
_NEEDED = ('observations/qpos', 'action')


def _replaced(make: Callable[[h5py.File, str, np.random.Generator], None]) -> Change:
    def change(path: Path, random: np.random.Generator) -> None:
        with h5py.File(path, 'r+') as file:
            needed = [name for name in _NEEDED if name in file]
            images = [name for name in _datasets(file) if '/images/' in name]
            choice = str(random.choice(needed + images))
            old = file[choice]
            shape, dtype = old.shape, old.dtype
            del file[choice]
            file.attrs['_shape'] = shape
            make(file, choice, random)
            del file.attrs['_shape']
            assert dtype is not None

    return change


def _put_wrong_type(file: h5py.File, name: str, random: np.random.Generator) -> None:
    shape = tuple(file.attrs['_shape'])
    values = [
        np.zeros(shape, 'c8'), np.zeros(shape, [('a', 'f4')]), np.full(shape, 'a', 'S1'),
        np.zeros(shape, bool), h5py.Empty('f4'), 'text', 5.0,
    ]  # fmt: skip
    file[name] = values[int(random.integers(len(values)))]


def _put_wrong_shape(file: h5py.File, name: str, random: np.random.Generator) -> None:
    shape = tuple(int(n) for n in file.attrs['_shape'])
    shapes = [(*shape, 2), shape[:1], (shape[0] + 1, *shape[1:]), (0, *shape[1:]), (1,) * 6]
    dtype = 'u1' if 'images' in name else 'f4'
    file[name] = np.zeros(shapes[int(random.integers(len(shapes)))], dtype)


def _put_group(file: h5py.File, name: str, random: np.random.Generator) -> None:
    group = file.create_group(name)
    group['self'] = group


def _put_nothing(file: h5py.File, name: str, random: np.random.Generator) -> None:
    pass


def _put_link(file: h5py.File, name: str, random: np.random.Generator) -> None:
    links = [
        h5py.SoftLink('/observations/qpos'), h5py.SoftLink(f'/{name}'), h5py.SoftLink('/none'),
        h5py.ExternalLink('/etc/passwd', '/'), h5py.ExternalLink('other.hdf5', name),
    ]  # fmt: skip
    file[name] = links[int(random.integers(len(links)))]


def _put_external(file: h5py.File, name: str, random: np.random.Generator) -> None:
    shape = tuple(int(n) for n in file.attrs['_shape'])
    dtype = 'u1' if 'images' in name else 'f4'
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if random.integers(2):
        file.create_dataset(name, shape, dtype, external=[('/etc/passwd', 0, size)])
    else:
        layout = h5py.VirtualLayout(shape, dtype)
        layout[:] = h5py.VirtualSource('other.hdf5', name, shape)
        file.create_virtual_dataset(name, layout)


def _put_claim(file: h5py.File, name: str, random: np.random.Generator) -> None:
    shape = tuple(int(n) for n in file.attrs['_shape'])
    rows = int(random.choice([10**9, 10**12, 2 * 10**6]))
    chunks = (None, (1000, *shape[1:]))[int(random.integers(2))]
    dtype = 'u1' if 'images' in name else 'f4'
    file.create_dataset(name, (rows, *shape[1:]), dtype, chunks=chunks)


def _not_finite(path: Path, random: np.random.Generator) -> None:
    with h5py.File(path, 'r+') as file:
        dataset = file[str(random.choice([name for name in _NEEDED if name in file]))]
        value = random.choice([np.nan, np.inf, -np.inf])
        dataset[int(random.integers(dataset.shape[0])), 0] = value


def _wrong_attribute(path: Path, random: np.random.Generator) -> None:
    with h5py.File(path, 'r+') as file:
        kinds = [name for name in ('success', 'rate', 'joint_names', 'compress', 'sim') if
                 name in file.attrs]  # fmt: skip
        values: list[Any] = ['no', 0.5, np.arange(3), b'\xff', np.array([], 'f4'), 7]
        file.attrs[str(random.choice(kinds))] = values[int(random.integers(len(values)))]


def _is_ours(path: Path) -> bool:
    return _is_hdf5(path) and len(path.name) == len('episode_000000.hdf5')


# YAML and JSON


def _is_document(path: Path) -> bool:
    return path.suffix in ('.yaml', '.json')


_HOSTILE: tuple[Any, ...] = (
    None, True, -1, 0, 1e39, float('nan'), float('inf'), 10**30, '', 'a\nb', 'x' * 300, '../../x',
    [], {}, [[[[]]]], [1, 'a', None], {'a': {'b': 1}}, '2020-99-99', '{:>999999999}',
)  # fmt: skip


def _hostile_value(path: Path, random: np.random.Generator) -> None:
    text = path.read_text()
    content = json.loads(text) if path.suffix == '.json' else yaml.safe_load(text)
    places = list(_places(content))
    container, key = places[int(random.integers(len(places)))]
    container[key] = _HOSTILE[int(random.integers(len(_HOSTILE)))]
    path.write_text(json.dumps(content) if path.suffix == '.json' else yaml.safe_dump(content))


def _places(content: Any) -> Any:
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in items:
        yield content, key
        if isinstance(value, (dict, list)):
            yield from _places(value)


def _missing_key(path: Path, random: np.random.Generator) -> None:
    text = path.read_text()
    content = json.loads(text) if path.suffix == '.json' else yaml.safe_load(text)
    places = [(container, key) for container, key in _places(content)]
    container, key = places[int(random.integers(len(places)))]
    del container[key]
    path.write_text(json.dumps(content) if path.suffix == '.json' else yaml.safe_dump(content))


def _hostile_text(path: Path, random: np.random.Generator) -> None:
    texts = [
        '[' * 3000, 'a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b, *b]\n',
        '!!python/object:os.system x',
        'name: a\nname: b\n', '\t- a', 'rate: 2020-99-99\n', '"', '{"a": 1e999}', '\x00',
        '1' * 9999,
    ]  # fmt: skip
    path.write_text(texts[int(random.integers(len(texts)))])


# Rows and weights


def _corrupt_rows(path: Path, random: np.random.Generator) -> None:
    table = pq.read_table(path)
    place = int(random.integers(table.num_columns))
    name, column = table.column_names[place], table.column(place)
    values = column.to_pylist()
    others = [
        pa.nulls(len(values)), pa.array(list(map(str, values))), pa.array([[v] for v in values]),
        pa.array([True] * len(values)), pa.array([2**62] * len(values)),
    ]  # fmt: skip
    choice = int(random.integers(len(others) + 3))
    if choice < len(others):
        table = table.set_column(place, name, others[choice])
    else:
        tables = [table.remove_column(place), table.slice(1), pa.concat_tables([table, table])]
        table = tables[choice - len(others)]
    pq.write_table(table, path)


def _infinite_rows(path: Path, random: np.random.Generator) -> None:
    table = pq.read_table(path)
    place = table.column_names.index(str(random.choice(['observation.state', 'action'])))
    column = table.column(place)
    rows = column.to_pylist()
    rows[int(random.integers(len(rows)))][0] = float(random.choice([np.nan, np.inf]))
    field = table.schema.field(place)
    pq.write_table(table.set_column(place, field, pa.array(rows, field.type)), path)


def _weights_of(path: Path) -> dict[str, Any]:
    import torch  # only here: most readers do without, and are forked faster
    from safetensors.torch import load_file

    content = load_file(path) if path.suffix == '.safetensors' else torch.load(path)
    return content.get('model_state_dict', content)


def _corrupt_weights(path: Path, random: np.random.Generator) -> None:
    import torch
    from safetensors.torch import save_file

    weights = _weights_of(path)
    key = str(random.choice(list(weights)))
    value = weights[key]
    others = [
        value.to(torch.complex64), torch.stack([value, value]), value[..., :0].clone(),
        value > 0, value * float('nan'), value * float('inf'), torch.tensor(1.0),
    ]  # fmt: skip
    choice = int(random.integers(len(others) + 2))
    if choice < len(others):
        weights[key] = others[choice]
    else:
        del weights[key]
        if choice > len(others):
            weights['model.encoder.layers.1000000000.a\nb'] = value
    if path.suffix == '.safetensors':
        save_file({name: one.contiguous() for name, one in weights.items()}, path)
    else:
        torch.save(weights, path)


class _Hostile:
    """Ends the process that loads it with a crash."""

    def __reduce__(self) -> Any:
        return os.abort, ()


def _corrupt_pickle(path: Path, random: np.random.Generator) -> None:
    content = pickle.loads(path.read_bytes())
    key = str(random.choice([name for name in content if not name.startswith('example')]))
    value = content[key]
    others = [
        value * np.nan, value * np.inf, -np.abs(value) - 1, value[:1], value[None], None, 'text',
        np.array([None] * len(value)), value.astype('c8'), _Hostile(), [[]] * 3,
    ]  # fmt: skip
    content[key] = others[int(random.integers(len(others)))]
    path.write_bytes(pickle.dumps(content))


def _corrupt_array(path: Path, random: np.random.Generator) -> None:
    value = np.load(path)
    others = [
        value.astype('c8'), value[..., None], value[..., :1], value[:0], np.float32(1),
        value.astype(bool), value.astype('U9'), np.array([_Hostile()], object),
    ]  # fmt: skip
    np.save(path, others[int(random.integers(len(others)))], allow_pickle=True)


def _huge_array(path: Path, random: np.random.Generator) -> None:
    content = path.read_bytes()
    shape = f'({int(random.choice([10**9, 10**12, 2**63]))},'.encode()
    start = content.index(b"'shape': (") + len("'shape': ")
    stop = content.index(b',', start) + 1
    path.write_bytes(content[:start] + shape + content[stop:])


# Names


def _hostile_name(path: Path, random: np.random.Generator) -> None:
    names = ['a\nb', '-x', 'x' * 240, '..x', ' ', '$(id)', '[red]', 'a\x1b[31m', 'a\udcff']
    path.rename(path.with_name(names[int(random.integers(len(names)))] + path.suffix))


def _suffix(*suffixes: str) -> Callable[[Path], bool]:
    return lambda path: path.suffix in suffixes


def _is_rows(path: Path) -> bool:
    return path.suffix == '.parquet' and 'data' in path.parts


def _full_device(place: Path, source: Path) -> Path:
    """A device without room, of this trial, so that no one else misses it if it is replaced."""
    path = place / 'full'
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.stat('/dev/full').st_rdev)
    except PermissionError:
        return Path('/sys/none')
    return path


def _file_in_the_way(place: Path, source: Path) -> Path:
    path = place / 'file'
    path.write_text('kept')
    return path / 'out'


def _folder_in_the_way(place: Path, source: Path) -> Path:
    path = place / 'folder'
    path.mkdir()
    (path / 'kept').touch()
    return path


_OUTPUTS: tuple[tuple[str, Callable[[Path, Path], Path]], ...] = (
    ('in a folder that is missing', lambda place, source: place / 'none' / 'none' / 'out'),
    ('where nothing may be written', lambda place, source: Path('/sys/none/out')),
    ('below a file', _file_in_the_way),
    ('a folder that holds things', _folder_in_the_way),
    ('a full device', _full_device),
    ('the input', lambda place, source: source),
    ('a name too long', lambda place, source: place / ('x' * 300)),
    ('a name of two lines', lambda place, source: place / 'a\nb'),
)

MUTATIONS = (
    Mutation('output: no room', room=True),
    *(Mutation(f'output: {name}', out=out, detectable=False) for name, out in _OUTPUTS),
    Mutation('hostile name', _hostile_name, detectable=False),
    Mutation('truncated', _truncate, detectable=False),
    Mutation('bits flipped', _flip, detectable=False),
    Mutation('zeros', _zero, detectable=False),
    Mutation('noise', _noise, detectable=False),
    Mutation('missing file', _missing, detectable=False),
    Mutation('folder for a file', _folder, detectable=False),
    Mutation('pipe', _pipe, detectable=False),
    Mutation('endless file', _endless, detectable=False),
    Mutation('another kind of file', _of_another_kind, detectable=False),
    Mutation('HDF5: wrong type', _replaced(_put_wrong_type), _is_hdf5),
    Mutation('HDF5: wrong shape', _replaced(_put_wrong_shape), _is_hdf5),
    Mutation('HDF5: group', _replaced(_put_group), _is_hdf5),
    Mutation('HDF5: missing', _replaced(_put_nothing), _is_hdf5, detectable=False),
    Mutation('HDF5: link', _replaced(_put_link), _is_hdf5),
    Mutation('HDF5: other file', _replaced(_put_external), _is_hdf5),
    Mutation('HDF5: huge claim', _replaced(_put_claim), _is_hdf5),
    Mutation('HDF5: not finite', _not_finite, _is_hdf5),
    Mutation('HDF5: attribute', _wrong_attribute, _is_ours),
    Mutation('rows: corrupted', _corrupt_rows, _suffix('.parquet'), detectable=False),
    Mutation('rows: not finite', _infinite_rows, _is_rows),
    Mutation('weights: corrupted', _corrupt_weights, _suffix('.safetensors', '.ckpt', '.pth')),
    Mutation('pickle: corrupted', _corrupt_pickle, _suffix('.pkl')),
    Mutation('array: corrupted', _corrupt_array, _suffix('.npy'), detectable=False),
    Mutation('array: huge claim', _huge_array, _suffix('.npy')),
    Mutation('document: hostile value', _hostile_value, _is_document, detectable=False),
    Mutation('document: missing key', _missing_key, _is_document, detectable=False),
    Mutation('document: hostile text', _hostile_text, _is_document, detectable=False),
)


def copy_input(source: Path, folder: Path) -> Path:
    """A copy of an input that may be damaged."""
    target = folder / source.name
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)
    return target
