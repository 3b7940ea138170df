"""Is Slurm's text read as it is meant? The lines here are made in the form of 22.05."""

import pytest

from hpcdoctor.actions.slurm_text import (
    is_slurms_own,
    nodes_of_host,
    parse_count,
    parse_node,
)
from hpcdoctor.model.action import SchedulerView


def line(state: str = "IDLE", end: str = "", *, cpus: int = 0, name: str = "n1") -> str:
    return (
        f"NodeName={name} Arch=x86_64 CoresPerSocket=2  CPUAlloc={cpus} CPUEfctv=2 CPUTot=2 "
        "CPULoad=0.26 AvailableFeatures=(null) ActiveFeatures=(null) Gres=(null) "
        "NodeAddr=10.0.0.1 NodeHostName=host1 Port=6818 Version=22.05.8 "
        "OS=Linux 6.1.0-13-amd64 #1 SMP PREEMPT Debian  RealMemory=1000 AllocMem=0 "
        f"FreeMem=900 Sockets=1 Boards=1 State={state} ThreadsPerCore=1 TmpDisk=0 Weight=1 "
        "Owner=N/A MCS_label=N/A Partitions=main,gpu  BootTime=2026-11-21T01:53:07 "
        "SlurmdStartTime=2026-11-21T02:14:31 LastBusyTime=2026-11-21T02:14:31 "
        f"CfgTRES=cpu=2 AllocTRES= CapWatts=n/a CurrentWatts=0 AveWatts=0{end}\n"
    )


def view(text: str) -> SchedulerView:
    node = parse_node(text, "n1")
    assert node is not None
    return node.view


OURS = " Reason=hd:k3f9.1 GPU3 lost; rule r [root@2026-11-21T02:44:45]"


def test_a_reason_with_blanks_its_user_and_its_time() -> None:
    seen = view(line("IDLE+DRAIN", OURS))
    assert (seen.reason, seen.reason_by, seen.reason_at) == (
        "hd:k3f9.1 GPU3 lost; rule r",
        "root",
        "2026-11-21T02:44:45",
    )
    assert seen.marked("hd:k3f9.1")
    assert not seen.marked("hd:k3f9.2")


def test_a_reason_may_hold_what_looks_like_its_own_end() -> None:
    text = line(
        "IDLE+DRAIN", " Reason=a [x@y] b [bob@2026-01-01T00:00:00] c [ann@2026-02-02T00:00:00]"
    )
    seen = view(text)
    assert seen.reason == "a [x@y] b [bob@2026-01-01T00:00:00] c"
    assert (seen.reason_by, seen.reason_at) == ("ann", "2026-02-02T00:00:00")


def test_a_comment_after_the_reason_is_not_part_of_it() -> None:
    seen = view(line("IDLE+DRAIN", OURS + " Comment=rack 7 [old] Extra=ee"))
    assert seen.reason == "hd:k3f9.1 GPU3 lost; rule r"


def test_what_slurm_appends_keeps_the_mark() -> None:
    text = " Reason=hd:k3f9.1 GPU3 : reboot issued [slurm@2026-11-21T02:44:45]"
    assert view(line("DOWN+DRAIN+REBOOT_ISSUED", text)).marked("hd:k3f9.1")


def test_a_reason_of_two_lines_is_read_whole() -> None:
    text = " Reason=first\nsecond [ann@2026-11-21T02:44:45]"
    assert view(line("IDLE+DRAIN", text)).reason == "first\nsecond"


def test_no_reason_is_empty_and_nobodys() -> None:
    seen = view(line("IDLE"))
    assert (seen.reason, seen.reason_by, seen.reason_at) == ("", "", "")


