# SPDX-License-Identifier: Apache-2.0
"""Sandbox: permanently denies a process files and sockets, by Landlock and seccomp of Linux.

    python -P -m steering_net.model_io.sandbox [--read PATH] [--write FOLDER] MODULE [ARGUMENT ...]

runs a module of this package as a program. The program can read Python, the system's libraries
and those paths, and write to those folders. It can open no socket. Time, memory and the size of
files are limited. It has the lowest priority, because a car may be driving. Restrictions that this
kernel does not support are left out; `risks` names what code could then do.

Only the standard library is imported before the restriction, because Landlock does not restrict
threads that already exist, and NumPy starts threads.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import os
import platform
import resource
import runpy
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from steering_net.process import end_with_parent

LIMIT_S = 300
"""Processor time of the process, s."""

WALL_LIMIT_S = 900
"""Time of the process on a clock, s: more, because others may keep the processors busy."""

_NICE = 10
"""The nodes of a drive come first, but a busy machine does not stop this process, as 19 would."""
_LIMIT_BYTES = 8 << 30
_LIMIT_FILE_BYTES = 1 << 30

# linux/landlock.h; the numbers of these system calls are the same on all processors.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_QUERY_VERSION = 1
_PATH_BENEATH = 1
_EXECUTE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 2, 1 << 3
_READ = _READ_FILE | _READ_DIR
_SPECIAL_FILES = 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12
"""Devices, sockets, pipes and links; this project opens the written files by their names."""
_FILE_RIGHTS = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15
"""Rights that a rule for a single file may have."""
_FILES_BY_VERSION = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
_NETWORK_BY_VERSION = {4: 1 << 0 | 1 << 1}
_SCOPES_BY_VERSION = {6: 1 << 0 | 1 << 1}

# linux/prctl.h, linux/seccomp.h, linux/filter.h.
_SET_SECCOMP, _SET_NO_NEW_PRIVS = 22, 38
_MODE_FILTER = 2
_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_OFFSET_OF_NUMBER, _OFFSET_OF_ARCHITECTURE = 0, 4
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EACCES
_X32 = 0x40000000
_IO_URING_SETUP = 425
_ARCHITECTURES = {'x86_64': (0xC000003E, 41), 'aarch64': (0xC00000B7, 198)}
"""Machine: its number in audit.h, and the number of the system call `socket`."""

_SYSTEM = (
    '/usr', '/lib', '/lib64', '/opt', '/nix/store', '/etc/ld.so.cache', '/etc/localtime', '/sys',
    '/proc/self', '/proc/cpuinfo', '/proc/meminfo', '/proc/stat', '/dev/random', '/dev/urandom',
)  # fmt: skip
"""Paths of the system that libraries read; in /proc none of other processes."""

_NOWHERE = '/dev/null'

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_number = ctypes.c_ulong


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ('files', ctypes.c_uint64),
        ('network', ctypes.c_uint64),
        ('scope', ctypes.c_uint64),
    )


class _PathRule(ctypes.Structure):
    _pack_ = 1
    _fields_ = (('rights', ctypes.c_uint64), ('descriptor', ctypes.c_int32))


class _Instruction(ctypes.Structure):
    _fields_ = (
        ('code', ctypes.c_uint16),
        ('if_true', ctypes.c_uint8),
        ('if_false', ctypes.c_uint8),
        ('value', ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (('length', ctypes.c_uint16), ('instructions', ctypes.POINTER(_Instruction)))


def risks() -> str:
    """Return what code in a network's file could do on this kernel, for people; '' if nothing."""
    found = []
    if not _landlock_version():
        found.append('read your files, because it lacks Landlock (Linux 5.13)')
    if not _has_seccomp():
        found.append('open connections, because it lacks seccomp filters')
    if not found:
        return ''
    return f'on this kernel code in the file of a network could {", and ".join(found)}'


def restrict(reads: Iterable[Path], writes: Iterable[Path]) -> None:
    """Deny this process all but these paths, Python and the system's libraries, and new sockets.

    Call it before any thread starts. Raises OSError if this kernel has Landlock or seccomp but
    refuses to use it.
    """
    _call(_prctl(_SET_NO_NEW_PRIVS, _number(1)))
    if version := _landlock_version():
        _restrict_files(version, list(reads), list(writes))
    if _has_seccomp():
        _refuse_sockets()


def _landlock_version() -> int:
    """Return the version of Landlock's interface, 0 without Landlock."""
    return max(0, _syscall(_CREATE_RULESET, None, _number(0), _number(_QUERY_VERSION)))


def _has_seccomp() -> bool:
    """Whether a filter can be set: a kernel that supports it rejects only the null pointer."""
    refused = _prctl(_SET_SECCOMP, _number(_MODE_FILTER)) < 0
    return platform.machine() in _ARCHITECTURES and refused and ctypes.get_errno() == errno.EFAULT


