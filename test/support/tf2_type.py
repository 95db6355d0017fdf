# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The message type tf2_msgs/msg/TFMessage where no package brings it: PyPI has none.

Messages go over DDS as bytes, for which a middleware needs no more of a type than its name: it is
that of another message under this one.
"""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from types import ModuleType
from typing import Any

from geometry_msgs.msg import PoseArray
from rclpy.type_support import check_for_type_support

ENDS_WITH = b'rosidl_typesupport_fastrtps_c'
WORD = ctypes.sizeof(ctypes.c_void_p)
HANDLE_WORDS = 6  # of rosidl_message_type_support_t: identifier, data, and four functions
CALLBACK_WORDS = 7  # of message_type_support_callbacks_t: namespace, name, and functions
_kept: list[Any] = []  # what C points to


def tf_message_class() -> Any:
    """Return the class, for publishers and subscriptions of bytes; `import` finds it, too."""
    if 'tf2_msgs' not in sys.modules and importlib.util.find_spec('tf2_msgs') is None:
        package, messages = ModuleType('tf2_msgs'), ModuleType('tf2_msgs.msg')
        messages.TFMessage = _class_named(b'tf2_msgs__msg', b'TFMessage')
        package.msg = messages
        sys.modules.update({'tf2_msgs': package, 'tf2_msgs.msg': messages})
    from tf2_msgs.msg import TFMessage

    return TFMessage


def _class_named(namespace: bytes, name: bytes) -> Any:
    check_for_type_support(PoseArray)
    model = type(PoseArray)
    handle = _copied(_fast_handle(model._TYPE_SUPPORT), HANDLE_WORDS)
    callbacks = _copied(handle[1], CALLBACK_WORDS)
    for place, text in enumerate((namespace, name)):
        kept = ctypes.create_string_buffer(text)
        _kept.append(kept)
        callbacks[place] = ctypes.addressof(kept)
    handle[1] = ctypes.addressof(callbacks)
    make = ctypes.pythonapi.PyCapsule_New
    make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p] * 3
    members = {
        each: getattr(model, each)
        for each in dir(model)
        if each.startswith('_') and each.isupper()
    }
    members['_TYPE_SUPPORT'] = make(ctypes.addressof(handle), None, None)
    members['__import_type_support__'] = classmethod(lambda cls: None)
    kind = type('Metaclass_TFMessage', (type,), members)
    return kind(name.decode(), (), {})


def _fast_handle(capsule: Any) -> int:
    """The address of what the middleware reads, of what picks it."""
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_void_p]
    address = pointer(capsule, None)
    find = _copied(address, HANDLE_WORDS)[2]
    found = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(find)
    return int(found(address, ENDS_WITH))


def _copied(address: int, words: int) -> Any:
    copy = (ctypes.c_void_p * words)()
    ctypes.memmove(copy, address, words * WORD)
    _kept.append(copy)
    return copy
