"""Which values of hpcdoctor.yaml cannot be used, although they have the right type?"""

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import PurePosixPath

from hpcdoctor.definitions.mistake import DefinitionError
from hpcdoctor.definitions.settings import CREDENTIAL, DAYS, Settings
from hpcdoctor.definitions.yamlfile import Located
from hpcdoctor.model.quantity import format_duration, parse_duration, parse_size

# One level of a topic on the broker, and a name at the scheduler.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
FILE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
CREDENTIAL_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}")
WEEKLY = re.compile(f"(?:{'|'.join(DAYS)}) (?:[01][0-9]|2[0-3]):[0-5][0-9]")
DAY_SECONDS = 86400.0
GRACE_SIGNALS = ("TERM", "USR1", "USR2", "INT", "HUP", "CONT")
# key: the least and the most seconds
DURATIONS = {
    "tick": (1.0, 60.0),
    "probation": (0.0, 365 * DAY_SECONDS),
    "spool_age": (60.0, 365 * DAY_SECONDS),
    "record_age": (0.0, 365 * DAY_SECONDS),
    "fleet_patience": (10.0, DAY_SECONDS),
}
LEAST_SPOOL_BYTES = 1 << 20
LONGEST_SOCKET_PATH = 107  # sun_path of unix(7), less its zero byte


def problems_of(settings: Settings, source: Located) -> Iterator[DefinitionError]:
    """Yield every mistake that types cannot tell."""
    for key, name in (("cluster", settings.cluster), ("node", settings.node)):
        if name is not None and NAME.fullmatch(name) is None and not UNFILLED.search(name):
            yield source.error(
                f"`{key}: {name}`: use letters, digits, dot, underscore and hyphen, and begin "
                "with a letter or digit",
                key,
            )
    if settings.profile is not None and FILE_NAME.fullmatch(settings.profile) is None:
        yield source.error(
            f"`profile: {settings.profile}`: write the name of a file in profiles/, without .yaml",
            "profile",
        )
    yield from _not_filled_in(source)
    yield from _maintenance(settings, source)
    yield from _quantities(settings, source)
    yield from _limit(settings, source)
    yield from _paths(settings, source)
    yield from _network(settings, source)


UNFILLED = re.compile(r"\$\{[^}]*\}|^\$[A-Za-z_]\w*|\{\{.*\}\}|%\([a-z]+\)s")


def _not_filled_in(source: Located) -> Iterator[DefinitionError]:
    """A place that a template or a shell was to fill in is no value."""
    for key, value in source.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Located):
                yield from _not_filled_in(item)
            elif isinstance(item, str) and (found := UNFILLED.search(item)):
                message = f"`{key}`: nothing fills in `{found[0]}` here; write the value itself"
                yield source.error(message, key)


def _maintenance(settings: Settings, source: Located) -> Iterator[DefinitionError]:
    """Each window is either `from` and `until`, or `every` and `for`."""
    for number, window in enumerate(settings.maintenance):
        where = source["maintenance"][number]
        once, weekly = (window.start, window.until), (window.every, window.lasts)
        if (None in once) == (None in weekly) or bool(any(once)) == bool(any(weekly)):
            yield where.error("write either `from` and `until`, or `every` and `for`", "why")
            continue
        for key, text in (("from", window.start), ("until", window.until)):
            if text is not None and not _is_date(text):
                yield where.error(f"`{key}: {text}`: write it as 2026-12-01T08:00", key)
        if window.every is not None and WEEKLY.fullmatch(window.every) is None:
            yield where.error(f"`every: {window.every}`: write it as sat 02:00", "every")
        if window.lasts is not None:
            try:
                seconds = parse_duration(window.lasts)
            except ValueError as error:
                yield where.error(f"`for`: {error}", "for")
            else:
                if not 60 <= seconds <= 7 * 86400:
                    yield where.error(f"`for: {window.lasts}` has to be from 1m to 7d", "for")


