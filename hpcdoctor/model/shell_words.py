"""How does a value stand in a next step, so that the step can be copied into a root shell?

A mount point may be called `$(reboot)`, and a control group anything: what a shell would take as
more than a letter is quoted. Where no shell reads it, only what could do harm in one is.
"""

import re
import shlex

from hpcdoctor.model.steps import taken_apart

PLACE = re.compile(r"\{([a-z_][a-z0-9_.]*)\}")
_PLAIN = re.compile(r"[\w@%+=:,./-][\w@%+=:,./#~^-]*", re.ASCII)
_ACTIVE = re.compile(r"[`$;|&<>\\'\"!*?(){}\[\]\n]")
_DOUBLE = re.compile(r"([\\\"$`])")


def quoted(value: str, context: str) -> str:
    """Return the value for a place that stands in words, in a command, or in ' or " of one."""
    if context == "'":
        return value.replace("'", "'\"'\"'")
    if context == '"':
        return _DOUBLE.sub(r"\\\1", value)
    if context == "words":
        return shlex.quote(value) if _ACTIVE.search(value) else value
    return value if _PLAIN.fullmatch(value) else shlex.quote(value)


def contexts(step: str) -> list[str]:
    """Return of each place in the template: "words", "command", or the quotes that it is in."""
    in_command = [
        command for command, piece in taken_apart(step) for _ in range(len(PLACE.findall(piece)))
    ]
    found = list(PLACE.finditer(step))
    if len(in_command) != len(found):
        in_command = [True] * len(found)
    return [
        _context(step[: place.start()], command=command)
        for place, command in zip(found, in_command, strict=True)
    ]


def _context(before: str, *, command: bool) -> str:
    """What a shell makes of this place; an apostrophe of a sentence before it opens no quotes."""
    start, inside = before.rfind("`") + 1, before.count("`") % 2 == 1
    part = before[start:] if inside else before
    quote = ""
    for position, char in enumerate(part):
        apostrophe = char == "'" and not quote and part[:position][-1:].isalpha()
        if char in "'\"" and not apostrophe:
            quote = "" if char == quote else quote or char
    return quote or ("command" if command or inside else "words")
