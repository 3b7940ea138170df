"""Are the pages about events true, and do real events fit them?"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from hpcdoctor.events import schema
from hpcdoctor.events.envelope import to_wire
from hpcdoctor.events.vocabulary import NodeChanged, event_types
from hpcdoctor.model.event import Event
from hpcdoctor.model.node import State

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_what_the_code_says(expect: Callable[[Path, str], None]) -> None:
    expect(DOCS / "events.md", schema.render())


def test_the_asyncapi_is_what_the_code_says(expect: Callable[[Path, str], None]) -> None:
    expect(DOCS / "asyncapi.json", schema.render_asyncapi())


def test_every_type_has_its_channel_and_says_what_it_means() -> None:
    channels = schema.asyncapi()["channels"]
    for kind in event_types():
        place = "/request" if "request" in kind.name else f"/event/{kind.name}"
        assert channels[kind.name]["address"].endswith(place)
        assert kind.meaning.endswith(".")


def validate(event: Any) -> None:
    document = schema.asyncapi()
    channel = document["channels"]["hpcdoctor.node.state"]
    payload = channel["messages"]["hpcdoctor.node.state"]["payload"]
    jsonschema.validate(event, {**payload, "components": document["components"]})


def test_an_event_fits_its_schema_and_a_crooked_one_does_not() -> None:
    data = NodeChanged(from_state=State.HEALTHY, to=State.DRAINING, because="GPU3 fell off")
    event = Event(
        sequence=7,
        id="0123456789abcdef-7",
        type="hpcdoctor.node.state",
        source="/hpcdoctor/lab/n1",
        time="2026-11-21T00:00:00.000Z",
        data=msgspec.to_builtins(data),
    )
    wire = json.loads(to_wire(event, "0123456789abcdef"))
    validate(wire)
    wire["data"]["to"] = "broken"
    with pytest.raises(jsonschema.ValidationError):
        validate(wire)
