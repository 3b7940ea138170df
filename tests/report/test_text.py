"""Can a tired engineer read it: in 80 columns, the worst first, nothing faked by a job?"""

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hpcdoctor.model.finding import Evidence, Outcome, Verdict
from hpcdoctor.report.document import Source, report
from hpcdoctor.report.text import render
from hpcdoctor.report.width import columns
from tests.report.test_document import EARLIER, NOW, finding, made

HOSTILE = "\x1b[2J\r\nok\u202e\x07\u2028" + "x" * 300


def one(changes: dict[str, Any], source: Source = "daemon") -> str:
    outcome = Outcome("bad", Verdict.CRITICAL, subjects=1)
    found = finding("bad", **changes)
    return render(report("n1", [outcome], [found], Verdict.CRITICAL, NOW, source=source))


def test_it_reads_like_this() -> None:
    assert (
        render(made())
        == """\
CRITICAL  n1: bad is wrong; 1 more
          2027-01-15 08:00:00 UTC, by the daemon; 1 critical, 1 unknown, 1 ok, 1
          skipped
jobs      4711 of anna

CRITICAL  bad is wrong [bad]
since     07:59:00, 1 min
affects   job 4711 of anna on this GPU
explains  critical: follows is wrong [follows]
evidence  07:59:00 seen
next      1. Look

WARNING   mild is wrong [mild]
since     07:59:00, 1 min
evidence  07:59:00 seen
next      1. Look

node      healthy since 07:59:00, 1 min
held      by alice until 08:01:00, in 1 min: memory test
mode      shadow, authority node

unknown   unclear: it cannot be read
ok        fine
not here  no such thing: absent
"""
    )


def test_what_a_user_wrote_into_the_log_moves_no_cursor_and_fakes_no_line() -> None:
    text = one(
        {
            "summary": HOSTILE,
            "caused_by": HOSTILE,
            "evidence": [Evidence(EARLIER, HOSTILE)],
            "next_steps": [HOSTILE],
            "why": HOSTILE,
            "acknowledged_by": HOSTILE,
        }
    )
    assert re.search("[^\x20-\x7e\n…]", text) is None
    assert max(len(line) for line in text.splitlines()) <= 80
    assert not any(line.startswith("ok") for line in text.splitlines())
    whole = report(HOSTILE, [], [], Verdict.UNKNOWN, NOW, source="log")
    assert re.search("[^\x20-\x7e\n…]", render(whole)) is None
    assert max(len(line) for line in render(whole).splitlines()) <= 80


@given(st.text(max_size=300), st.integers(0, 400))
def test_no_text_breaks_out_of_the_page(text: str, width: int) -> None:
    outcomes = [
        Outcome("bad", Verdict.UNKNOWN, reason=text),
        Outcome("worse", None, reason=text),
    ]
    found = finding("bad", summary=text, evidence=[Evidence(EARLIER, text)], next_steps=[text])
    whole = report(text, outcomes, [found], Verdict.UNKNOWN, NOW, source="probes")
    page = render(whole, width=width)
    assert all(char.isprintable() for char in page.replace("\n", ""))
    assert max(columns(line) for line in page.split("\n")) <= max(36, min(140, width))


def test_many_events_show_the_first_the_latest_and_how_many_more() -> None:
    evidence = [Evidence(EARLIER.plus(n), f"event {n}") for n in range(6)]
    text = one({"evidence": evidence, "count": 40})
    assert "07:59:00, 1 min; 40 times" in text
    assert re.findall("event [0-9]|[0-9]+ more", text) == [
        "event 0",
        "37 more",
        "event 4",
        "event 5",
    ]


def test_what_is_seen_again_is_not_written_again() -> None:
    evidence = [Evidence(EARLIER.plus(n), "mounted = false") for n in (0, 10)]
    text = one({"evidence": evidence})
    assert "evidence  07:59:00 mounted = false\n          07:59:10 the same\n" in text


def test_a_log_is_told_by_its_own_clock_and_not_by_the_readers() -> None:
    evidence = [Evidence(NOW, "Xid", {"boottime_seconds": 12.5})]
    text = one({"evidence": evidence, "count": 2}, "log")
    assert "seen      2 times" in text
    assert "evidence  [12.500000] Xid" in text
    assert "since" not in text


def test_one_look_does_not_pretend_to_know_since_when() -> None:
    text = one({"since": NOW}, "probes")
    assert "since     this look; when it began is not known without the daemon\n" in text


def test_what_was_there_when_somebody_began_to_watch_is_of_an_unknown_age() -> None:
    before = finding("old", since=EARLIER)
    later = finding("new", since=EARLIER.plus(5))
    logged = finding("logged", since=EARLIER.plus(-60))
    names = ("old", "new", "logged")
    outcomes = [Outcome(name, Verdict.CRITICAL, subjects=1) for name in names]
    whole = report("n", outcomes, [before, later, logged], Verdict.CRITICAL, NOW, source="probes")
    text = " ".join(render(whole, first_look=(EARLIER.plus(-9), EARLIER)).split())
    assert text.count("since the first look of this watch; when it began is not known") == 1
    assert "since 07:59:05, 55 s" in text
    assert "since 07:58:00, 2 min" in text


def test_a_check_that_needs_two_looks_says_how_to_get_them() -> None:
    outcome = Outcome("x", None, reason="needs a second reading")
    whole = report("n", [outcome], [], Verdict.UNKNOWN, NOW, source="probes")
    assert "hpcdoctor check --apart 10s" in render(whole)
    assert "UNKNOWN   n: nothing could be judged here\n" in render(whole)


def test_a_command_stays_in_one_piece_so_that_it_can_be_copied() -> None:
    command = "journalctl -k | grep -E 'EDAC|Hardware Error|Memory failure'"
    text = one({"next_steps": [f"See which DIMM the kernel named: {command}", "Reseat it"]})
    assert "next      1. See which DIMM the kernel named:\n" in text
    assert f"\n               {command}\n          2. Reseat it\n" in text


def test_colour_only_where_it_is_wanted() -> None:
    whole = made()
    assert "\x1b" not in render(whole)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", render(whole, colour=True))
    assert plain == render(whole)


def test_what_the_root_explains_is_folded_under_it() -> None:
    root = finding("gpu-lost", subject={"pci_address": "0000:3b:00"})
    symptom = finding("gpu-ecc", subject={"gpu": "GPU3"}, caused_by=root.key)
    outcomes = [Outcome(f.check, f.verdict, subjects=1) for f in (root, symptom)]
    text = render(report("n1", outcomes, [symptom, root], Verdict.CRITICAL, NOW, source="daemon"))
    lines = text.splitlines()
    assert lines[0] == "CRITICAL  n1: gpu-lost is wrong [gpu-lost]"
    assert lines[3] == "explains  critical: gpu-ecc is wrong [gpu-ecc]"
    assert text.count("gpu-ecc") == 2