def _is_date(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _quantities(settings: Settings, source: Located) -> Iterator[DefinitionError]:
    for key, (least, most) in DURATIONS.items():
        text = getattr(settings, key)
        try:
            seconds = parse_duration(text)
        except ValueError as error:
            yield source.error(f"`{key}`: {error}", key)
            continue
        if not least <= seconds <= most:
            bounds = f"between {format_duration(least)} and {format_duration(most)}"
            yield source.error(f"`{key}: {text}` has to be {bounds}", key)
    try:
        parse_size(settings.record_size)
    except ValueError as error:
        yield source.error(f"`record_size`: {error}", "record_size")
    try:
        if parse_size(settings.spool_size) < LEAST_SPOOL_BYTES:
            yield source.error("`spool_size` has to be 1MiB or more", "spool_size")
    except ValueError as error:
        yield source.error(f"`spool_size`: {error}", "spool_size")


def _limit(settings: Settings, source: Located) -> Iterator[DefinitionError]:
    section = source.get("limit")
    where = section if isinstance(section, Located) else source
    if settings.limit.nodes < 0:
        yield where.error("`nodes` has to be 0 or more", "nodes")
    if not 0 < settings.probe_cost_ratio <= 1:
        hint = "is a fraction of one CPU above 0 and up to 1, such as 0.02"
        yield source.error(f"`probe_cost_ratio` {hint}", "probe_cost_ratio")
    share = settings.limit.share_ratio
    if not 0 <= share <= 1:
        hint = f"; did you mean {share / 100:g}?" if 1 < share <= 100 else ""
        yield where.error(f"`share_ratio` is a fraction between 0 and 1{hint}", "share_ratio")


def _paths(settings: Settings, source: Located) -> Iterator[DefinitionError]:
    for key in ("run_directory", "state_directory", "helper_state_directory"):
        path = PurePosixPath(getattr(settings, key))
        if not path.is_absolute() or ".." in path.parts or len(path.parts) < 2:
            yield source.error(f"`{key}: {path}` has to be a whole path, such as /var/lib/x", key)
    sockets = (settings.control_socket, settings.prober_socket, settings.helper_socket)
    longest = max((str(socket) for socket in sockets), key=len)
    if len(longest.encode()) > LONGEST_SOCKET_PATH:
        yield source.error(
            f"`run_directory`: the socket {longest} would have a longer path than the kernel takes "
            f"({LONGEST_SOCKET_PATH} bytes)",
            "run_directory",
        )
    yield from _slurm(settings, source)
    for key in ("conf", "programs", "token_file"):
        value = getattr(settings.slurm, key)
        if value is not None and not PurePosixPath(value).is_absolute():
            section = source["slurm"]
            yield section.error(f"`{key}: {value}` has to be a whole path, from / on", key)


def _slurm(settings: Settings, source: Located) -> Iterator[DefinitionError]:
    name = settings.slurm.grace_signal
    if name not in GRACE_SIGNALS:
        known = ", ".join(GRACE_SIGNALS)
        yield source["slurm"].error(f"`grace_signal: {name}` is none of {known}", "grace_signal")
    try:
        seconds = parse_duration(settings.slurm.grace)
    except ValueError as error:
        yield source["slurm"].error(f"`grace`: {error}", "grace")
        return
    if not 0 <= seconds <= DAY_SECONDS:
        yield source["slurm"].error("`grace` has to be between 0s and 1d", "grace")


def _textfile(settings: Settings, source: Located) -> Iterator[DefinitionError]:
    name = settings.metrics.textfile if settings.metrics is not None else None
    if name is None:
        return
    path = PurePosixPath(name)
    if not path.is_absolute() or ".." in path.parts or path.suffix != ".prom":
        yield source["metrics"].error(
            f"`textfile: {name}` has to be a whole path that ends in .prom; node_exporter reads no "
            "other",
            "textfile",
        )


def _network(settings: Settings, source: Located) -> Iterator[DefinitionError]:
    for name, asked in (("mqtt", settings.mqtt), ("metrics", settings.metrics)):
        port = asked.port if asked is not None else None
        if port is not None and not 1 <= port <= 65535:
            yield source[name].error(f"`port: {port}` is no TCP port", "port")
    yield from _textfile(settings, source)
    mqtt = settings.mqtt
    if mqtt is None:
        return
    where: Located = source["mqtt"]
    error: Callable[[str, str], DefinitionError] = where.error
    for key in ("ca_file", "cert_file", "key_file", "password_file"):
        written = getattr(mqtt, key)
        if written is None or PurePosixPath(written).is_absolute():
            continue
        if not written.startswith(CREDENTIAL):
            # Not shown: somebody may have written the password itself.
            what = "the whole path of a file, from / on, or credential:NAME"
            yield error(f"`{key}`: write {what}, never the secret itself", key)
        elif CREDENTIAL_NAME.fullmatch(written.removeprefix(CREDENTIAL)) is None:
            what = "after `credential:` comes a name of letters, digits, dot, underscore, hyphen"
            yield error(f"`{key}: {written}`: {what}, without a space", key)
    if not mqtt.host.strip():
        yield error("`host` is empty", "host")
    elif "/" in mqtt.host:
        what = "write the name alone; `port:` and `ca_file:` (TLS) stand beside it"
        yield error(f"`host: {mqtt.host}`: {what}", "host")
    elif found := re.fullmatch(r"([^:]+|\[.+\]):([0-9]+)", mqtt.host):
        name = found[1].strip("[]")
        fix = f"write `host: {name}` and `port: {found[2]}`"
        yield error(f"`host: {mqtt.host}`: {fix}", "host")
    if not 5 <= mqtt.keepalive_seconds <= 65535:
        yield error("`keepalive_seconds` has to be between 5 and 65535", "keepalive_seconds")
    if (mqtt.cert_file is None) != (mqtt.key_file is None):
        yield error("`cert_file` and `key_file` go together", "cert_file")
    if mqtt.cert_file is not None and mqtt.ca_file is None:
        yield error("`cert_file` is of no use without `ca_file`, which turns TLS on", "cert_file")
    if mqtt.password_file is not None and mqtt.username is None:
        yield error("`password_file` is of no use without `username`", "password_file")
