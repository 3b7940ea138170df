"""Which settings hold on this node, and which line of which file says so? For people and scripts.

A secret is never opened here: of a file that holds one, it is told whether the daemon can use it.
"""

import grp
import pwd
import textwrap
from collections.abc import Iterator
from pathlib import Path

import msgspec

from hpcdoctor.actions.slurm_commands import why_not_secret
from hpcdoctor.definitions.loader import Defined
from hpcdoctor.definitions.settings import CREDENTIAL, Authority, SchedulerName, Settings
from hpcdoctor.definitions.yamlfile import Located
from hpcdoctor.events.credentials import SECRET, files_of, why_not
from hpcdoctor.model.decision import Mode
from hpcdoctor.model.text import visible
from hpcdoctor.report.pages.fields import Key, keys

WIDTH = 80
WIDEST = 24  # of a value beside its meaning
SCHEMA = "hpcdoctor.settings/1"
DEFAULT = "default"


class Row(msgspec.Struct, frozen=True):
    """One key with its value."""

    key: str  # "limit.nodes"
    value: object  # as it is written in the file; None: not set
    file: str | None  # None: nobody has said so, it is the default
    line: int | None
    is_default: bool  # the same as the default, whoever says so


class Promise(msgspec.Struct, frozen=True):
    """One thing that follows from the settings, in the words of an operator."""

    what: str
    value: str
    key: str  # the setting behind it; "" where there is none
    meaning: str


class File(msgspec.Struct, frozen=True):
    """A file that the settings name, and whether it can be used; never its content."""

    key: str
    written: str
    secret: bool
    reader: str  # whose process reads it: "daemon" or "helper"
    trouble: str  # "" where it can be used; "?" where only the daemon can tell


class Effective(msgspec.Struct, frozen=True):
    """All that `hpcdoctor settings` says."""

    schema: str
    node: str
    file: str | None  # None: there is none
    promises: list[Promise]
    settings: list[Row]
    files: list[File]


class Rules(msgspec.Struct, frozen=True):
    """How many rules there are, and how many of them say `act`."""

    act: int
    all: int
    touch_jobs: list[str]  # the names of those that signal, requeue or kill what runs


def effective(defined: Defined[Settings], node: str, rules: Rules, is_there: bool) -> Effective:
    """Put together what holds; `is_there` tells whether there is a file at all."""
    settings = defined.value
    return Effective(
        schema=SCHEMA,
        node=settings.node or node,
        file=str(defined.source.file) if is_there else None,
        promises=list(_promises(settings, rules)),
        settings=list(_rows(settings, defined.source, keys(Settings), "")),
        files=list(_files(settings)),
    )


_MODES = {
    Mode.ACT: "{act} of {all} rules may drain and repair, the others only record",
    Mode.SHADOW: "decides and records, touches nothing; `act` would let {act} of {all} rules act",
    Mode.DISABLED: "checks only, decides nothing",
}
_AUTHORITIES = {
    Authority.NODE: "this node's own helper drains and resumes",
    Authority.FLEET: "the fleet controller drains; it grants repairs",
    Authority.CONSUMER: "somebody else's program reads the quarantine and drains",
}


def _promises(settings: Settings, rules: Rules) -> Iterator[Promise]:
    """What a careful operator asks first, in this order."""
    meaning = _MODES[settings.mode].format(act=rules.act, all=rules.all)
    yield Promise("mode", settings.mode.value, "mode", meaning)
    yield Promise(
        "authority", settings.authority.value, "authority", _AUTHORITIES[settings.authority]
    )
    scheduler = "drains and resumes go through its own commands"
    if settings.scheduler is SchedulerName.NONE:
        scheduler = "there is nobody to ask: no node is drained"
    yield Promise("scheduler", settings.scheduler.value, "scheduler", scheduler)
    meaning = "no new jobs; running ones are never signalled or requeued"
    if rules.touch_jobs:
        meaning = f"no new jobs; running ones are touched by {', '.join(rules.touch_jobs)} alone"
    yield Promise("quarantine", "drain", "", meaning)
    yield Promise(
        "remediations",
        ", ".join(settings.remediations) or "none",
        "remediations",
        "only these run" if settings.remediations else "no repair runs until it is named",
    )
    nodes = "1 node" if settings.limit.nodes == 1 else f"{settings.limit.nodes} nodes"
    yield Promise(
        "limit",
        f"{nodes} or {100 * settings.limit.share_ratio:g} %",
        "limit",
        "of a partition, the larger of the two, out by hpcdoctor",
    )
    yield Promise(
        "resume",
        "by-hand",
        "",
        "by a person or a verified repair, unless its rule says `when-clear`",
    )
    yield Promise(
        "probation",
        settings.probation,
        "probation",
        "how long a node that is back in service is watched",
    )
    yield Promise(
        "gate", "job starts", "", "where the gate cannot know how the node is, and it says so"
    )


