"""Are the topics what the design says, and can a name reach beyond its own?"""

import pytest

from hpcdoctor.events.topics import Topics


def test_every_topic_is_below_the_node() -> None:
    topics = Topics("c1", "n001")
    assert topics.event("hpcdoctor.node.state") == "hpcdoctor/c1/n001/event/hpcdoctor.node.state"
    assert topics.request == "hpcdoctor/c1/n001/request"
    assert topics.state == "hpcdoctor/c1/n001/state"
    assert topics.alive == "hpcdoctor/c1/n001/alive"
    assert topics.grant == "hpcdoctor/c1/n001/grant"
    assert topics.receipt == "hpcdoctor/c1/n001/receipt"
    assert topics.resend == "hpcdoctor/c1/n001/resend"
    assert topics.source == "/hpcdoctor/c1/n001"


@pytest.mark.parametrize(
    "name",
    ["", "a/b", "+", "#", "a#", "-a", ".a", "_a", "a b", "a\n", "ä", "a:b", "a\0", "x" * 256],
)
def test_a_name_that_is_not_one_plain_level_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name of a node"):
        Topics("c1", name)
    with pytest.raises(ValueError, match="name of a cluster"):
        Topics(name, "n001")
    with pytest.raises(ValueError, match="type of an event"):
        Topics("c1", "n001").event(name)


def test_no_two_nodes_or_roles_share_a_client_id() -> None:
    ids = {
        Topics("a-b", "c").client_id("node"),
        Topics("a", "b-c").client_id("node"),
        Topics("a", "b").client_id("c-node"),
    }
    assert len(ids) == 3


def test_a_client_id_holds_nothing_that_mosquitto_refuses_in_patterns() -> None:
    assert not set(Topics("c1", "n001").client_id("node")) & set("/+#")
