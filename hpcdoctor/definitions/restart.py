"""Which settings take effect only at a start, and which of them differ from what is in force?

The one list: the notice `restart-needed`, docs/settings.md and docs/install.md speak of these.
"""

import msgspec

from hpcdoctor.definitions.settings import Settings

READ_AT_START = (
    "cluster",
    "node",
    "authority",  # `fleet`: the grants are asked for when the broker is connected
    "mqtt",
    "metrics",
    "profile",  # the prober's mounts and services
    "spool_age",
    "spool_size",
    "record_age",
    "record_size",
    "user",
    "run_directory",
    "state_directory",
)


def need_restart(started_with: Settings, now: Settings) -> list[str]:
    """Return the keys, as they are written, that were changed since the start and need another."""
    found: list[str] = []
    for key in READ_AT_START:
        before, after = getattr(started_with, key), getattr(now, key)
        if before == after:
            continue
        if isinstance(before, msgspec.Struct) and isinstance(after, msgspec.Struct):
            names = [field.name for field in msgspec.structs.fields(before)]
            changed = [name for name in names if getattr(before, name) != getattr(after, name)]
            found += [f"{key}.{name}" for name in changed]
        else:
            found.append(key)
    return found
