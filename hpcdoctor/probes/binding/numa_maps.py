"""On which NUMA nodes does a process's own memory lie? The lines of /proc/PID/numa_maps."""

import re
from collections import Counter
from collections.abc import Iterable

import msgspec

_PAGES = re.compile(r"N(\d{1,4})=(\d{1,15})")
KIBIBYTE = 1024
SPREAD = ("interleave", "weighted")  # "interleave:0-1", "weighted interleave:0-1"


class Placed(msgspec.Struct, frozen=True):
    """The private memory of a process, by node."""

    bytes_by_node: dict[int, int]
    interleaved_bytes: int  # spread on purpose, and not in the above


def parse_numa_maps(text: str) -> Placed:
    """Return the bytes; a line that makes no sense costs nothing but itself."""
    own, spread = Counter[int](), 0
    for line in text.splitlines():
        words = line.split(" ")
        facts = dict(word.partition("=")[::2] for word in words[2:])
        size = facts.get("kernelpagesize_kB", "")
        if not size.isdecimal() or not _is_own(facts):
            continue
        page_bytes = int(size) * KIBIBYTE
        pages = {int(n): int(count) for n, count in _pages(words)}
        if words[1].startswith(SPREAD):
            spread += page_bytes * sum(pages.values())
            continue
        for node, count in pages.items():
            own[node] += count * page_bytes
    return Placed(dict(own), spread)


def _pages(words: list[str]) -> Iterable[tuple[str, str]]:
    for word in words[2:]:
        found = _PAGES.fullmatch(word)
        if found:
            yield found[1], found[2]


def _is_own(facts: dict[str, str]) -> bool:
    """Tell whether a mapping is the process's own: no file, or a file's that no other one maps.

    Of a file only what has been written to a private copy counts, and huge pages.
    """
    if "file" not in facts:
        return True
    return facts.get("mapmax", "1") == "1" and "anon" in facts
