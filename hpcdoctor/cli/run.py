"""`hpcdoctor run`: how do the three processes get started where there is no systemd?

Run by root, each process gets the user, capabilities and no-new-privs of its unit file, and the
sockets of prober and helper are handed over as systemd does it. What keeps them alive afterwards
is supervisor.py.
"""

import argparse
import contextlib
import errno
import os
import pwd
import shutil
import socket
import stat
import subprocess
import sys
from pathlib import Path

import msgspec

from hpcdoctor.cli.activation import SocketError, bind_socket
from hpcdoctor.cli.parser import make_parser
from hpcdoctor.cli.supervisor import Process, Supervisor, say
from hpcdoctor.cli.unit import grant_of, setpriv
from hpcdoctor.definitions.loader import load_settings
from hpcdoctor.definitions.settings import Settings
from hpcdoctor.definitions.yamlfile import DefinitionError

WRONG_CONFIGURATION = 78
PATIENCE_SECONDS = 60
# -P: what lies in the caller's folder is not ours to import, least of all as root.
PROGRAM = [sys.executable, "-P", "-m", "hpcdoctor"]

# Whose these are: whoever started us meant us or the daemon with them.
ONLY_FOR_THE_DAEMON = ("NOTIFY_SOCKET", "WATCHDOG_USEC")
FOR_NOBODY = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_PID")


class CannotRun(Exception):
    """The text says why, and what to do."""


def main(arguments: list[str], program: list[str] | None = None) -> int:
    """Run until told to stop; `program` comes before a process's name (tests hand in another)."""
    options = _parser().parse_args(arguments)
    configuration: Path = options.config.absolute()
    try:
        settings = load_settings(configuration)
        os.umask(0o022)  # folders above ours are made as usual; each process gets its unit's
        supervisor = _prepare(settings, configuration, options, program or PROGRAM)
    except DefinitionError as error:
        for problem in error.every:
            say(str(problem))
        return WRONG_CONFIGURATION
    except (CannotRun, SocketError) as error:
        say(str(error))
        return WRONG_CONFIGURATION
    try:
        return supervisor.run()
    finally:
        for path in (settings.prober_socket, settings.helper_socket):
            path.unlink(missing_ok=True)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("run", "Start daemon, prober and helper here, where no systemd does it.")
    parser.add_argument("--user", metavar="NAME", help="run the daemon as this user")
    parser.add_argument(
        "--accept-user-kernel-log",
        action="store_true",
        help="FOR TESTS: believe what any process writes to /dev/kmsg as if the kernel said it",
    )
    return parser


SYSTEMD = Path("/run/systemd/system")  # there where systemd runs the machine


def _prepare(
    settings: Settings, configuration: Path, options: argparse.Namespace, program: list[str]
) -> Supervisor:
    """Make folders and sockets, and return the supervisor with nothing started yet."""
    if shutil.which("setpriv") is None:
        raise CannotRun("the program `setpriv` is missing; install the package util-linux")
    root = os.geteuid() == 0
    account = _account(options.user or settings.user) if root else pwd.getpwuid(os.getuid())
    users: dict[str, str | None] = {"daemon": None, "prober": None, "helper": None}
    if root:
        users = {name: grant_of(name).user or "root" for name in users}
        users["daemon"] = account.pw_name
        _refuse_unreadable_python(account.pw_name)
    else:
        if options.user not in (None, account.pw_name):
            raise CannotRun(f"only root can run the daemon as {options.user}; leave out --user")
        say(
            f"started by {account.pw_name}, not by root: all three processes run as this user, "
            "see what this user may see, and cannot drain a node"
        )
    if options.accept_user_kernel_log:
        say(
            "WARNING: --accept-user-kernel-log: EVERY process that may write to /dev/kmsg can make "
            "this node drain. This is for tests; never use it on a node that runs jobs"
        )
    _make_folders(settings, account)
    group = account.pw_gid if root else None
    sockets: dict[str, socket.socket] = {
        "prober": bind_socket(settings.prober_socket, 0o660, group),
        "helper": bind_socket(settings.helper_socket, 0o660, group),
    }

    if root and settings.remediations and not SYSTEMD.is_dir():
        say(
            "there is no systemd that could start the programs of remediations, so the helper "
            "starts them itself and keeps all of root's capabilities"
        )

    def process(name: str) -> Process:
        grant = grant_of(name)
        if name == "helper" and settings.remediations and not SYSTEMD.is_dir():
            grant = msgspec.structs.replace(grant, bounding=None)
        command = [*program, name, "--config", str(configuration)]
        if options.user:
            command += ["--user", options.user]  # prober and helper answer nobody else
        if options.accept_user_kernel_log and name != "helper":
            command.append("--accept-user-kernel-log")
        return Process(
            name,
            command,
            privileges=setpriv(grant, users[name]),
            umask=grant.umask,
            environment=_environment(name),
            listening=sockets[name].detach() if name in sockets else None,
        )

    return Supervisor(process("daemon"), process("prober"), process("helper"))


def _account(user: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(user)
    except KeyError:
        raise CannotRun(
            f"there is no user {user} for the daemon; make one with: "
            f"useradd --system --user-group --no-create-home --shell /usr/sbin/nologin {user}"
        ) from None


def _refuse_unreadable_python(user: str) -> None:
    """Try what the daemon will need, with its own rights, and tell a closed folder from a crash."""
    command = [*setpriv(grant_of("daemon"), user), sys.executable, "-P", "-c", "import hpcdoctor"]
    done = subprocess.run(
        command, cwd="/", capture_output=True, timeout=PATIENCE_SECONDS, check=False
    )
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise CannotRun(
            f"user {user} cannot use this installation ({sys.executable}); install hpcdoctor where "
            f"everybody can read it, such as /opt/hpcdoctor, or open the folders above it "
            f"({said[-1] if said else f'status {done.returncode}'})"
        )


def _make_folders(settings: Settings, account: pwd.struct_passwd) -> None:
    owner = (account.pw_uid, account.pw_gid)
    _make_folder(Path(settings.run_directory), 0o755, *owner)
    _make_folder(Path(settings.state_directory), 0o750, *owner)
    _make_folder(Path(settings.helper_state_directory), 0o700, os.geteuid(), os.getegid())


def _make_folder(path: Path, mode: int, user: int, group: int) -> None:
    """Make the folder, or set owner and mode of the one that is there; never follow a link."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            found = os.fstat(
                folder
            )  # what is right stays: a read-only disk is the daemon's to tell
            if (found.st_uid, found.st_gid) != (user, group):
                os.fchown(folder, user, group)
            if stat.S_IMODE(found.st_mode) != mode:
                os.fchmod(folder, mode)
        finally:
            os.close(folder)
    except OSError as error:
        raise CannotRun(_why_no_folder(path, error)) from error


def _why_no_folder(path: Path, error: OSError) -> str:
    where = (
        "run_directory, state_directory and helper_state_directory in hpcdoctor.yaml say where "
        "the folders are"
    )
    if error.errno == errno.EROFS:
        return (
            f"{path} lies on a file system that is read-only; `findmnt -T {path}` names it, "
            f"`mount -o remount,rw` with that name makes it writable; {where}"
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the file system of {path} is full; make room on it (`df -h -i`); {where}"
    does = "set owner and mode of" if path.is_dir() else "make"
    return f"cannot {does} the folder {path}: {error.strerror}; {where}"


def _environment(name: str) -> dict[str, str]:
    kept = dict(os.environ)
    for variable in FOR_NOBODY if name == "daemon" else (*FOR_NOBODY, *ONLY_FOR_THE_DAEMON):
        kept.pop(variable, None)
    return kept