def _rows(section: object, source: Located, known: tuple[Key, ...], above: str) -> Iterator[Row]:
    for key in known:
        name = f"{above}{key.name}"
        value = _get(section, key.name)
        inner = source.get(key.name)
        if key.shape is not None and not key.is_list:
            if value is None:
                yield _row(name, None, source, key, default=True)
                continue
            place = inner if isinstance(inner, Located) else Located(source.file, 0)
            yield from _rows(value, place, keys(key.shape), f"{name}.")
            continue
        plain: object = msgspec.to_builtins(value)
        yield _row(name, plain, source, key, default=value == key.default)


def _row(name: str, value: object, source: Located, key: Key, *, default: bool) -> Row:
    if key.name not in source:
        return Row(name, value, None, None, default)
    place = source.place(key.name)
    return Row(name, value, str(place.file), place.line, default)


def _get(section: object, name: str) -> object:
    """Return the value of the key as it is written in the file."""
    assert isinstance(section, msgspec.Struct)  # noqa: S101  # only those have keys
    for field in msgspec.structs.fields(section):
        if field.encode_name == name:
            value: object = getattr(section, field.name)
            return value
    raise KeyError(name)


def shown(value: object) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return ", ".join(f"{key}: {shown(v)}" for key, v in value.items() if v is not None)
    if isinstance(value, list):
        return "; ".join(shown(item) for item in value) or "none"
    return visible(str(value))


def _files(settings: Settings) -> Iterator[File]:
    if (token := settings.slurm.token_file) is not None:
        yield File("slurm.token_file", token, True, "helper", why_not_secret(Path(token)) or "")
    if settings.mqtt is None:
        return
    for key, written in files_of(settings.mqtt).items():
        if written is not None:
            secret = key in SECRET
            trouble = _trouble(written, settings, secret=secret)
            yield File(f"mqtt.{key}", written, secret, "daemon", trouble)


def _trouble(written: str, settings: Settings, *, secret: bool) -> str:
    if written.startswith(CREDENTIAL):
        return "?"
    try:
        account = pwd.getpwnam(settings.user)
    except KeyError:
        return f"there is no user {settings.user} for the daemon"
    groups = {account.pw_gid, *(g.gr_gid for g in grp.getgrall() if settings.user in g.gr_mem)}
    return why_not(written, secret=secret, user=account.pw_uid, groups=groups)


def render(known: Effective) -> str:
    """The page for people: what matters first, then every key with its place."""
    node = visible(known.node)
    title = f"hpcdoctor on {node}, as set by {visible(known.file or '')}"
    if known.file is None:
        title = f"hpcdoctor on {node}: there is no hpcdoctor.yaml, so all are defaults"
    lines = [title, ""]
    places = {row.key.partition(".")[0]: _place(row, known) for row in known.settings if row.file}
    widest = max(len(promise.value) for promise in known.promises)
    for promise in known.promises:
        where = f" [{places[promise.key]}]" if promise.key in places else ""
        margin = f"  {promise.what:<12}  "
        if widest <= WIDEST:
            margin += f"{visible(promise.value):<{widest}}  "
        else:
            lines.append(margin + visible(promise.value))
            margin = " " * len(margin)
        indent = " " * len(margin)
        lines += textwrap.wrap(
            promise.meaning + where, WIDTH, initial_indent=margin, subsequent_indent=indent
        )
    for file_row in known.files:
        lines += _about_file(file_row)
    lines += ["", "Every key, and where its value stands:"]
    width = max(len(row.key) for row in known.settings)
    for row in known.settings:
        lines.append(f"  {row.key:<{width}}  {shown(row.value):<28}  {_place(row, known)}")
    return "\n".join(lines) + "\n"


def _place(row: Row, known: Effective) -> str:
    if row.file is None:
        return DEFAULT
    file = "line" if row.file == known.file else visible(row.file)
    same = " (the default)" if row.is_default else ""
    return f"{file} {row.line}{same}"


def _about_file(file: File) -> Iterator[str]:
    kind = "secret" if file.secret else "file"
    state = f"the {file.reader} can use it"
    if file.trouble == "?":
        name = file.written.removeprefix(CREDENTIAL)
        state = f"from systemd: LoadCredential={name}:… has to be in hpcdoctor.service"
    elif file.trouble:
        state = f"CANNOT BE USED: {file.trouble}"
    yield f"  {kind:<12}  {visible(file.key)}: {visible(file.written)}"
    yield f"  {'':<12}  {visible(state)}"
