"""Does the one list of what needs a restart tell exactly what has changed since the start?"""

import re

import msgspec
import pytest

from hpcdoctor.definitions.restart import READ_AT_START, need_restart
from hpcdoctor.definitions.settings import Metrics, Mqtt, Settings
from hpcdoctor.model.decision import Mode
from tests.conftest import CHECKOUT

STARTED = Settings(mqtt=Mqtt(host="broker", port=1883))


def test_what_takes_effect_at_a_reload_needs_no_restart() -> None:
    assert need_restart(STARTED, msgspec.structs.replace(STARTED, mode=Mode.ACT, tick="1s")) == []


@pytest.mark.parametrize(
    ("changed", "keys"),
    [
        ({"mqtt": Mqtt(host="broker", port=8883)}, ["mqtt.port"]),
        ({"mqtt": None}, ["mqtt"]),
        ({"metrics": Metrics(port=1)}, ["metrics"]),
        ({"state_directory": "/srv", "node": "n2"}, ["node", "state_directory"]),
    ],
)
def test_a_change_of_what_is_read_at_the_start_is_named(
    changed: dict[str, object], keys: list[str]
) -> None:
    now = msgspec.structs.replace(STARTED, **changed)
    assert need_restart(STARTED, now) == keys
    assert need_restart(now, now) == [], "after the restart"


def test_the_page_of_the_installation_names_these_keys_and_no_others() -> None:
    page = (CHECKOUT / "docs/install.md").read_text()
    found = re.search(
        r"These keys take effect only after\n`[^`]+`: (.*?); until then", page, re.DOTALL
    )
    assert found is not None
    assert re.findall(r"`([a-z_]+)`", found[1]) == list(READ_AT_START)
