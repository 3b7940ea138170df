"""`hpcdoctor prober`: the process that reads the machine."""

import logging
import os
from pathlib import Path

from hpcdoctor.cli.activation import listening_socket
from hpcdoctor.cli.process import daemon_user, log_to_stderr, parse
from hpcdoctor.definitions.command import Command, Declared, declared, problems_of
from hpcdoctor.definitions.loader import load_commands, load_profile, load_settings
from hpcdoctor.prober.main import serve
from hpcdoctor.probes.host import Host

log = logging.getLogger(__name__)


def main(arguments: list[str]) -> int:
    options = parse("prober", arguments, flags=("--accept-user-kernel-log",))
    log_to_stderr("prober")
    settings = load_settings(options.config)
    profile = load_profile(settings.profile, options.config)
    mounts = [str(mount) for mount in profile.get("mounts", [])]
    host = Host.this_machine()
    host.profile = profile
    host.commands = commands_of(options.config)
    host.accept_user_kernel_log = options.accept_user_kernel_log
    users = daemon_user(settings, options.user) | {os.geteuid()}
    listener = listening_socket(settings.prober_socket)
    return serve(listener, host, allowed_users=users, mounts=mounts)


def commands_of(configuration: Path) -> dict[str, Declared]:
    """Return the site's programs that only root can have written; the others are named."""
    found: dict[str, Command] = {}
    for name, defined in load_commands(configuration).items():
        problems = [str(problem) for problem in problems_of(defined.value, defined.source)]
        for problem in problems:
            log.warning("%s", problem)
        if not problems:
            found[name] = defined.value
    return declared(found)
