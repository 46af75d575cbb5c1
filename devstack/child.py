"""Turns itself into one child of the stack: ties its life to its parent's, drops root, executes.

    python -I -S child.py PARENT_PID DEATH_SIGNAL UID:GID|- COMMAND [ARGUMENT...]

A small program in between, rather than code between fork and exec, because the parent may have
threads. It runs before any package can be imported: standard library only.

The kernel sends DEATH_SIGNAL when the parent dies, however it dies, so that a stack killed with
SIGKILL leaves nothing running. A change of user clears that wish: it is made last.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION_3 = 0x20080522


def become(uid: int, gid: int) -> None:
    """Drop root for `uid`, but keep, where the kernel lets us, the right to pass directories.

    PostgreSQL refuses to run as root, while its programs and data may well lie below a directory
    only root may enter (/root, a private temporary directory). Its own files it owns.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    mask = 1 << _CAP_DAC_OVERRIDE
    sets = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
    if libc.capset(header, sets) == 0:
        libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)


def main(arguments: list[str]) -> None:
    """Never returns: becomes the command, or exits with 127."""
    parent, death_signal, account, *command = arguments
    if account != "-":
        uid, gid = account.split(":")
        become(int(uid), int(gid))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit("the stack ended while this process was starting")
    try:
        os.execvp(command[0], command)  # noqa: S606
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(127)


if __name__ == "__main__":
    main(sys.argv[1:])
