"""Which cpus does a set hold, and inside which sets is it crowded? A set is an int, a bit a cpu."""

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

MOST_MASKS = 512


class Crowd(msgspec.Struct, frozen=True):
    """More busy threads must run on some cpus than there are of these."""

    mask: int
    threads: int

    @property
    def cpus(self) -> int:
        return self.mask.bit_count()


def as_bits(numbers: Iterable[int]) -> int:
    mask = 0
    for number in numbers:
        mask |= 1 << number
    return mask


def as_numbers(mask: int) -> list[int]:
    return [place for place, bit in enumerate(reversed(f"{mask:b}")) if bit == "1"]


def as_text(mask: int) -> str:
    """Return "0-3,8", as the kernel writes it."""
    parts: list[str] = []
    place = 0
    while mask:
        zeros = (mask & -mask).bit_length() - 1
        place += zeros
        mask >>= zeros
        ones = (~mask & (mask + 1)).bit_length() - 1
        parts.append(str(place) if ones == 1 else f"{place}-{place + ones - 1}")
        place += ones
        mask >>= ones
    return ",".join(parts)


def crowds(masks: Sequence[int]) -> list[Crowd]:
    """Return the sets inside which more busy threads must run than they have cpus, small first.

    Each thread's own set is tried: those that lie inside it have nowhere else to go.
    """
    counted = Counter(mask for mask in masks if mask)
    total = counted.total()
    found = []
    for outer, same in counted.most_common(MOST_MASKS):
        cpus = outer.bit_count()
        if cpus == 1:
            inside = same
        elif cpus >= total:
            continue
        else:
            inside = sum(count for mask, count in counted.items() if not mask & ~outer)
        if inside > cpus:
            found.append(Crowd(outer, inside))
    return sorted(found, key=lambda crowd: crowd.cpus)


def crowd_of(mask: int, among: Sequence[Crowd]) -> Crowd | None:
    """Return the smallest crowd that a thread with this mask is confined to."""
    return next((crowd for crowd in among if mask and not mask & ~crowd.mask), None)
