#!/usr/bin/env python3
"""Drains and resumes Slurm nodes by the quarantines hpcdoctor publishes (`authority: consumer`).

Runs on a head node, as SlurmUser or root, beside nothing else that drains for hpcdoctor:

    drain_consumer.py --host broker.example.org --cluster mycluster
        --memory /var/lib/hpcdoctor-consumer/drained.json
        [--ca-file ca.pem --cert-file me.pem --key-file me.key] [--port 8883]

It needs paho-mqtt, 1.6 or 2 (Debian and Ubuntu: `apt-get install python3-paho-mqtt`; elsewhere
`pip install paho-mqtt`).

The broker has every node's retained state, Slurm has the reasons, and each is held against the
other, at every message and every half minute while a quarantine is in force:

- A node that is quarantined and in service is drained, once for each quarantine (incident and
  epoch): where it is in service again, somebody has resumed it, and it is left to them.
- A drain that is Slurm's own `Prolog error`, set since the quarantine began, is the gate's doing: a
  job came before the drain. It gets our reason, so that the release undoes it.
- A node that is quarantined no more is resumed where it carries exactly the reason that was
  published, nothing before or behind it but what Slurm itself adds at a reboot.
- Any other drain, and a node that an administrator holds, is left alone.

What was drained for which quarantine is in the file of --memory. Without that file a node that was
released meanwhile is not resumed, and one that a person had resumed is drained once more.
"""

from __future__ import annotations  # for Python 3.8 and 3.9

import argparse
import calendar
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

try:
    import paho.mqtt.client as mqtt
except ImportError:
    sys.exit(
        "drain_consumer: the Python package paho-mqtt is missing; `apt-get install "
        "python3-paho-mqtt`, or `pip install paho-mqtt`"
    )

NODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
MARK = re.compile(r"hd:[a-z0-9]{4}\.[0-9]{1,3} ")  # incident and epoch
REASON = re.compile(r"[ !#-&(-~]{1,199}")  # printable ASCII without quotes
STATE = re.compile(r" State=(\S+)")
WHY = re.compile(r" Reason=(.*) \[[^@\] ]+@([0-9T:-]+)\](?= Comment=| Extra=|\s*$)")
BY_SLURM = re.compile(r"( : reboot (issued|complete|timed out))+$")  # added to a reason
PROLOG_ERROR = "Prolog error"  # Slurm's own, where a Prolog has failed
CLOCKS = 60  # seconds by which the node's and the controller's may differ
SECONDS = 30  # for one scontrol
PAUSE = 30


