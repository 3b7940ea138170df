"""`hpcdoctor prober`: the process that reads the machine."""

import os

from hpcdoctor.cli.activation import listening_socket
from hpcdoctor.cli.process import daemon_user, log_to_stderr, parse
from hpcdoctor.definitions.loader import load_profile, load_settings
from hpcdoctor.prober.main import serve
from hpcdoctor.probes.host import Host


def main(arguments: list[str]) -> int:
    options = parse("prober", arguments, flags=("--accept-user-kernel-log",))
    log_to_stderr("prober")
    settings = load_settings(options.config)
    profile = load_profile(settings.profile, options.config)
    mounts = [str(mount) for mount in profile.get("mounts", [])]
    host = Host.this_machine()
    host.profile = profile
    host.accept_user_kernel_log = options.accept_user_kernel_log
    users = daemon_user(settings, options.user) | {os.geteuid()}
    listener = listening_socket(settings.prober_socket)
    return serve(listener, host, allowed_users=users, mounts=mounts)