def _restrict_files(version: int, reads: list[Path], writes: list[Path]) -> None:
    files, network, scope = (
        sum(bits for since, bits in table.items() if since <= version)
        for table in (_FILES_BY_VERSION, _NETWORK_BY_VERSION, _SCOPES_BY_VERSION)
    )
    wanted = _Ruleset(files, network, scope)
    size = _number(ctypes.sizeof(wanted))
    ruleset = _call(_syscall(_CREATE_RULESET, ctypes.byref(wanted), size, _number(0)))
    for path in reads:
        _allow(ruleset, path, files & _READ)
    for path in (*map(Path, _SYSTEM), *_of_python()):
        _allow(ruleset, path, files & (_READ | _EXECUTE))
    for path in (Path(_NOWHERE), *writes):
        _allow(ruleset, path, files & ~(_EXECUTE | _SPECIAL_FILES))
    _call(_syscall(_RESTRICT_SELF, _number(ruleset), _number(0)))
    os.close(ruleset)


def _of_python() -> Iterable[Path]:
    """Yield folders of modules and libraries, except a user's home folder and its parents."""
    names = [sys.prefix, sys.base_prefix, *sys.path]
    names += os.environ.get('LD_LIBRARY_PATH', '').split(os.pathsep)
    home = Path(os.path.expanduser('~')).resolve()
    for path in (Path(name).resolve() for name in names if name):
        if path != home and path not in home.parents:
            yield path


def _allow(ruleset: int, path: Path, rights: int) -> None:
    """Allow these rights for a path and everything beneath it; skip a path that does not exist."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rule = _PathRule(rights if path.is_dir() else rights & _FILE_RIGHTS, descriptor)
        kind, flags = _number(_PATH_BENEATH), _number(0)
        _call(_syscall(_ADD_RULE, _number(ruleset), kind, ctypes.byref(rule), flags))
    finally:
        os.close(descriptor)


def _refuse_sockets() -> None:
    """Make `socket` and io_uring, which can also open sockets, fail with EACCES."""
    architecture, socket = _ARCHITECTURES[platform.machine()]
    # The two numbers of a jump count the instructions to skip; the last instruction refuses.
    lines = [
        (_LOAD, 0, 0, _OFFSET_OF_ARCHITECTURE),
        (_JUMP_IF_EQUAL, 0, 5, architecture),
        (_LOAD, 0, 0, _OFFSET_OF_NUMBER),
        (_JUMP_IF_AT_LEAST, 3, 0, _X32),
        (_JUMP_IF_EQUAL, 2, 0, socket),
        (_JUMP_IF_EQUAL, 1, 0, _IO_URING_SETUP),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    instructions = (_Instruction * len(lines))(*(_Instruction(*line) for line in lines))
    program = _Program(len(lines), instructions)
    _call(_prctl(_SET_SECCOMP, _number(_MODE_FILTER), ctypes.byref(program)))


def _syscall(number: int, *arguments: Any) -> int:
    return int(_libc.syscall(_number(number), *arguments))


def _prctl(option: int, *arguments: Any) -> int:
    """Call prctl, which has four more arguments; those that are not used must be zero."""
    unused = [_number(0)] * (4 - len(arguments))
    return int(_libc.prctl(option, *arguments, *unused))


def _call(result: int) -> int:
    """Return the result of a system call; OSError if it failed."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _bound() -> None:
    """Limit time, memory and the size of files."""
    bounds = {
        resource.RLIMIT_AS: _LIMIT_BYTES,
        resource.RLIMIT_CPU: LIMIT_S,
        resource.RLIMIT_FSIZE: _LIMIT_FILE_BYTES,
    }
    for what, bound in bounds.items():
        hard = resource.getrlimit(what)[1]
        resource.setrlimit(what, (bound if hard < 0 else min(bound, hard), hard))


def main() -> None:
    """Restrict this process, and run the module as the main program."""
    parser = argparse.ArgumentParser(description='Run a module without files and sockets.')
    parser.add_argument('--read', type=Path, action='append', default=[], help='may be read')
    parser.add_argument('--write', type=Path, action='append', default=[], help='may be written')
    parser.add_argument('module', help='a module, as for `python -m`')
    parser.add_argument('arguments', nargs=argparse.REMAINDER, help='its arguments')
    options = parser.parse_args()
    _bound()
    os.nice(_NICE)
    try:
        restrict(options.read, options.write)
    except OSError as error:
        sys.exit(f'the process that reads networks cannot be restricted: {error.strerror}')
    end_with_parent()
    # Not importable here, because Keras would import it and it would search for fonts.
    sys.modules['matplotlib'] = None  # type: ignore[assignment]
    sys.argv = [options.module, *options.arguments]
    runpy.run_module(options.module, run_name='__main__', alter_sys=True)


if __name__ == '__main__':
    main()
