"""A stand-in for daemon, prober and helper: notes how it was started, and lives as it is told.

    python stand_in.py FOLDER NAME [arguments]

It adds a line to FOLDER/NAME.started, and obeys FOLDER/NAME.orders if that exists:
`ignore-term`, `idle` (take one call and leave with 0), `leave N` (leave at once with status N).
It imports nothing of ours, since it is copied to where every user can read it.
"""

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from types import FrameType


def main() -> int:
    folder, name = Path(sys.argv[1]), sys.argv[2]
    orders = folder / f"{name}.orders"
    wanted = orders.read_text().split() if orders.exists() else []

    def note_reload(_number: int, _frame: FrameType | None) -> None:
        with (folder / f"{name}.reloads").open("a") as file:
            file.write("reload\n")

    signal.signal(signal.SIGHUP, note_reload)
    signal.signal(signal.SIGTERM, signal.SIG_IGN if "ignore-term" in wanted else end)
    started = {
        "pid": os.getpid(),
        "arguments": sys.argv[2:],
        "folder": str(Path.cwd()),
        "listens": listens(),
        "listen": [os.environ.get("LISTEN_FDS"), os.environ.get("LISTEN_PID")],
        "notify": os.environ.get("NOTIFY_SOCKET"),
    }
    with (folder / f"{name}.started").open("a") as file:
        file.write(json.dumps(started) + "\n")
    if "leave" in wanted:
        return int(wanted[1])
    if "idle" in wanted:
        socket.socket(fileno=3).accept()
        return 0
    while True:
        time.sleep(60)


def end(_number: int, _frame: FrameType | None) -> None:
    folder, name = Path(sys.argv[1]), sys.argv[2]
    (folder / f"{name}.ended").write_text(str(time.monotonic()))
    os._exit(0)


def listens() -> str | None:
    """Return where descriptor 3 listens; None where it does not."""
    try:
        with socket.socket(fileno=os.dup(3)) as channel:
            if channel.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                return str(channel.getsockname())
    except OSError:
        pass
    return None


if __name__ == "__main__":
    sys.exit(main())
