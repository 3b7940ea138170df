"""Does `hpcdoctor explain` say what a thing means, what to do, and which file says so?"""

import json
from pathlib import Path

import pytest

from hpcdoctor.__main__ import main
from hpcdoctor.definitions.loader import load_definitions
from hpcdoctor.model.shell_words import PLACE
from hpcdoctor.report.illness import BY_CODE
from hpcdoctor.report.pages.alerts import Alert, alerts
from tests.doubles.site import written

XID = "NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."


def explained(capsys: pytest.CaptureFixture[str], folder: Path, *name: str, code: int = 0) -> str:
    assert main(["explain", "--config", str(folder), *name]) == code
    said = capsys.readouterr()
    text = said.err if code else said.out
    if "--json" not in name:
        assert all(len(line) <= 80 for line in text.splitlines() if "/" not in line)
    return text


def test_a_check_names_its_steps_its_rules_and_the_line_of_each_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = written(tmp_path, {"checks/gpu-lost.yaml": "\nclear_after: by-hand\n"})
    text = explained(capsys, site, "gpu-lost")
    assert "check gpu-lost\n" in text
    assert "rule gpu-lost\n" in text
    assert "1. See what came before it" in text
    assert "gpu-lost (critical: asks for drain, mode act)" in text
    own = text.partition(f"  {site}/checks/gpu-lost.yaml\n")[2]
    assert own.startswith("     2  clear_after: by-hand\n")
    assert "    10  critical.when: code == 79\n" in text


def test_what_is_switched_off_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = written(tmp_path, {"checks/hung-task.yaml": "enabled: false\n"})
    text = explained(capsys, site, "hung-task")
    assert text.startswith("check hung-task   (switched off)\n")
    assert "     1  enabled: false\n" in text


@pytest.mark.parametrize("name", [("xid", "79"), ("Xid79",), ("xid 79",), ("XID-079",)])
def test_a_code_is_explained_from_the_catalogue(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: tuple[str, ...]
) -> None:
    text = explained(capsys, tmp_path, *name)
    assert text.startswith("Xid 79\n")
    assert "fallen off the bus" in text
    assert "catalogs/xid.yaml:" in text


def test_an_unknown_code_says_that_it_is_unknown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = explained(capsys, tmp_path, "xid", "99999")
    assert text.startswith("Xid 99999: not in the catalogue")


@pytest.mark.parametrize(
    "before", ["", "[  123.456] ", "Nov 21 05:00:00 n1 kernel: ", "<4>[    1.500000] "]
)
def test_a_line_of_the_log_is_explained_in_every_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], before: str
) -> None:
    text = explained(capsys, tmp_path, before + XID)
    assert "kernel message xid\n" in text
    assert "pci_address   0000:3b:00\n" in text
    assert "critical by check gpu-lost\n" in text
    assert "hpcdoctor explain xid 79" in text


def test_a_line_that_ends_a_fault_says_which(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = explained(capsys, tmp_path, "nfs: server home1 OK")
    assert "It ends what storage-server-lost found" in text


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_line_that_means_nothing_says_so_and_ends_as_an_unknown_name_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    assert main(["explain", "--config", str(tmp_path), *more, "usb 1-1: new device"]) == 64
    assert "makes nothing of this line" in capsys.readouterr().err


def test_a_line_of_the_log_may_have_no_blank_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/slurm/uid_1000/job_4711,pid=9,uid=1000"
    text = explained(capsys, tmp_path, line)
    assert text.startswith("kernel message oom_job\n")
    assert "scontrol show job 4711" in text


@pytest.mark.parametrize("number", ["79", "94", "999", "079"])
def test_a_number_alone_is_taken_as_an_xid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], number: str
) -> None:
    text = explained(capsys, tmp_path, number)
    assert text.startswith(f"Xid {int(number)}")
    assert "The number alone is taken as an Xid." in text


def test_a_number_that_only_switches_have_is_taken_as_an_sxid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explained(capsys, tmp_path, "12028").startswith("SXid 12028\n")


