"""Does the ACL that we ship let a node speak, and only for itself?"""

from pathlib import Path

import pytest

from hpcdoctor.definitions.settings import Mqtt
from tests.doubles.certificates import Authority
from tests.doubles.mosquitto import Mosquitto
from tests.events.test_publisher import Node, running, until

pytestmark = pytest.mark.real

ACL = Path(__file__).parents[2] / "docs/mosquitto.acl"


@pytest.mark.parametrize(("certificate", "may"), [("n1", True), ("n2", False)])
async def test_a_certificate_speaks_for_its_own_node_only(
    certificate: str, may: bool, tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "ca")
    with Mosquitto(tmp_path / "broker", authority=authority, acl=ACL.read_text()) as broker:
        mine = authority.client(certificate)
        settings = Mqtt(
            host=broker.host,
            port=broker.port,
            ca_file=str(authority.ca_file),
            cert_file=str(mine.certificate),
            key_file=str(mine.key),
        )
        async with running(Node(tmp_path, settings)) as node:
            node.tell(1)
            if may:
                await until("the event to be taken", lambda: node.counts.pending == 0)
                assert node.publisher.health.denied == 0
            else:
                await until("the refusal", lambda: node.publisher.health.denied)
                assert node.counts.pending == 1
