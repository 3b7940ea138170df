"""What does a catalogue file say? The shape of catalogs/<name>.yaml: what a vendor's codes mean."""

import msgspec

Entry = dict[str, str | int | bool | None]


class Catalog(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table from a code to what is known of it; `default` answers for every other code."""

    catalog: str
    source: str
    default: Entry
    entries: dict[str, Entry]

    def look_up(self, code: object) -> Entry:
        """Return the entry of `code`, completed from the default."""
        return {**self.default, **self.entries.get(str(code), {})}
