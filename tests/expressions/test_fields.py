"""A Reading's annotations give the names, the types and the maximums."""

from enum import IntEnum, StrEnum
from typing import Annotated, Any, Literal

import msgspec

from hpcdoctor.expressions.fields import maximums_of, types_of
from hpcdoctor.expressions.types import Type
from hpcdoctor.model.reading import Reading


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


class Port(Reading, frozen=True):
    device: str
    state: str | None
    active: bool
    rate: float | None
    width: int | float
    colour: Colour
    level: Level
    kind: Literal["a", "b"] | None
    names: list[str]
    anything: Any
    odd: int | str
    link_downed_total: Annotated[int | None, msgspec.Meta(extra={"saturates": 255})]
    symbol_errors_total: Annotated[int, msgspec.Meta(extra={"saturates": 65535})] | None = None


def test_each_field_has_the_type_of_its_annotation() -> None:
    assert types_of(Port) == {
        "device": Type.TEXT,
        "state": Type.TEXT,
        "active": Type.BOOL,
        "rate": Type.NUMBER,
        "width": Type.NUMBER,
        "colour": Type.TEXT,
        "level": Type.NUMBER,
        "kind": Type.TEXT,
        "names": Type.LIST,
        "anything": Type.ANY,
        "odd": Type.ANY,
        "link_downed_total": Type.NUMBER,
        "symbol_errors_total": Type.NUMBER,
    }


def test_a_counter_that_stops_declares_where() -> None:
    assert maximums_of(Port) == {"link_downed_total": 255, "symbol_errors_total": 65535}
