#!/usr/bin/env python3
"""Drains and resumes Slurm nodes by the quarantines hpcdoctor publishes (`authority: consumer`).

Runs on a head node, as SlurmUser or root, beside nothing else that drains for hpcdoctor:

    drain_consumer.py --host broker.example.org --cluster mycluster [--ca-file ca.pem
        --cert-file me.pem --key-file me.key] [--port 8883]

It keeps no state of its own. The broker has every node's retained state, Slurm has the reasons, and
each message is held against both: drain what is quarantined and in service, resume what carries
exactly the reason that was published and is quarantined no more. A drain that anybody else has made
is left alone.
"""

import argparse
import json
import re
import subprocess
import sys
import time

import paho.mqtt.client as mqtt

NODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
MARK = re.compile(r"hd:[a-z0-9]{4}\.[0-9]{1,3} ")
REASON = re.compile(r"[ !#-&(-~]{1,199}")  # printable ASCII without quotes
STATE = re.compile(r" State=(\S+)")
WHY = re.compile(r" Reason=(.*) \[[^@\] ]+@[0-9T:-]+\]")
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
        check=True,
    )
    return done.stdout


def act(node: str, reason: str | None) -> str:
    """Bring Slurm in line with what the node has published; say what was done."""
    seen = scontrol("-o", "show", "node", node)
    state, why = STATE.search(seen), WHY.search(seen)
    out = state is not None and bool({"DRAIN", "FAIL", "DOWN"} & set(state[1].split("+")))
    stands = why[1] if why else ""
    if reason is not None and not out:
        scontrol("update", f"nodename={node}", "state=drain", f"reason={reason}")
        return f"drained: {reason}"
    if reason is None and out and MARK.match(stands):
        scontrol("update", f"nodename={node}", "state=resume")
        return f"resumed, it was out for: {stands}"
    return f"left as it is: {stands or 'in service'}"


def on_message(client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
    """Take one node's state; a node speaks for itself alone, which the broker's ACL ensures."""
    node = message.topic.split("/")[2]
    if not NODE.fullmatch(node) or node.upper() == "ALL":
        return
    try:
        state = json.loads(message.payload)
        quarantine = state["quarantine"]
        reason = quarantine["reason"] if quarantine else None
        if state["authority"] != "consumer" or state.get("accept_user_kernel_log"):
            return  # somebody else drains that node, or a test is going on there
        if reason is not None and not (REASON.fullmatch(reason) and MARK.match(reason)):
            raise ValueError("the reason is not in hpcdoctor's form")
        print(f"{node}: {act(node, reason)}", flush=True)
    except (ValueError, KeyError, TypeError) as error:
        print(f"{node}: not understood: {error}", file=sys.stderr, flush=True)
    except (OSError, subprocess.SubprocessError) as error:
        # Nothing is lost: the state is retained, and coming back asks for all of them again.
        print(f"{node}: Slurm: {error}; asking again in {PAUSE} s", file=sys.stderr, flush=True)
        client.disconnect()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--cluster", required=True)
    parser.add_argument("--ca-file")
    parser.add_argument("--cert-file")
    parser.add_argument("--key-file")
    options = parser.parse_args()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    if options.ca_file:
        client.tls_set(options.ca_file, options.cert_file, options.key_file)
    topic = f"hpcdoctor/{options.cluster}/+/state"
    client.on_connect = lambda *_: client.subscribe(topic, qos=1)
    client.on_message = on_message
    while True:  # once more after Slurm has failed: every node's state comes again
        try:
            client.connect(options.host, options.port)
            client.loop_forever()
        except OSError as error:
            print(f"broker: {error}; trying again in {PAUSE} s", file=sys.stderr, flush=True)
        time.sleep(PAUSE)


if __name__ == "__main__":
    main()
