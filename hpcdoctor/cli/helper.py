"""`hpcdoctor helper`: the process that drains, resumes and repairs, as root."""

import logging
import os
from pathlib import Path
from typing import Any

from hpcdoctor.cli.activation import listening_socket
from hpcdoctor.cli.process import daemon_user, log_to_stderr, parse
from hpcdoctor.definitions.loader import (
    load_definitions,
    load_profile,
    load_rules,
    load_settings,
)
from hpcdoctor.definitions.remediation import Remediation
from hpcdoctor.definitions.trust import why_not_trusted
from hpcdoctor.helper.main import serve
from hpcdoctor.model.decision import Mode, Want

log = logging.getLogger(__name__)


def main(arguments: list[str]) -> int:
    options = parse("helper", arguments)
    log_to_stderr("helper")
    settings = load_settings(options.config)
    users = daemon_user(settings, options.user) | {os.geteuid()}
    listener = listening_socket(settings.helper_socket)
    folder = Path(settings.helper_state_directory)
    return serve(
        listener,
        settings,
        folder,
        remediations=remediations_of(options.config) if settings.remediations else {},
        services=services_of(load_profile(settings.profile, options.config)),
        job_rules=lambda: rules_that_touch_jobs(options.config),
        allowed_users=users,
    )


def remediations_of(configuration: Path) -> dict[str, Remediation]:
    """Return what the files say that only root can write; the others are named and left out."""
    definitions = load_definitions(configuration)
    found = {}
    for name, defined in definitions.remediations.items():
        if reason := why_not_trusted(defined.source.file):
            log.warning("remediation %s is left out: %s", name, reason)
        else:
            found[name] = defined.value
    for problem in definitions.problems:
        log.warning("%s", problem)
    return found


def rules_that_touch_jobs(configuration: Path) -> frozenset[str]:
    """Return the rules that may have jobs signalled or requeued; read when somebody asks for it."""
    return frozenset(
        name
        for name, defined in load_rules(configuration).items()
        if defined.value.decide.node in (Want.REQUEUE, Want.DRAIN_NOW)
        and defined.value.enabled
        and defined.value.mode is Mode.ACT
        and why_not_trusted(defined.source.file) is None
    )


def services_of(profile: dict[str, Any]) -> list[str]:
    """Return the units that the profile expects here: only they may be restarted."""
    section = profile.get("services")
    units = section.get("units") if isinstance(section, dict) else section
    return [str(unit) for unit in units] if isinstance(units, list) else []
