"""What does the daemon tell systemd? Ready, alive, reloading, stopping, and one line for people.

The protocol is sd_notify(3): one datagram of KEY=value lines to the socket that NOTIFY_SOCKET
names. Without that variable nobody asked, and nothing is sent.
"""

import os
import socket
import time

# A listener that does not read must not stop the daemon: what does not fit is dropped.
_FLAGS = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL


def ready(status: str = "") -> None:
    """Say that the daemon does its work; after `reloading` this ends the reload."""
    notify("READY=1", _status(status))


def alive() -> None:
    """Say that the loop still turns; due twice within watchdog_seconds()."""
    notify("WATCHDOG=1")


def reloading() -> None:
    """Say that the configuration is read anew, until `ready` is said."""
    # systemd refuses a reload without this moment of its own clock.
    microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notify("RELOADING=1", f"MONOTONIC_USEC={microseconds}")


def stopping() -> None:
    notify("STOPPING=1")


def status(line: str) -> None:
    """Set the line that `systemctl status` shows."""
    notify(_status(line))


def notify(*assignments: str) -> bool:
    """Send what is not empty; tell whether somebody took it."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):  # a name in the abstract namespace
        address = "\0" + address[1:]
    message = "\n".join(assignment for assignment in assignments if assignment)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        try:
            channel.sendto(message.encode(), _FLAGS, address)
        except OSError:  # systemd is away or too busy; it will judge by the watchdog
            return False
    return True


def watchdog_seconds() -> float | None:
    """Return after how long a silence systemd kills us; None where it does not watch."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    watched = os.environ.get("WATCHDOG_PID", "")
    if not microseconds.isdecimal() or int(microseconds) == 0:
        return None
    if watched and watched != str(os.getpid()):
        return None
    return int(microseconds) / 1_000_000


def _status(line: str) -> str:
    return "STATUS=" + line.replace("\n", " ") if line else ""
