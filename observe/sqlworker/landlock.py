"""Landlock: the kernel lets this thread and its children read below some folders, and nothing else.

No write, no execution, no other file, no TCP, no signals to processes outside. It cannot be undone
and needs no privilege. It binds the calling thread and what it starts, so it is applied right after
a fork, while there is one thread.

Source: Linux `Documentation/userspace-api/landlock.rst` and `include/uapi/linux/landlock.h`, ABI 1-7.
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # one number on every architecture
_VERSION_FLAG: Final = 1
_PATH_BENEATH: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
_READ_FILE: Final = 1 << 2
_READ_DIR: Final = 1 << 3
_FS_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # number of file rights by ABI; 16 since ABI 5


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def abi() -> int:
    """The Landlock version of this kernel; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    found = _libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_FLAG))
    return max(int(found), 0)


def confine(readable: Sequence[Path]) -> None:
    """From now on this thread reads only `readable` files and below `readable` folders; absent ones are left out.

    Descriptors of files stay open: a rule holds for an inode, and procfs makes a new one when nobody
    holds the old.

    Raises:
        OSError: the kernel refused; nothing may be trusted to run then.
    """
    version = abi()
    if version == 0:
        raise OSError("this kernel has no Landlock")
    libc = _libc()
    rules = _Ruleset((1 << _FS_RIGHTS.get(version, 16)) - 1, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _checked(libc.syscall(_CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(size), ctypes.c_uint32(0)))
    for path in readable:
        _allow(libc, ruleset, path)
    _checked(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _checked(libc.syscall(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0)))
    os.close(ruleset)


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    is_folder = stat.S_ISDIR(os.fstat(fd).st_mode)
    rule = _PathBeneath(_READ_FILE | (_READ_DIR if is_folder else 0), fd)
    beneath = ctypes.c_int(_PATH_BENEATH)
    _checked(libc.syscall(_ADD_RULE, ctypes.c_int(ruleset), beneath, ctypes.byref(rule), ctypes.c_uint32(0)))
    if is_folder:
        os.close(fd)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(result)


def threads() -> int:
    """How many threads this process has."""
    return len(os.listdir("/proc/self/task"))
