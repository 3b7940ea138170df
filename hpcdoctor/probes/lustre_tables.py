"""Where does a Lustre client keep its parameters, and how are its tables read?

Up to 2.10 below /proc/fs/lustre, since 2.12 below /sys/fs/lustre and, for tables, in debugfs, which
only root may read. A parameter may stand in any of them: the first place that has it counts.
"""

import re
from pathlib import Path

from hpcdoctor.probes.files import list_names, read_text_or_none

PLACES = ("sys/fs/lustre", "sys/kernel/debug/lustre", "proc/fs/lustre")
PAIR = re.compile(r"^\s*([\w-]+): *(.*)$")
SAMPLES = re.compile(r"^(\w+) +(\d+) samples \[(\w+)\](?: +(\d+) +(\d+) +(\d+))?")
ENTRY = re.compile(r"\[ *(\d+), *(\w+) *\]")


def read_parameter(root: Path, path: str) -> str | None:
    for place in PLACES:
        text = read_text_or_none(root / place / path)
        if text is not None:
            return text
    return None


def list_parameters(root: Path, path: str) -> list[str]:
    """Return the names below a folder of parameters, wherever they stand."""
    return sorted({name for place in PLACES for name in list_names(root / place / path)})


def parse_import(text: str) -> dict[str, str]:
    """Return the lines "key: value" of an `import`; no key comes twice that we read."""
    pairs = (PAIR.match(line) for line in text.splitlines())
    return {match[1]: match[2].strip() for match in pairs if match and match[2].strip()}


def parse_history(text: str) -> list[tuple[int, str]]:
    """Return the entries of a `state`, oldest first: seconds since 1970, and the state then."""
    return [(int(match[1]), match[2]) for match in ENTRY.finditer(text)]


def parse_stats(text: str) -> dict[str, tuple[int, float | None]]:
    """Return for each line of a `stats` how many there were, and for times their sum in seconds."""
    stats: dict[str, tuple[int, float | None]] = {}
    for line in text.splitlines():
        match = SAMPLES.match(line)
        if match:
            is_time = match[3] in ("usec", "usecs") and match[6] is not None
            stats[match[1]] = (int(match[2]), int(match[6]) / 1e6 if is_time else None)
    return stats


def first_number(text: str | None) -> int | None:
    """Return the number that a text begins with: "6054 usec" is 6054."""
    match = re.match(r"\d{1,18}\b", text or "")
    return int(match[0]) if match else None
