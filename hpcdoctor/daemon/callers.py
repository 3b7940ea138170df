"""Who is at the other end of the control socket, and what may they do?"""

import grp
import pwd
import socket
import struct
from enum import IntEnum
from pathlib import Path

import msgspec

READERS = "hpcdoctor"  # may see evidence
ADMINS = "hpcdoctor-admin"  # may hold and release

SO_PEERGROUPS = 59  # include/uapi/asm-generic/socket.h, Linux 4.13; not in Python's socket module
NO_LOGIN = 4294967295


class Right(IntEnum):
    SUMMARY = 1  # everybody on the machine
    DETAILS = 2
    ADMIN = 3


class Caller(msgspec.Struct, frozen=True):
    """A process of this machine, as the kernel vouches for it."""

    user: int
    pid: int
    right: Right
    name: str  # for the record: "alice", or "root (login alice)" where the session tells


def identify(connection: socket.socket, own_user: int) -> Caller:
    """Return who connected, from the credentials that the kernel took at connect()."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    pid, user, group = struct.unpack("iII", credentials)
    groups = {group, *_groups(connection)}
    right = Right.SUMMARY
    if user == own_user or _number(READERS) in groups:
        right = Right.DETAILS
    if user == 0 or _number(ADMINS) in groups:
        right = Right.ADMIN
    return Caller(user=user, pid=pid, right=right, name=_name(user, pid))


def _groups(connection: socket.socket) -> set[int]:
    try:
        data = connection.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, 4 * 65536)
    except OSError:
        return set()
    return set(struct.unpack(f"{len(data) // 4}I", data))


def _number(group: str) -> int | None:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        return None


def _name(user: int, pid: int) -> str:
    name = _user_name(user)
    try:
        login = int((Path("/proc") / str(pid) / "loginuid").read_text())
    except (OSError, ValueError):
        return name
    if login in (NO_LOGIN, user):
        return name
    return f"{name} (login {_user_name(login)})"


def _user_name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"uid {user}"