@pytest.mark.parametrize("name", ["xid", "XID", "sxid"])
def test_the_kind_of_a_code_alone_says_how_to_ask(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert f"hpcdoctor explain {name.lower()} " in explained(capsys, tmp_path, name)


def test_the_xid_that_names_the_action_does_not_point_at_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = explained(capsys, tmp_path, "Xid 154")
    assert "another message" not in text
    assert "- GPU Reset Required: end what uses the GPU" in text
    assert "Check gpu-recovery-action judges it" in text


@pytest.mark.parametrize(
    "pasted",
    [
        "CRITICAL  GPU3 at 0000:3b:00 has fallen off the bus [gpu-lost]",
        "CRITICAL: gpu-lost GPU3 (Xid79 off bus); node draining",
        "n017: CRITICAL: gpu-lost GPU3 (Xid79 off bus); node draining",
        "UNKNOWN: could not measure gpu-lost",
        "GPU3 at 0000:3b:00 has fallen off the bus",
        "CRITICAL: GPU3 at 0000:3b:00 has fallen off the bus",
        "[gpu-lost]",
        "gpu-lost,",
        "`gpu-lost`",
    ],
)
def test_what_hpcdoctor_itself_has_printed_is_explained_by_the_check_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pasted: str
) -> None:
    assert explained(capsys, tmp_path, pasted).startswith("check gpu-lost\n")


def test_evidence_is_explained_as_the_line_of_the_log_that_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = explained(capsys, tmp_path, f"evidence  02:13:05 {XID}")
    assert text.startswith("kernel message xid\n")


@pytest.mark.parametrize(
    ("line", "kind", "says"),
    [
        (
            "mce: [Hardware Error]: CPU 20: Machine Check: 0 Bank 11: 8c00004f000800c1",
            "machine_check_corrected",
            "has corrected this error",
        ),
        ("Kernel panic - not syncing", "panic", "critical by check kernel-oops"),
        (
            "pcieport 0000:15:02.0: AER: Uncorrected (Fatal) error received: 0000:19:00.0",
            "aer_told_by_port",
            "check pcie-errors-logged",
        ),
        (
            "pcieport 0000:15:02.0: AER: Corrected error received: 0000:19:00.0",
            "aer_told_by_port",
            "device 0000:19:00.0",
        ),
        (
            "NVRM: RmInitAdapter failed! (0x26:0x56:1474)",
            "gpu_init_failed",
            "does not say which one",
        ),
    ],
)
def test_a_line_that_is_no_finding_by_itself_is_explained_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, kind: str, says: str
) -> None:
    text = " ".join(explained(capsys, tmp_path, line).split())
    assert text.startswith(f"kernel message {kind} ")
    assert says in text


@pytest.mark.parametrize(
    ("said", "check"),
    [
        ("Failed to initialize NVML: Driver/library version mismatch", "driver-drift"),
        ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.", "gpu-"),
    ],
)
def test_what_users_report_leads_to_the_check_that_sees_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], said: str, check: str
) -> None:
    assert f"\ncheck {check}" in explained(capsys, tmp_path, said)


def test_several_names_are_explained_one_by_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = explained(capsys, tmp_path, "gpu-hot", "xid", "79", "79")
    assert "check gpu-hot\n" in text
    assert "word xid\n" in text
    assert "Xid 79\n" in text


def test_of_several_names_the_unknown_one_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", "--config", str(tmp_path), "gpu-hot", "gpu-los"]) == 64
    said = capsys.readouterr()
    assert said.out.startswith("check gpu-hot\n")
    assert "nothing is named 'gpu-los'" in said.err


def test_a_name_that_is_not_there_is_answered_with_the_nearest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = explained(capsys, tmp_path, "gpu-los", code=64)
    assert text.startswith("hpcdoctor: nothing is named 'gpu-los'; did you mean `gpu-lost`")


def test_a_broken_file_is_explained_by_its_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = written(tmp_path, {"checks/hung-task.yaml": "every: 5\n"})
    text = explained(capsys, site, "hung-task", code=78)
    assert "hung-task.yaml:1: `every: 5` has no unit" in text


