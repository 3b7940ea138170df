"""How does a learnt profile read? YAML in which each key says where it comes from."""

import json
import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from hpcdoctor.checks.learn import Comparison, Fact, in_words
from hpcdoctor.definitions.profile import Fact as Value
from hpcdoctor.definitions.profile_sources import NOT_LEARNT, SOURCES, How
from hpcdoctor.model.text import visible

SCHEMA = "hpcdoctor.profile-diff/1"
WIDTH = 100
PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
# What YAML 1.1 takes for something else than a text.
OTHER = frozenset(
    {"true", "false", "yes", "no", "on", "off", "y", "n", "null", "none", "nan", "inf"}
)

HOW = {
    How.ONE: "",
    How.LEAST: "the least of them",
    How.EACH: "each is expected",
    How.ALLOWED: "each is allowed; add those that other nodes may have",
}


def render(name: str, facts: Sequence[Fact], ill: Sequence[str]) -> str:
    """Return the file; `ill` says what was wrong with the node when it was learnt."""
    head = [
        f"# A node of the kind {name}, learnt from one that was taken for a good one.",
        "# Read it before you use it: a part that was missing there is not expected here either.",
        f"# Then put it into /etc/hpcdoctor/profiles/{name}.yaml, and `profile: {name}` into",
        "# /etc/hpcdoctor/hpcdoctor.yaml. Behind each key is the probe and the field it is from.",
        "# Take out what is not to be held against a node: every key may be left out.",
    ]
    if ill:
        head += ["#", "# What was wrong with that node when it was learnt:"]
        head += [f"#   {_comment(words)}" for words in ill]
    lines = [*head, f"profile: {scalar(name)}"]
    missing: list[str] = []
    for section, group in groupby(facts, key=lambda fact: fact.key.rpartition(".")[0]):
        members = list(group)
        if any(_is_learnt(fact) for fact in members):
            lines += ["", *([f"{section}:"] if section else [])]
            for fact in members:
                lines += _key(fact, "  " if section else "")
        else:
            missing += _left_out(section, members)
    if missing:
        lines += ["", "# Not learnt, and so not expected:", *missing]
    lines += ["", *(f"# {key}: {why}" for key, why in NOT_LEARNT.items() if key != "profile")]
    return "\n".join(lines) + "\n"


def _is_learnt(fact: Fact) -> bool:
    """Nothing of something is no expectation: where a section stands, its part has to be there."""
    nothing = fact.value is None or fact.value == []
    none = isinstance(fact.value, int | float) and not isinstance(fact.value, bool)
    return not nothing and not (none and fact.value == 0)


def _why_not(fact: Fact) -> str:
    why = fact.unread or fact.absent or "; ".join(fact.notes)
    return _comment(why or f"it is {in_words(fact.value)} here")


def _left_out(section: str, members: Sequence[Fact]) -> Iterator[str]:
    """Say why of a whole section there is nothing; once, where there is nothing of the sort."""
    if section and all(fact.absent for fact in members):
        yield f"#   {section}: {_why_not(members[0])}"
        return
    for fact in members:
        yield f"#   {fact.key}: {_why_not(fact)}"


def _key(fact: Fact, indent: str) -> Iterator[str]:
    name = fact.key.rpartition(".")[2]
    if not _is_learnt(fact):
        yield f"{indent}# {name}: not learnt: {_why_not(fact)}"
        return
    assert fact.value is not None  # noqa: S101  # _is_learnt
    source = SOURCES[fact.key]
    parts = [f"{source.probe}: {source.field}", HOW[source.how]]
    if name.endswith("_bytes") and isinstance(fact.value, int):
        parts.append(f"{fact.value / 1024**3:.1f} GiB")
    if source.tolerance:
        parts.append(f"{source.tolerance:.0%} less is tolerated")
    comment = _comment("; ".join(part for part in parts if part))
    if isinstance(fact.value, list):
        yield f"{indent}{name}:  # {comment}"
        for item in fact.value:
            yield f"{indent}  - {scalar(item)}"
    else:
        yield f"{indent}{name}: {scalar(fact.value)}  # {comment}"
    for note in fact.notes:
        word = "" if note.startswith("they differ") else "left out: "
        yield f"{indent}# {word}{_comment(note)}"


def scalar(value: Value) -> str:
    """Return one value so that YAML reads the very same; a text in quotes where it needs them."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else f"{value:.6f}".rstrip("0")
    text = str(value)
    if PLAIN.fullmatch(text) and text.lower() not in OTHER:
        return text
    return json.dumps(text)


def _comment(text: str) -> str:
    return visible(" ".join(text.split()), 300)


def difference_lines(name: str, found: Comparison) -> Iterator[str]:
    """Yield one line for each difference, then for each key that could not be read."""
    for one in found.differences:
        here = "nothing" if one.here is None else in_words(one.here)
        words = f" ({one.words})" if one.words else ""
        yield f"{one.key}: profile {in_words(one.profile)}; here {here}{words}"
    for key in found.unread:
        yield f"{key.key}: could not be read: {key.reason}"
    counted = f"{len(found.same)} of {_all_keys(found)} keys of {name} are as here"
    yield f"{counted}, {len(found.differences)} differ, {len(found.unread)} could not be read"


def _all_keys(found: Comparison) -> int:
    return len(found.same) + len(found.differences) + len(found.unread)


def difference_document(name: str, found: Comparison) -> dict[str, object]:
    """Return what `profile diff --json` prints."""
    return {
        "schema": SCHEMA,
        "profile": name,
        "same": found.same,
        "differences": [
            {"key": one.key, "profile": one.profile, "here": one.here, "words": one.words}
            for one in found.differences
        ],
        "unread": [{"key": key.key, "reason": key.reason} for key in found.unread],
    }
