"""What explains what, and what never explains a real fault away."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hpcdoctor.checks.causes import Link, roots
from hpcdoctor.model.finding import Cause, Evidence, Finding, Verdict
from hpcdoctor.model.instant import Instant


def at(minutes: float) -> Instant:
    return Instant("boot", 10_000 + 60 * minutes, 1e9 + 60 * minutes)


def finding(
    check: str,
    minutes: float = 0.0,
    verdict: Verdict = Verdict.CRITICAL,
    cause: Cause = Cause.NODE,
    values: dict[str, Any] | None = None,
    **subject: str,
) -> Finding:
    evidence = [Evidence(at(minutes), "as seen", values or {})]
    return Finding(check, subject, verdict, cause, "it is so", at(minutes), evidence=evidence)


LINKS = {
    "gpu-ecc": [Link.parse("gpu-lost", "pci_address")],
    "nvlink": [Link.parse("gpu-lost", "node")],
    "latency": [Link.parse("stuck", "mount_point")],
    "stuck": [Link.parse("server-lost", "server=device")],
    "load": [Link.parse("stuck", "node"), Link.parse("server-lost", "node")],
}
LOST = finding("gpu-lost", pci_address="0000:3b:00")


def of(*findings: Finding) -> dict[str, str | None]:
    return roots({each.key: each for each in findings}, LINKS)


def root_of(one: Finding, *others: Finding) -> str | None:
    return of(one, *others)[one.key]


def test_the_same_gpu_explains_and_another_does_not() -> None:
    mine = finding("gpu-ecc", pci_address="0000:3b:00")
    other = finding("gpu-ecc", pci_address="0000:5e:00")
    assert of(LOST, mine, other) == {LOST.key: None, mine.key: LOST.key, other.key: None}


def test_where_the_place_does_not_matter_the_node_is_enough() -> None:
    assert root_of(finding("nvlink", pci_address="0000:5e:00"), LOST) == LOST.key


def test_a_chain_leads_to_its_end() -> None:
    server = finding("server-lost", device="10.0.0.7", cause=Cause.SHARED)
    stuck = finding("stuck", 1, values={"server": "10.0.0.7"}, mount_point="/scratch")
    slow = finding("latency", 2, mount_point="/scratch")
    load = finding("load", 3, Verdict.WARNING)
    assert of(slow, stuck, server, load) == {
        server.key: None,
        stuck.key: server.key,
        slow.key: server.key,
        load.key: server.key,
    }


def test_a_value_that_is_not_known_agrees_with_nothing() -> None:
    server = finding("server-lost", device="None")
    assert root_of(finding("stuck", values={"server": None}, mount_point="/x"), server) is None


def test_a_cause_that_is_seen_a_little_later_is_still_the_cause() -> None:
    late = finding("gpu-lost", 14, pci_address="0000:3b:00")
    too_late = finding("gpu-lost", 16, pci_address="0000:3b:00")
    symptom = finding("gpu-ecc", 0, pci_address="0000:3b:00")
    assert root_of(symptom, late) == late.key
    assert root_of(symptom, too_late) is None


def test_what_is_milder_explains_nothing_worse() -> None:
    mild = finding("gpu-lost", verdict=Verdict.WARNING, pci_address="0000:3b:00")
    assert root_of(finding("gpu-ecc", pci_address="0000:3b:00"), mild) is None
    unknown = finding("gpu-ecc", verdict=Verdict.UNKNOWN, pci_address="0000:3b:00")
    assert root_of(unknown, mild) == mild.key


def test_what_cannot_be_measured_explains_nothing() -> None:
    blind = finding("gpu-lost", verdict=Verdict.UNKNOWN, pci_address="0000:3b:00")
    symptom = finding("gpu-ecc", verdict=Verdict.UNKNOWN, pci_address="0000:3b:00")
    assert root_of(symptom, blind) is None


def test_what_a_job_did_never_explains_what_is_wrong_with_the_node() -> None:
    job = finding("gpu-lost", cause=Cause.JOB, pci_address="0000:3b:00")
    assert root_of(finding("gpu-ecc", pci_address="0000:3b:00"), job) is None
    of_job = finding("gpu-ecc", cause=Cause.JOB, pci_address="0000:3b:00")
    assert root_of(of_job, job) == job.key


NAMES = ["a", "b", "c", "d"]


@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=12),
    st.lists(st.sampled_from(NAMES), unique=True, min_size=1),
)
def test_every_root_is_there_and_is_a_root_itself_whatever_the_circle(
    pairs: list[tuple[str, str]], present: list[str]
) -> None:
    links: dict[str, list[Link]] = {}
    for one, other in pairs:
        links.setdefault(one, []).append(Link.parse(other, "node"))
    findings = {name: finding(name, index) for index, name in enumerate(present)}
    found = roots(findings, links)
    assert found.keys() == findings.keys()
    for root in found.values():
        assert root is None or found[root] is None
    # Something always remains to be decided upon.
    assert None in found.values()