def test_hostile_words_move_no_cursor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "NVRM: Xid (PCI:0000:3b:00): 79, pid=1, name=\x1b[2J, GPU has fallen off the bus."
    assert "\x1b" not in explained(capsys, tmp_path, line)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("waiting", "state waiting\n"),
        ("Handed over", "state handed_over\n"),
        ("hold", "word hold\n"),
        ("critical", "verdict critical\n"),
        ("hpcdoctor.quarantine.claimed", "event hpcdoctor.quarantine.claimed\n"),
        ("hold.set", "event hpcdoctor.hold.set\n"),
    ],
)
def test_words_states_and_events_are_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, says: str
) -> None:
    assert explained(capsys, tmp_path, name).startswith(says)


@pytest.mark.parametrize("code", BY_CODE)
def test_a_notice_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], code: str
) -> None:
    text = " ".join(explained(capsys, tmp_path, code).split())
    assert f"notice {code} {BY_CODE[code].meaning}" in text
    assert f"1. {BY_CODE[code].do}" in text


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert.alert)
def test_an_alert_says_what_to_do_without_the_templates_own_language(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], alert: Alert
) -> None:
    text = explained(capsys, tmp_path, alert.alert.lower())
    assert text.startswith(f"alert {alert.alert}\n")
    assert "{{" not in text
    assert "What to do" in text


def test_a_setting_is_explained_by_its_whole_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = " ".join(explained(capsys, tmp_path, "slurm.grace").split())
    assert text.startswith("setting slurm.grace Under `drain-now`: from the signal until")
    assert "Default: 5m." in text


def test_a_line_made_to_keep_us_busy_is_read_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the pieces of a summary come again and again, trying each of them would never end."""
    summary = load_definitions().checks["infiniband-link"].value.summary
    first, *others = PLACE.split(" ".join(summary.split()))[::2]
    line = first + "".join(f"x{piece}" * 190 for piece in others) + "!"
    explained(capsys, tmp_path, line, code=64)


def test_a_reason_line_names_its_incident_its_rule_and_its_runbook(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "hd:k3f9.2 GPU3 Xid79 off bus; rule gpu-lost hpcdoctor 2026-11-21T04:52:20 n017"
    text = explained(capsys, tmp_path, line)
    assert text.startswith("reason hd:k3f9.2\n")
    assert "What is broken: GPU3 Xid79 off bus." in " ".join(text.split())
    assert "hpcdoctor explain gpu-lost" in text
    assert "docs/runbooks/gpu-lost.md" in text


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("mode: shadow\n", "Nothing is drained"),
        ("mode: act\nscheduler: slurm\n", "the node is drained as soon as the limit allows"),
        ("mode: act\nscheduler: slurm\nauthority: fleet\n", "asks the fleet controller"),
        ("mode: disabled\n", "Nothing: it is switched off."),
    ],
)
def test_what_happens_next_depends_on_the_sites_mode(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], settings: str, says: str
) -> None:
    site = written(tmp_path, {"hpcdoctor.yaml": settings})
    assert says in " ".join(explained(capsys, site, "gpu-lost").split())


def test_a_warning_is_not_said_to_drain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "asks for drain" not in explained(capsys, tmp_path, "xid", "94")
    assert "asks for drain" in explained(capsys, tmp_path, "xid", "79")


@pytest.mark.parametrize("name", ["gpu-lost", "xid 79", "waiting", XID, "hd:k3f9.2 GPU3 gone"])
def test_the_same_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    said = json.loads(explained(capsys, tmp_path, "--json", name))
    assert said["schema"] == "hpcdoctor.explain/1"
    assert all(entry["kind"] for entry in said["about"])


def test_settings_that_cannot_be_used_do_not_silence_a_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = written(tmp_path, {"hpcdoctor.yaml": "mode: perhaps\n"})
    assert main(["explain", "--config", str(site), XID]) == 0
    said = capsys.readouterr()
    assert "what follows is as shipped" in said.err
    assert "critical by check gpu-lost" in said.out
