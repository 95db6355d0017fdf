# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Offscreen images of a MuJoCo scene, without a display. MuJoCo is imported here and only here.

An image for a policy is plain (no shadows, no multisampling: a 64x64 frame costs about a
millisecond); an image for people has both. An OpenGL context belongs to the thread that made it.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import ctypes.util
import functools
import importlib.util
import os
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from motion_policy.errors import UserError

_GL_LIBRARIES = {'egl': 'EGL', 'osmesa': 'OSMesa'}


def _choose_gl() -> None:
    """Set MUJOCO_GL before MuJoCo reads it: EGL where there is one, else OSMesa."""
    if os.environ.get('MUJOCO_GL'):
        return
    for backend, library in _GL_LIBRARIES.items():
        if ctypes.util.find_library(library):
            os.environ['MUJOCO_GL'] = backend
            return
    os.environ['MUJOCO_GL'] = 'disabled'


_choose_gl()

import mujoco  # noqa: E402  (reads MUJOCO_GL on import)


class OffscreenRenderer:
    """Renders one model from its named cameras.

    Args:
        model: the MuJoCo model.
        for_people: shadows and multisampling, ten times slower.
    """

    def __init__(self, model: mujoco.MjModel, *, for_people: bool = False) -> None:
        self._model = model
        self._size = (model.vis.global_.offheight, model.vis.global_.offwidth)
        self._gl = _make_context(self._size)
        self._gl.make_current()
        samples, shadows = model.vis.quality.offsamples, model.vis.quality.shadowsize
        if not for_people:
            model.vis.quality.offsamples = model.vis.quality.shadowsize = 0
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        model.vis.quality.offsamples, model.vis.quality.shadowsize = samples, shadows
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        self._scene = mujoco.MjvScene(model, maxgeom=200)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = for_people
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = for_people
        self._option = mujoco.MjvOption()
        self._option.sitegroup[:] = 0
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._closed = False
        _open_renderers.add(self)
        _close_all_at_exit()

    def render(
        self, data: mujoco.MjData, camera: str, height: int, width: int
    ) -> npt.NDArray[np.uint8]:
        """Return the camera's image, (height, width, 3) uint8 RGB."""
        if height > self._size[0] or width > self._size[1]:
            raise UserError(
                f'camera {camera}: {height}x{width} asked, the renderer goes up to '
                f'{self._size[0]}x{self._size[1]}'
            )
        camera_id = mujoco.mj_name2id(self._model, mujoco.mjtObj.mjOBJ_CAMERA, camera)
        if camera_id < 0:
            names = ', '.join(self._model.camera(i).name for i in range(self._model.ncam))
            raise UserError(f'camera {camera}: not in the scene, which has {names}')
        self._camera.fixedcamid = camera_id
        self._gl.make_current()
        mujoco.mjv_updateScene(
            self._model,
            data,
            self._option,
            None,
            self._camera,
            mujoco.mjtCatBit.mjCAT_ALL.value,
            self._scene,
        )
        viewport = mujoco.MjrRect(0, 0, width, height)
        mujoco.mjr_render(viewport, self._scene, self._context)
        image = np.empty((height, width, 3), np.uint8)
        mujoco.mjr_readPixels(image, None, viewport, self._context)
        return image[::-1].copy()

    def close(self) -> None:
        """Free the OpenGL context."""
        if not self._closed:
            self._closed = True
            self._gl.make_current()
            self._context.free()
            self._gl.free()


_open_renderers: weakref.WeakSet[OffscreenRenderer] = weakref.WeakSet()


def _close_all() -> None:
    for renderer in list(_open_renderers):
        renderer.close()


@functools.cache
def _close_all_at_exit() -> None:
    """Call after the first context exists: exit handlers run last in, first out, and MuJoCo's
    own, which terminates EGL, is registered with that context.
    """
    atexit.register(_close_all)


@functools.cache
def _load_triton_first() -> None:
    """Both Mesa and triton, which PyTorch's exporter and compiler import, bring an LLVM: where
    Mesa's is there first, the import of triton ends the process by a segmentation fault.
    """
    found = importlib.util.find_spec('triton')
    for folder in (found and found.submodule_search_locations) or ():
        for library in Path(folder, '_C').glob('libtriton*.so'):
            with contextlib.suppress(OSError):
                ctypes.CDLL(str(library))


def _make_context(size: tuple[int, int]) -> Any:
    hint = 'install one of the Debian packages libegl1 (with libgl1-mesa-dri) or libosmesa6'
    if os.environ['MUJOCO_GL'] == 'disabled':
        raise UserError(f'offscreen rendering: no EGL and no OSMesa library found; {hint}')
    _load_triton_first()
    try:
        return mujoco.GLContext(size[1], size[0])
    except Exception as error:
        backend = os.environ['MUJOCO_GL']
        raise UserError(
            f'offscreen rendering: MUJOCO_GL={backend} failed ({error}); {hint}'
        ) from error