@pytest.mark.parametrize(
    ("state", "true"),
    [
        ("IDLE", {"responding", "settled"}),
        ("IDLE+NOT_RESPONDING", {"settled"}),
        ("IDLE+DRAIN", {"drained", "responding", "settled"}),
        ("ALLOCATED+DRAIN", {"drained", "in_use", "responding", "settled"}),
        ("MIXED+DRAIN", {"drained", "in_use", "responding", "settled"}),
        ("IDLE+COMPLETING+DRAIN", {"drained", "in_use", "responding", "settled"}),
        ("MIXED+FAIL", {"drained", "in_use", "responding", "settled"}),
        ("IDLE+FAIL", {"drained", "responding", "settled"}),
        ("DOWN", {"down", "responding", "settled"}),
        ("DOWN+NOT_RESPONDING", {"down", "settled"}),
        ("DOWN+DRAIN", {"down", "drained", "responding", "settled"}),
        ("DOWN+DRAIN+NOT_RESPONDING", {"down", "drained", "settled"}),
        ("UNKNOWN+NOT_RESPONDING", set()),
        ("UNKNOWN+DRAIN+NOT_RESPONDING", {"drained"}),
        ("IDLE+MAINTENANCE+RESERVED", {"maintenance", "responding", "settled"}),
        ("IDLE+RESERVED", {"responding", "settled"}),
        ("MIXED+DRAIN+REBOOT_REQUESTED", {"drained", "in_use", "responding", "settled"}),
        ("DOWN+DRAIN+REBOOT_ISSUED", {"down", "drained", "responding", "settled"}),
        ("IDLE+DRAIN+POWER_DOWN", {"drained", "responding", "settled"}),
        ("IDLE+POWERING_DOWN", {"responding", "settled"}),
        ("IDLE+POWERED_DOWN", {"responding", "settled"}),
        ("IDLE+DRAIN+EXTERNAL+SOMETHING_NEW", {"drained", "responding", "settled"}),
        ("IDLE*+DRAIN", {"drained", "settled"}),  # older releases
    ],
)
def test_base_states_and_flags(state: str, true: set[str]) -> None:
    seen = view(line(state))
    names = {"drained", "down", "responding", "in_use", "maintenance", "settled"}
    assert {name for name in names if getattr(seen, name)} == true
    assert seen.state == state


def test_allocated_cpus_alone_mean_in_use() -> None:
    assert view(line("IDLE+DRAIN", cpus=1)).in_use


def test_another_node_is_not_taken_for_ours() -> None:
    assert parse_node(line(name="n10"), "n1") is None
    assert parse_node("Node n1 not found\n", "n1") is None


def test_the_partitions_are_all_read() -> None:
    node = parse_node(line(), "n1")
    assert node is not None
    assert node.partitions == ["main", "gpu"]


@pytest.mark.parametrize(
    "reason",
    ["", "Not responding", "Node unexpectedly rebooted", "Low RealMemory (reported:1 < 2)"],
)
def test_slurms_own_reasons(reason: str) -> None:
    assert is_slurms_own(reason)


def test_a_persons_reason_is_not_slurms_own() -> None:
    assert not is_slurms_own("not responding to ping, Ann looks at it")


def test_the_count_knows_partitions_and_takes_only_our_marks() -> None:
    text = (
        "n1|main|drained|2026-11-21T02:44:45|hd:aaaa.1 GPU3 | with a bar\n"
        "n1|gpu|drained|2026-11-21T02:44:45|hd:aaaa.1 GPU3 | with a bar\n"
        "n2|main|draining*|2026-11-21T02:44:46|hd:bbbb.12 x\n"
        "n3|main|drained|2026-11-21T02:44:47|disk swap hd:cccc.1 x\n"
        "and its second line\n"
        "n4|main|idle|2026-11-21T02:44:47|hd:dddd.1 left behind\n"
        "n5|main|idle%|2026-11-21T02:44:47|hd:dddd.1 left behind by power saving\n"
        "n6|main|idle|Unknown|none\n"
        "n7|main|powered_down|2026-11-21T02:44:47|hd:dddd.1 left behind\n"
        "n8|main|blocked*|2026-11-21T02:44:47|hd:dddd.1 left behind\n"
    )
    main, gpu = parse_count(text)
    assert (main.name, main.nodes, [claim.node for claim in main.claims]) == (
        "main",
        8,
        ["n1", "n2"],
    )
    assert (gpu.name, gpu.nodes, [claim.node for claim in gpu.claims]) == ("gpu", 1, ["n1"])
    assert main.claims[0].at == "2026-11-21T02:44:45"


def test_a_node_is_found_by_its_hosts_name_long_or_short() -> None:
    text = "n1|host1\nn2|host2\nn2|host2\nn3|host3\nn4|host3\n"
    assert nodes_of_host(text, "host2.site.example") == ["n2"]
    assert nodes_of_host(text, "host3") == ["n3", "n4"]
    assert nodes_of_host(text, "elsewhere") == []
