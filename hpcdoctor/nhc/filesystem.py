"""What are NHC's check_fs_* to us? Mounts are our own probe's, how full is df's."""

import posixpath
import re

from hpcdoctor.nhc import targets
from hpcdoctor.nhc.notes import Call, Code, Notes, OwnCheck, Remedy
from hpcdoctor.nhc.remedies import commands

WORD_OPTION = re.compile(r"(!?)/\((?:\^\|,|,\|\^)\)([A-Za-z0-9_.=:-]+)\((?:\$\|,|,\|\$)\)/")
PLAIN = re.compile(r"[A-Za-z0-9_./:@,*?=+-]+")
ZERO = re.compile(r"0+(?:%|[kmgtpe]?b?)", re.IGNORECASE)
AT_LEAST = ("check_fs_size", "check_fs_free", "check_fs_inodes", "check_fs_ifree")
# Not to be written to, which is how our probe measures a mount that the profile names.
KERNELS_OWN = ("/proc", "/sys", "/dev", "/run")


def convert(call: Call, notes: Notes) -> None:
    if call.check.startswith("check_fs_mount"):
        _mount(call, notes)
    else:
        _space(call, notes)


def _space(call: Call, notes: Notes) -> None:
    if len(call.rest) < 2 or not call.rest[0]:
        notes.why_not = f"{call.check} needs a mount point and a limit"
        return
    if ZERO.fullmatch(call.rest[1]) and call.check in AT_LEAST and not any(call.rest[2:3]):
        notes.nothing_asked()
        return
    if call.rest[0] != "/":
        notes.warn(
            Code.NOT_MEASURED_PASSES,
            f"NHC passes where df does not list {call.rest[0]}, or it has "
            "size 0; here that is unknown",
        )
    notes.better.append(
        "only this file system is asked: one that hangs elsewhere is not in its way"
    )


def _mount(call: Call, notes: Notes) -> None:
    if call.words[1:] and call.words[1].startswith("/"):
        points, sources = [call.words[1]], [w for w in call.words[2:3] if w]
        types, options = [w for w in call.words[3:4] if w], [w for w in call.words[4:5] if w]
    else:
        points = [*call.values("fF"), *call.rest]
        sources, types, options = call.values("s"), call.values("t"), call.values("o")
    if not points:
        notes.why_not = f"{call.check} names no mount point"
        return
    for text in sources:
        notes.mstr(text, "the source", path=True)
    for text in (*types, *options):
        notes.mstr(text, "the text")
    _actions(call, points, notes)
    if call.has("F"):
        notes.told.append("-F touches a file below the mount point; an automount is not woken here")
    conditions = _conditions(call.check, sources, types, options)
    plain = all(_is_plain(point) for point in points)
    if conditions is None or not plain or call.has("0") or call.has("F"):
        return  # the program says it in NHC's own terms
    notes.mounts += points
    notes.better.append(
        "filesystem-missing, filesystem-stale and filesystem-stuck also see a mount that is there "
        "and does not answer"
    )
    wrong = " || ".join(f"!({condition})" for condition in conditions)
    for point in points if wrong else ():
        notes.checks.append(
            OwnCheck(
                "mounts",
                "30s",
                "{mount_point} is mounted from {source} as {type}, and not as nhc.conf asks",
                wrong,
                where=f'mount_point == "{point}" && mounted',
                per="mount_point",
            )
        )


def _is_plain(point: str) -> bool:
    kernels = point.startswith(tuple(f"{each}/" for each in KERNELS_OWN)) or point in KERNELS_OWN
    return bool(
        PLAIN.fullmatch(point)
        and point.startswith("/")
        and posixpath.normpath(point) == point
        and not point.startswith("//")
        and not kernels
    )


def _conditions(
    check: str, sources: list[str], types: list[str], options: list[str]
) -> list[str] | None:
    """Return what has to hold in our language; None where it has no words for it."""
    found: list[str | None] = []
    found += [_text("source", text) for text in sources]
    found += [_text("type", text) for text in types]
    for text in options:
        match = WORD_OPTION.fullmatch(text)
        found.append(_option(match[2], negated=bool(match[1])) if match else None)
    if check.endswith(("_rw", "_ro")):
        found.append(_option(check[-2:], negated=False))
    return None if None in found else [each for each in found if each is not None]


def _option(word: str, *, negated: bool) -> str:
    if word in ("rw", "ro"):
        return "read_only" if (word == "ro") is not negated else "!read_only"
    there = f'"{word}" in options || "{word}" in super_options'
    return f"!({there})" if negated else there


def _text(field: str, text: str) -> str | None:
    pattern = targets.parse(text)
    if pattern.kind is not targets.Kind.GLOB or PLAIN.fullmatch(pattern.inner) is None:
        return None
    if re.search(r"[?*+@!]\(", pattern.inner):
        return None
    sign = "!" if pattern.negated else ""
    return f'{sign}matches({field}, "{pattern.inner}")'


def _actions(call: Call, points: list[str], notes: Notes) -> None:
    if call.words[1:] and call.words[1].startswith("/"):
        return
    if call.has("r"):
        notes.warn(
            Code.DESTRUCTIVE, "-r mounts what is missing: written as a remediation, disabled"
        )
        for point in points:
            if PLAIN.fullmatch(point) and point.startswith("/"):
                notes.remedies.append(Remedy(f"Mount {point}", ["mount", point]))
    commands(call, notes, failing="e", well="E")
