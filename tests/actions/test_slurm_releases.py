"""Is the line form of `scontrol -o show node` read right in every release from 22.05 to 25.11?

Only 22.05 can be run here. The lines of the others are no recordings of a cluster: they are made
by hand from the manual pages and release notes, each release with the fields that it has.
"""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hpcdoctor.actions.reason import mark_of
from hpcdoctor.actions.slurm_text import SlurmNode, is_slurms_own, parse_count, parse_node

# Between State= and Reason=: what comes with the release, in its order.
TIMES = "BootTime=2026-11-20T01:53:07 SlurmdStartTime=2026-11-20T02:14:31"
BUSY = "LastBusyTime=2026-11-21T02:14:31"
TRES = "CfgTRES=cpu=64,mem=512000M,billing=64,gres/gpu=4 AllocTRES="
SENSORS = "ExtSensorsJoules=n/a ExtSensorsWatts=0 ExtSensorsTemp=n/a"
MIDDLE = {
    "22.05": f"{TIMES} {BUSY} {TRES} CapWatts=n/a CurrentWatts=0 AveWatts=0 {SENSORS}",
    "23.02": f"{TIMES} {BUSY} ResumeAfterTime=None {TRES} CapWatts=n/a CurrentWatts=0 AveWatts=0 "
    f"{SENSORS}",
    "23.11": f"{TIMES} {BUSY} ResumeAfterTime=None {TRES} CapWatts=n/a CurrentWatts=0 AveWatts=0 "
    f"{SENSORS}",
    "24.05": f"{TIMES} {BUSY} ResumeAfterTime=2026-11-22T02:14:31 {TRES} CurrentWatts=0 AveWatts=0",
    "24.11": f"{TIMES} {BUSY} ResumeAfterTime=None {TRES} CurrentWatts=n/a AveWatts=n/a",
    "25.05": f"{TIMES} {BUSY} ResumeAfterTime=None {TRES} Topology=default:sw1 "
    "CurrentWatts=n/a AveWatts=n/a",
    "25.11": f"{TIMES} {BUSY} ResumeAfterTime=None {TRES} Topology=default:sw1,block:b2 "
    "CurrentWatts=n/a AveWatts=n/a",
}
# After Reason=: the most that the release can show there.
END = {
    "22.05": " Comment=rack 7 Extra=a=b",
    "23.02": " Comment=rack 7 Extra=a=b ReservationName=maint 1",
    "23.11": ' Comment=rack 7 Extra={"a": 1} InstanceId=i-0a1b InstanceType=p5 ReservationName=m',
    "24.05": ' Comment=rack 7 Extra={"a": 1} InstanceId=i-0a1b InstanceType=p5 ReservationName=m',
    "24.11": ' Comment=rack 7 Extra={"a": 1} InstanceId=i-0a1b InstanceType=p5 ReservationName=m',
    "25.05": " InstanceId=i-0a1b InstanceType=p5 TLSCertLastRenewal=2026-11-20T00:00:00",
    "25.11": " ReservationName=m TLSCertLastRenewal=2026-11-20T00:00:00 SomethingNew=1",
}
RELEASES = sorted(MIDDLE)
OURS = "hd:k3f9.1 GPU3 Xid79 off bus; rule gpu-lost"
STAMP = "2026-11-21T02:44:45"


def line(release: str, state: str, reason: str = "", by: str = "root", end: str = "") -> str:
    told = f" Reason={reason} [{by}@{STAMP}]" if reason else ""
    return (
        "NodeName=n1 Arch=x86_64 CoresPerSocket=32  CPUAlloc=0 CPUEfctv=64 CPUTot=64 CPULoad=0.26 "
        "AvailableFeatures=gpu,State=x ActiveFeatures=gpu Gres=gpu:h100:4(S:0-1) "
        f"NodeAddr=10.0.0.1 NodeHostName=host1 Version={release}.1 "
        "OS=Linux 6.1.0-13-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.55-1 (2023-09-29)  "
        "RealMemory=512000 AllocMem=0 FreeMem=N/A Sockets=2 Boards=1 CoreSpecCount=2 "
        f"CPUSpecList=62-63 MemSpecLimit=1024 State={state} ThreadsPerCore=1 TmpDisk=0 Weight=1 "
        f"Owner=N/A MCS_label=N/A Partitions=main,gpu  {MIDDLE[release]}{told}{end}\n"
    )


def node(text: str) -> SlurmNode:
    found = parse_node(text, "n1")
    assert found is not None
    return found


@pytest.mark.parametrize("release", RELEASES)
def test_our_drain_is_ours_whatever_follows_the_reason(release: str) -> None:
    for end in ("", END[release]):
        seen = node(line(release, "IDLE+DRAIN", OURS, end=end))
        view = seen.view
        assert (view.reason, view.reason_by, view.reason_at) == (OURS, "root", STAMP)
        assert view.marked("hd:k3f9.1")
        assert view.drained
        assert seen.partitions == ["main", "gpu"]


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize(
    ("state", "drained", "down", "settled"),
    [
        ("IDLE+DYNAMIC_NORM+PLANNED", False, False, True),
        ("IDLE+CLOUD+POWERED_DOWN", False, False, True),
        ("IDLE+CLOUD+POWERING_UP+NOT_RESPONDING", False, False, True),
        ("IDLE+DRAIN+DYNAMIC_NORM", True, False, True),
        ("IDLE+DRAIN+INVALID_REG", True, False, True),
        ("IDLE+BLOCKED", False, False, True),
        ("IDLE+EXTERNAL", False, False, True),
        ("DOWN+CLOUD+NOT_RESPONDING", False, True, True),
        ("DOWN+DRAIN+DYNAMIC_FUTURE+POWER_DOWN", True, True, True),
        ("FUTURE", False, False, True),
        ("UNKNOWN+NOT_RESPONDING", False, False, False),
        ("IDLE+MAINTENANCE+RESERVED+A_WORD_OF_2030", False, False, True),
    ],
)
def test_states_of_every_release(
    release: str, state: str, drained: bool, down: bool, settled: bool
) -> None:
    view = node(line(release, state)).view
    assert (view.drained, view.down, view.settled) == (drained, down, settled)
    assert not view.in_use
    assert view.state == state


