"""A reading, a profile and a history in one dict, for the tests of this room."""

from collections.abc import Mapping

from hpcdoctor.expressions.compile import compile_expression
from hpcdoctor.expressions.expression import Window
from hpcdoctor.expressions.types import Known, Scope, Type, Unknown
from hpcdoctor.model.reading import Value

SCOPE = Scope(
    fields={
        "state": Type.TEXT,
        "device": Type.TEXT,
        "count": Type.NUMBER,
        "limit": Type.NUMBER,
        "missing": Type.NUMBER,
        "missing_flag": Type.BOOL,
        "errors_total": Type.NUMBER,
        "uptime_seconds": Type.NUMBER,
        "age": Type.DURATION,
        "active": Type.BOOL,
        "flags": Type.LIST,
    },
    dotted={"xid.action": Type.TEXT, "xid.fatal": Type.BOOL},
)
VALUES: dict[str, Value | Unknown] = {
    "state": "active",
    "device": "mlx5_0",
    "count": 3,
    "limit": 2.5,
    "errors_total": 10,
    "uptime_seconds": 120,
    "age": 90.0,
    "active": True,
    "flags": ["link", "phy"],
    "profile.gpu.count": 8,
    "profile.gpu.name": "H100",
    "profile.gpu.names": ["H100", "H200"],
    "profile.gpu.present": True,
    "xid.action": "reset",
    "increase(errors_total, 3600)": 7,
}


class Machine:
    """An environment that counts what it is asked."""

    def __init__(self, values: Mapping[str, Value | Unknown] = VALUES) -> None:
        self.values = values
        self.asked: list[str] = []

    def field(self, name: str, /) -> Value | Unknown:
        self.asked.append(name)
        return self.values.get(name)

    def dotted(self, name: str, /) -> Value | Unknown:
        self.asked.append(name)
        return self.values.get(name)

    def window(self, window: Window, /) -> float | Unknown:
        self.asked.append(window.key)
        value = self.values.get(window.key, Unknown("needs a second reading", first=True))
        assert isinstance(value, int | float | Unknown)
        return value


def evaluate(text: str, **changed: Value | Unknown) -> Known | Unknown:
    return compile_expression(text, SCOPE, None).evaluate(Machine({**VALUES, **changed}))


def reason(text: str, **changed: Value | Unknown) -> str:
    value = evaluate(text, **changed)
    assert isinstance(value, Unknown), value
    return value.reason