def scontrol(*arguments: str) -> str:
    """Run scontrol, bounded; return its output, or raise."""
    done = subprocess.run(
        ["scontrol", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env={**os.environ, "LC_ALL": "C", "TZ": "UTC", "SLURM_TIME_FORMAT": "standard"},
    )
    if done.returncode:
        raise OSError((done.stderr or done.stdout).strip())
    return done.stdout


class Seen(NamedTuple):
    """A node as Slurm has it."""

    out: bool
    why: str  # the reason, less what Slurm itself adds
    since: float  # UTC; of the reason


def look(node: str) -> Seen:
    text = scontrol("-o", "show", "node", node)
    state, why = STATE.search(text), WHY.search(text)
    if state is None:
        raise ValueError("scontrol's answer was not understood")
    out = bool({"DRAIN", "FAIL", "DOWN"} & set(re.split(r"[^A-Z_]+", state[1])))
    if why is None:
        return Seen(out, "", 0.0)
    return Seen(out, BY_SLURM.sub("", why[1]), seconds(why[2]))


def seconds(moment: str) -> float:
    return calendar.timegm(time.strptime(moment[:19], "%Y-%m-%dT%H:%M:%S"))


class Wish(NamedTuple):
    """What a node has published."""

    reason: str | None  # of the quarantine in force
    since: float = 0.0  # UTC; of the quarantine
    held_by: str = ""


class Consumer:
    """Every node's wish, and what was drained for which: node name to reason."""

    def __init__(self, memory: Path) -> None:
        self.memory = memory
        known = json.loads(memory.read_text()) if memory.exists() else {}
        if not isinstance(known, dict):
            raise TypeError("it holds something else than this program's memory")
        self.drained: dict[str, str] = known
        self.wishes: dict[str, Wish] = {}
        self.unsettled: set[str] = set()  # where Slurm has not answered
        self.said: dict[str, str] = {}

    def take(self, node: str, wish: Wish) -> None:
        self.wishes[node] = wish
        self.settle(node)

    def look_again(self) -> None:
        for node, wish in self.wishes.items():
            if wish.reason is not None or node in self.unsettled:
                self.settle(node)

    def settle(self, node: str) -> None:
        """Bring Slurm in line with what the node has published; say what is new."""
        try:
            said = self._settle(node, self.wishes[node])
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            self.unsettled.add(node)
            said = f"Slurm: {error}; trying again every {PAUSE} s"
        else:
            self.unsettled.discard(node)
        if said != self.said.get(node):
            self.said[node] = said
            print(f"{node}: {said}", flush=True)

    def _settle(self, node: str, wish: Wish) -> str:
        seen, before = look(node), self.drained.get(node)
        if wish.held_by and wish.reason is not None:
            return f"left as it is: held by {wish.held_by}"
        if wish.reason is None:
            return self._lifted(node, seen, before)
        again = before is not None and before.split()[0] == wish.reason.split()[0]
        if not seen.out and again:
            return f"left in service: somebody has resumed it since it was drained: {before}"
        if seen.out and seen.why == wish.reason:
            self._remember(node, wish.reason)
            return f"drained: {wish.reason}"
        by_gate = seen.why == PROLOG_ERROR and seen.since >= wish.since - CLOCKS
        if seen.out and not by_gate and seen.why != before:
            return f"left as it is: {seen.why or 'no reason'}"
        # Where it is out already only the reason changes: nobody's resume is undone.
        state = [] if seen.out else ["state=drain"]
        scontrol("update", f"nodename={node}", *state, f"reason={wish.reason}")
        after = look(node)
        if not after.out or after.why != wish.reason:
            return f"left to whoever was faster: {after.why or 'in service'}"
        self._remember(node, wish.reason)
        return f"{wish.reason}; instead of: {seen.why}" if seen.out else f"drained: {wish.reason}"

    def _lifted(self, node: str, seen: Seen, before: str | None) -> str:
        if not seen.out or before is None or seen.why != before:
            self._remember(node, None)
            return f"left as it is: {seen.why or 'no reason'}" if seen.out else "in service"
        scontrol("update", f"nodename={node}", "state=resume")
        after = look(node)
        if after.out and after.why == before:
            raise ValueError("it did not take the resume")
        self._remember(node, None)
        return f"resumed, it was out for: {before}"

    def _remember(self, node: str, reason: str | None) -> None:
        if self.drained.get(node) == reason:
            return
        self.drained = {name: why for name, why in self.drained.items() if name != node}
        if reason is not None:
            self.drained[node] = reason
        new = self.memory.with_suffix(".new")
        new.write_text(json.dumps(self.drained))
        new.replace(self.memory)

    def on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        """Take one node's state; a node speaks for itself alone, which the broker's ACL ensures."""
        node = message.topic.split("/")[2]
        if not NODE.fullmatch(node) or node.upper() == "ALL":
            return
        try:
            state = json.loads(message.payload)
            if state["authority"] != "consumer" or state.get("accept_user_kernel_log"):
                self.wishes.pop(node, None)
                return  # somebody else drains that node, or a test is going on there
            wish = wish_of(state)
        except (ValueError, KeyError, TypeError) as error:
            print(f"{node}: not understood: {error!r}", file=sys.stderr, flush=True)
        else:
            self.take(node, wish)


def wish_of(state: dict[str, dict[str, str] | None]) -> Wish:
    quarantine, hold = state["quarantine"], state.get("hold")
    if quarantine is None:
        return Wish(None)
    reason, since = quarantine["reason"], seconds(quarantine["since"])
    if not (REASON.fullmatch(reason) and MARK.match(reason)):
        raise ValueError("the reason is not in hpcdoctor's form")
    return Wish(reason, since, hold["who"] if hold else "")


def connected(options: argparse.Namespace, consumer: Consumer) -> mqtt.Client:
    version = getattr(mqtt, "CallbackAPIVersion", None)  # from paho-mqtt 2 on
    client = mqtt.Client(*([version.VERSION2] if version else []), protocol=mqtt.MQTTv5)
    if options.ca_file:
        client.tls_set(options.ca_file, options.cert_file, options.key_file)
    topic = f"hpcdoctor/{options.cluster}/+/state"
    client.on_connect = lambda *_: client.subscribe(topic, qos=1)
    client.on_message = consumer.on_message
    client.connect(options.host, options.port)
    return client


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--cluster", required=True)
    parser.add_argument("--memory", type=Path, required=True, help="a file that only we write")
    parser.add_argument("--ca-file")
    parser.add_argument("--cert-file")
    parser.add_argument("--key-file")
    options = parser.parse_args()
    try:
        consumer = Consumer(options.memory)
    except (OSError, ValueError, TypeError) as error:
        sys.exit(f"drain_consumer: {options.memory} cannot be used: {error}")
    while True:  # once more after the broker has gone: every node's state comes again
        try:
            client = connected(options, consumer)
            due = time.monotonic() + PAUSE
            while client.loop(1.0) == mqtt.MQTT_ERR_SUCCESS:
                if time.monotonic() >= due:
                    consumer.look_again()
                    due = time.monotonic() + PAUSE
            print(f"broker: gone; trying again in {PAUSE} s", file=sys.stderr, flush=True)
        except OSError as error:
            print(f"broker: {error}; trying again in {PAUSE} s", file=sys.stderr, flush=True)
        time.sleep(PAUSE)


if __name__ == "__main__":
    main()
