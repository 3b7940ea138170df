"""What stood there when this machine ran last? The memory behind `before_boot(field)`.

One value a field and subject, and one of the boot before: what changed over a reboot is a thing
that somebody did, or that broke.
"""

import msgspec

from hpcdoctor.expressions.types import Known, Unknown

LIMIT = 2000  # fields of subjects; beyond it, those looked at longest ago are forgotten
LIMIT_TEXT = 1000

Key = tuple[str, str, str]  # check, subject, field
NOT_YET = Unknown("needs a boot to compare with", first=True)


class Remembered(msgspec.Struct, array_like=True):
    """One field of one subject."""

    boot_id: str
    value: bool | int | float | str
    before: bool | int | float | str | None = None  # of the last boot that was another one


class Past:
    """What every followed field showed last, in this boot and in the one before it."""

    def __init__(self) -> None:
        self._fields: dict[Key, Remembered] = {}

    def observe(self, key: Key, value: Known, boot_id: str) -> None:
        if not isinstance(value, bool | int | float | str):
            return
        if isinstance(value, str):
            value = value[:LIMIT_TEXT]
        standing = self._fields.pop(key, None)
        if standing is None:
            standing = Remembered(boot_id, value)
        elif standing.boot_id != boot_id:
            standing = Remembered(boot_id, value, standing.value)
        standing.value = value
        self._fields[key] = standing  # now the last
        if len(self._fields) > LIMIT:
            del self._fields[next(iter(self._fields))]

    def before(self, key: Key, boot_id: str) -> Known | Unknown:
        """Return the value of the last other boot; Unknown with `first` where there was none."""
        standing = self._fields.get(key)
        if standing is None:
            return NOT_YET
        value = standing.before if standing.boot_id == boot_id else standing.value
        return NOT_YET if value is None else value

    def dump(self) -> list[tuple[Key, Remembered]]:
        return list(self._fields.items())

    def load(self, saved: list[tuple[Key, Remembered]]) -> None:
        self._fields = dict(saved[-LIMIT:])
