"""A fleet controller in its smallest form: it answers requests, and drains and resumes in Slurm.

with Fleet(broker, cluster) as fleet:
    fleet.says = "over budget"      # to every request; "" grants it
"""

import json
import threading
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.doubles.mosquitto import Mosquitto
from tests.doubles.slurm_cluster import SlurmCluster


class Fleet:
    """The controller of one private Slurm."""

    def __init__(self, broker: Mosquitto, cluster: SlurmCluster) -> None:
        self.cluster = cluster
        self.says = ""
        self.term = 1
        self.requests: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.on_connect = self._listen
        self._client.on_message = self._take
        self._client.connect(broker.host, broker.port)

    def __enter__(self) -> Self:
        self._client.loop_start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.loop_stop()
        self._client.disconnect()

    def _listen(self, client: paho.Client, *_: object) -> None:
        client.subscribe("hpcdoctor/+/+/request", qos=1)

    def _take(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        asked = json.loads(message.payload)["data"]
        with self._lock:
            if asked["request"] not in [each["request"] for each in self.requests]:
                asked["node"] = message.topic.split("/")[2]
                asked["base"] = message.topic.removesuffix("/request")
                self.requests.append(asked)
        self.answer(asked["request"])

    def answer(self, request: str) -> None:
        """Answer a request as things stand, once more if need be."""
        with self._lock:
            (asked,) = [each for each in self.requests if each["request"] == request]
        if not self.says:
            if asked["kind"] == "drain":
                self.cluster.drain(asked["node"], asked["reason"])
            if asked["kind"] == "resume":
                self.cluster.resume(asked["node"])
        self.tell(asked["base"], request=request, granted=not self.says, because=self.says)

    def tell(self, base: str, **grant: Any) -> None:
        """Publish a grant, whatever it says."""
        text = json.dumps({"term": self.term, **grant})
        self._client.publish(f"{base}/grant", text, qos=1).wait_for_publish(10)
