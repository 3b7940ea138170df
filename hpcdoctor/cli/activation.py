"""Where does a process get its listening socket from? As descriptor 3, or it binds one by itself.

The descriptor comes by systemd's socket activation protocol, sd_listen_fds(3): LISTEN_FDS counts,
LISTEN_PID says for whom. `hpcdoctor run` speaks it too.
"""

import contextlib
import grp
import os
import socket
import stat
import struct
from pathlib import Path

FIRST_DESCRIPTOR = 3
BACKLOG = 16


class SocketError(Exception):
    """There is no socket to listen on; the text says why and what to do."""


def listening_socket(
    path: Path, mode: int = 0o660, group: str | int | None = None
) -> socket.socket:
    """Return the socket that was handed to this process, else one bound at `path`."""
    return inherited_socket() or bind_socket(path, mode, group)


def inherited_socket() -> socket.socket | None:
    """Return the socket handed to this process, once; None where there is none."""
    count = os.environ.pop("LISTEN_FDS", "")
    meant_for = os.environ.pop("LISTEN_PID", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if meant_for != str(os.getpid()) or not count:
        return None
    if count != "1":
        raise SocketError(f"one listening socket is expected, but LISTEN_FDS is `{count}`")
    try:
        os.set_inheritable(FIRST_DESCRIPTOR, False)
        channel = socket.socket(fileno=FIRST_DESCRIPTOR)
        listens = channel.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise SocketError(f"descriptor 3 is not a socket: {error.strerror}") from error
    if channel.family != socket.AF_UNIX or channel.type != socket.SOCK_STREAM or not listens:
        raise SocketError("descriptor 3 is not a listening unix stream socket")
    return channel


def bind_socket(path: Path, mode: int, group: str | int | None = None) -> socket.socket:
    """Return a socket that listens at `path`, in place of one that nobody serves any more.

    It appears there complete, with its owner, mode and queue: it is made beside and then renamed.
    """
    _refuse_what_must_stay(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()
        before = os.umask(0o177)
        try:
            channel.bind(str(beside))
        finally:
            os.umask(before)
        if group is not None:
            os.chown(beside, -1, group if isinstance(group, int) else grp.getgrnam(group).gr_gid)
        beside.chmod(mode)
        channel.listen(BACKLOG)
        beside.rename(path)
    except (OSError, KeyError) as error:
        channel.close()
        beside.unlink(missing_ok=True)
        reason = f"no group is named {group}" if isinstance(error, KeyError) else error
        raise SocketError(f"cannot listen at {path}: {reason}") from error
    return channel


def _refuse_what_must_stay(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise SocketError(f"cannot listen at {path}: {error.strerror}") from error
    if not stat.S_ISSOCK(found.st_mode):
        raise SocketError(f"cannot listen at {path}: something else is there; move it away")
    if _is_served(path):
        raise SocketError(
            f"a running process listens at {path} already; stop it first, "
            "or give this one a run_directory of its own in hpcdoctor.yaml"
        )


def _is_served(path: Path) -> bool:
    """Tell whether the process that began to listen there still lives.

    An answer alone is no proof: a child stuck in the kernel may hold a dead parent's socket open.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as channel:
        channel.setblocking(False)
        try:
            channel.connect(str(path))
        except BlockingIOError:  # its queue is full
            return True
        except OSError:
            return False
        credentials = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        pid: int = struct.unpack("iII", credentials)[0]
        return pid == 0 or Path(f"/proc/{pid}").exists()
