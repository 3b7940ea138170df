"""`hpcdoctor helper`: the process that drains and resumes, as root."""

import os
from pathlib import Path

from hpcdoctor.cli.activation import listening_socket
from hpcdoctor.cli.process import daemon_user, log_to_stderr, parse
from hpcdoctor.definitions.loader import load_settings
from hpcdoctor.helper.main import serve


def main(arguments: list[str]) -> int:
    options = parse("helper", arguments)
    log_to_stderr("helper")
    settings = load_settings(options.config)
    users = daemon_user(settings, options.user) | {os.geteuid()}
    listener = listening_socket(settings.helper_socket)
    folder = Path(settings.helper_state_directory)
    return serve(listener, settings, folder, allowed_users=users)
