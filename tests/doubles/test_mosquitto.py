"""Does the broker of the tests do what other tests build on?"""

from pathlib import Path

import pytest

from tests.doubles.certificates import Authority
from tests.doubles.mosquitto import Mosquitto, PortTaken, Subscriber

pytestmark = pytest.mark.real


def test_a_subscriber_misses_nothing_over_a_kill_and_a_restart(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker, Subscriber(broker, "a/#", name="listener") as heard:
        broker.kill()
        broker.start()
        with Subscriber(broker, "none", name="speaker") as speaker:
            speaker.publish("a/b", b"after the restart")
        assert [one.payload for one in heard.wait_for_count(1)] == [b"after the restart"]


def test_a_frozen_broker_answers_again(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker, Subscriber(broker, "a") as heard:
        broker.freeze()
        broker.thaw()
        heard.publish("a", b"1")
        heard.wait_for_count(1)


def test_tls_takes_a_clients_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    with (
        Mosquitto(tmp_path / "broker", authority=authority) as broker,
        Subscriber(broker, "a") as heard,
    ):
        heard.publish("a", b"1")
        heard.wait_for_count(1)


def test_passwords_and_an_acl_that_changes(tmp_path: Path) -> None:
    allowed = "user u\ntopic readwrite #\n"
    with (
        Mosquitto(tmp_path, acl="user u\ntopic read #\n", passwords={"u": "p"}) as broker,
        Subscriber(broker, "a", username="u", password="p") as heard,  # noqa: S106
    ):
        heard.publish("a", b"denied")
        broker.change_acl(allowed)
        heard.publish("a", b"allowed")
        assert [one.payload for one in heard.wait_for_count(1)] == [b"allowed"]


def test_a_taken_port_is_not_mistaken_for_the_broker(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "first") as first:
        second = Mosquitto(tmp_path / "second")
        second.port = first.port
        with pytest.raises(PortTaken):
            second.start()


def test_what_does_not_come_is_said_with_what_came(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker, Subscriber(broker, "a") as heard:
        heard.publish("a", b"something else")
        heard.wait_for_count(1)
        with pytest.raises(AssertionError, match="something else"):
            heard.wait_for_count(2, timeout_seconds=0.1)