def test_a_user_with_a_domain_and_one_without_a_name() -> None:
    for by in ("ann@site.example", "SITE\\ann", "domain users", "4294967294"):
        view = node(line("25.05", "DOWN", "disk swap", by=by)).view
        assert (view.reason, view.reason_by) == ("disk swap", by)


def test_a_reason_without_a_stamp_is_somebodys_all_the_same() -> None:
    """It stands so in slurm.conf: NodeName=n1 State=DOWN Reason="..."."""
    text = line("25.05", "DOWN").replace("\n", " Reason=disk swap Comment=x\n")
    view = node(text).view
    assert (view.reason, view.reason_by, view.reason_at) == ("disk swap", "", "")


def test_the_second_line_of_a_reason_comes_behind_the_stamp() -> None:
    text = line("24.11", "IDLE+DRAIN", "first line", end="         second line [x] Comment=y")
    view = node(text).view
    assert (view.reason, view.reason_by, view.reason_at) == ("first line", "root", STAMP)


def test_a_node_in_no_partition_is_in_none_that_its_reason_names() -> None:
    text = line("24.05", "IDLE+DRAIN", "a Partitions=gpu State=IDLE CPUAlloc=64 b")
    seen = node(text.replace("Partitions=main,gpu ", ""))
    assert seen.partitions == []
    assert seen.view.drained
    assert not seen.view.in_use


@pytest.mark.parametrize(
    "reason",
    [
        "Not responding, Ann looks at it",
        "Prolog errors since Monday, see ticket 7",
        "Kill task failed - Bob",
        "Low CPUs on purpose",
    ],
)
def test_who_begins_with_slurms_words_is_still_a_person(reason: str) -> None:
    assert not is_slurms_own(reason)


def test_what_slurm_goes_on_with_is_still_slurms() -> None:
    assert is_slurms_own("Low RealMemory (reported:1 < 100.00% of configured:2)")
    assert is_slurms_own("Not responding : reboot issued")


def one_line(text: str) -> bool:
    return "\n" not in text and text == text.strip() and text.isprintable()


# Blanks, brackets, stamps and field names: what a reason or a comment would have to be made of.
PIECES = st.sampled_from(
    [" ", "[", "]", "@", "=", "Reason=", " Comment=", " State=IDLE", "Partitions=x", "hd:zzzz.9 ",
     f"[eve@{STAMP}]", f" [eve@{STAMP}] Extra=", "disk swap", "|", "  ", "{}", "é"]
)  # fmt: skip
HOSTILE = st.lists(PIECES, max_size=8).map("".join).filter(one_line)


@given(HOSTILE.filter(bool), st.sampled_from(RELEASES))
@example(f"a [eve@{STAMP}]", "25.11")
@example(f"a [eve@{STAMP}] Extra=", "25.11")
def test_a_reason_comes_back_as_it_was_written(reason: str, release: str) -> None:
    view = node(line(release, "IDLE+DRAIN", reason, by="ann")).view
    assert (view.reason, view.reason_by) == (reason, "ann")
    assert view.drained


@given(HOSTILE, HOSTILE, st.sampled_from(RELEASES))
def test_no_comment_makes_a_drain_ours_that_is_not(comment: str, extra: str, release: str) -> None:
    """Whoever may write comments may spoil the reading; it is never spoilt in our favour."""
    end = f" Comment={comment} Extra={extra}"
    theirs = node(line(release, "IDLE+DRAIN", "disk swap", by="ann", end=end)).view
    assert not theirs.marked("hd:zzzz.9")
    assert theirs.reason.startswith("disk swap")
    ours = node(line(release, "IDLE+DRAIN", OURS, end=end)).view
    assert ours.marked("hd:k3f9.1")
    assert (ours.reason == OURS and ours.reason_by == "root") or ours.reason_by != "root"
    assert ours.drained
    assert theirs.drained


@given(st.text(max_size=300))
def test_no_text_whatever_ends_in_a_traceback(text: str) -> None:
    parse_node(text, "n1")
    parse_node(f"NodeName=n1 {text}", "n1")
    parse_node(line("25.11", "IDLE+DRAIN", "x", end=text), "n1")
    parse_count(text)
    mark_of(text)
    is_slurms_own(text)


def test_a_long_hostile_reason_is_read_in_no_time() -> None:
    """60 000 bytes can be stored; no pattern here may take the square of that."""
    reason = f" [a@{STAMP}" * 2500
    text = line("25.11", "IDLE+DRAIN", reason, by="ann", end=" Comment=" + "[" * 30_000)
    assert node(text).view.reason_by == "ann"
    assert re.search("Reason=", text)
