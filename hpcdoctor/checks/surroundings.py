"""What does a condition see? One reading, with the profile, the catalogues and the history."""

from collections.abc import Mapping
from typing import Any

from hpcdoctor.checks.compiled import CompiledCheck
from hpcdoctor.checks.history import History
from hpcdoctor.expressions.expression import Window
from hpcdoctor.expressions.types import PROFILE, Known, Unknown
from hpcdoctor.model.finding import finding_key
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Value
from hpcdoctor.model.text import visible


class Surroundings:
    """The environment of the expressions of one check at one look."""

    def __init__(
        self,
        check: CompiledCheck,
        reading: Mapping[str, Value],
        profile: Mapping[str, Any],
        history: History,
        now: Instant,
    ) -> None:
        self.check = check
        self.reading = reading
        self.profile = profile
        self.history = history
        self.now = now
        names = check.definition.subject_fields
        self.subject = {name: visible(str(reading.get(name)), 200) for name in names}
        self.key = finding_key(check.name, self.subject)

    def field(self, name: str, /) -> Value | Unknown:
        return self.reading.get(name)

    def dotted(self, name: str, /) -> Value | Unknown:
        head, _, rest = name.partition(".")
        if head == PROFILE:
            return profile_value(self.profile, name)
        table, field = self.check.catalogs[head]
        return table.look_up(self.reading.get(field)).get(rest)

    def window(self, window: Window, /) -> Known | Unknown:
        return self.history.window(self.check.name, self.key, window, self.now)

    def observe(self) -> None:
        """Let the history take in what each window of the check follows."""
        values = {
            window: window.evaluate(self)
            for expression in self.check.expressions
            for window in expression.windows
        }
        if values:
            self.history.observe(self.check.name, self.key, values, self.now, self.check.maximums)

    @property
    def values(self) -> dict[str, Value]:
        """Return what texts and evidence may name: fields, catalogue entries, windows."""
        values: dict[str, Value] = dict(self.reading)
        for name, (table, field) in self.check.catalogs.items():
            entry = table.look_up(self.reading.get(field))
            values |= {f"{name}.{key}": value for key, value in entry.items()}
        for expression in self.check.expressions:
            for window in expression.windows:
                result = self.window(window)
                if not isinstance(result, Unknown):
                    values[window.text] = result
        return values


def profile_value(profile: Mapping[str, Any], dotted: str) -> Value:
    """Return what the profile says under "profile.a.b", or None where it says nothing."""
    value: Any = profile
    for part in dotted.split(".")[1:]:
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    if isinstance(value, Mapping):
        return True if value else None  # a section that is there
    return value  # type: ignore[no-any-return]  # YAML's plain values
