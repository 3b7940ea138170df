"""What is a tired engineer told of the mistakes that people make in hpcdoctor.yaml?

One line a mistake, with file, line and key and the likely fix; exit 78 from every command that
needs the settings (test_folders.py has the others), never a traceback. Each line here was read by a
person before it was written down.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from hpcdoctor.__main__ import main
from tests.doubles.site import written

UTF8_MARK = b"\xef\xbb\xbf"
MISTAKES: dict[str, tuple[str | bytes, list[str]]] = {
    "a tab": ("limit:\n\tnodes: 3\n", ["2: is not YAML: indent with spaces, not with a tab ("]),
    "indented too little": (
        "limit:\n  nodes: 3\n share_ratio: 0.1\n",
        ["3: is not YAML: check the indentation, and that all quotes are closed ("],
    ),
    "indented too far": (
        "mode: act\n  scheduler: slurm\n",
        ["2: is not YAML: this line begins further in than the one above, which has its value "],
    ),
    "not indented": (
        "limit:\nnodes: 3\n",
        [
            "1: `limit`: nothing is written here, and a mapping of keys and values is due",
            "2: there is no key `nodes` here; it belongs below `limit:`, indented by two spaces",
        ],
    ),
    "an unknown key": ("modes: act\n", ["1: there is no key `modes` here; did you mean `mode`?"]),
    "a hyphen for an underscore": ("spool-age: 7d\n", ["1: there is no key `spool-age` here; did"]),
    "camel case": ("spoolAge: 7d\n", ["1: there is no key `spoolAge` here; did you mean `spool_"]),
    "a word for a number": ("limit: {nodes: lots}\n", ["1: `nodes`: a whole number is due here, "]),
    "a number in quotes": (
        'limit: {nodes: "2"}\n',
        ["1: `nodes`: a whole number is due here, not `2`; write it without quotes"],
    ),
    "a percentage": (
        "limit: {share_ratio: 2%}\n",
        ["1: `share_ratio`: a number is due here, not `2%`; write 0.02"],
    ),
    "a decimal comma": (
        "limit:\n  share_ratio: 0,02\n",
        ["2: `share_ratio`: a number is due here, not `0,02`; write 0.02"],
    ),
    "a number for a text": (
        "cluster: 5\n",
        ["1: `cluster`: a text is due here, not a whole number; quote it"],
    ),
    "a unit spelt out": (
        "tick: 5 min\n",
        ["1: `tick`: `5 min` is not a duration; did you mean `5"],
    ),
    "a day spelt out": (
        "probation: 1 day\n",
        ["1: `probation`: `1 day` is not a duration; did you"],
    ),
    "a week": (
        "spool_age: 2 weeks\n",
        ["1: `spool_age`: `2 weeks` is not a duration; did you mean `14d"],
    ),
    "no unit": (
        "probation: 24\n",
        ["1: `probation: 24` has no unit; write it as in 24s, 24m, 24h"],
    ),
    "a size without a unit": (
        "spool_size: 64\n",
        ["1: `spool_size: 64` has no unit; write it as in"],
    ),
    "a key twice": ("mode: act\nmode: shadow\n", ["2: `mode` stands twice, first in line 1"]),
    "an anchor": ("limit: &l {nodes: 1}\n", ["1: anchors and aliases (& and *) are not used here"]),
    "another encoding": (
        b"user: x\ncluster: caf\xe9\n",
        ["2: is not UTF-8 (byte 0xe9); save it as"],
    ),
    "UTF-16": ("mode: act\n".encode("utf-16"), ["1: is not UTF-8 (byte 0xff); save it as UTF-8"]),
    "a capital": ("mode: Act\n", ["1: `mode`: there is no `Act`; did you mean `act`?"]),
    "another word": (
        "mode: live\n",
        ["1: `mode`: there is no `live`; write disabled, shadow or act"],
    ),
    "on for a word": (
        "mode: on\n",
        ["1: YAML reads `on` as true; write true, or quote it to mean"],
    ),
    "nothing after the colon": (
        "scheduler:\n",
        ["1: `scheduler`: nothing is written here; write n"],
    ),
    "a list for a mapping": (
        "- mode: act\n",
        ["1: has to be a mapping of keys and values; leave out the hyphens, and write each key"],
    ),
    "no space after the colon": (
        "mode:act\n",
        ["1: has to be a mapping of keys and values; write a colon and a space after `mode`"],
    ),
    "an equals sign": (
        "mode = act\n",
        ["1: has to be a mapping of keys and values; write a colon"],
    ),
    "a space that is none": (
        "mode:\u00a0act\n",
        ["1: has to be a mapping of keys and values; write a colon and a space after `mode`"],
    ),
    "an open quote": (
        'mode: act\ncluster: "abc\ntick: 5s\n',
        ["2: is not YAML: a quote or a bracket that begins here is not closed ("],
    ),
    "an environment variable": (
        "cluster: $CLUSTER\nmqtt:\n  host: ${BROKER}\n",
        [
            "1: `cluster`: nothing fills in `$CLUSTER` here; write the value itself",
            "3: `host`: nothing fills in `${BROKER}` here; write the value itself",
        ],
    ),
    "a template in quotes": (
        'node: "{{ inventory_hostname }}"\n',
        ["1: `node`: nothing fills in `{{ inventory_hostname }}` here; write the value itself"],
    ),
    "a template": (
        "cluster: {{ cluster }}\n",
        ["1: the key `{'cluster': None}` is not a text; quote"],
    ),
    "a list as one text": (
        "remediations: gpu-reset, reboot-node\n",
        ["1: `remediations`: a list is due here, not a text; write it as [gpu-reset, reboot-node]"],
    ),
    "a port at the host": (
        'mqtt: {host: "broker:8883"}\n',
        ["1: `host: broker:8883`: write `host: broker` and `port: 8883`"],
    ),
    "a URL for a host": (
        'mqtt: {host: "mqtts://broker"}\n',
        ["1: `host: mqtts://broker`: write the name alone; `port:` and `ca_file:` (TLS) stand"],
    ),
    "two documents": (
        "mode: act\n---\nmode: shadow\n",
        ["2: is not YAML: one file holds one defin"],
    ),
    "the line ends of another system": ("mode: Act\r\n", ["1: `mode`: there is no `Act`; did you"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_with_its_place_and_the_fix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    content, expected = MISTAKES[name]
    site = written(tmp_path, {"hpcdoctor.yaml": content})
    told = []
    for command in (["check", "--here"], ["profile", "learn"], ["settings"]):
        assert main([*command, "--config", str(site)]) == 78
        said = capsys.readouterr()
        assert said.out == ""
        told.append(said.err)
    assert told[0] == told[1] == told[2]
    lines = told[0].splitlines()
    assert len(lines) == len(expected), lines
    for line in expected:
        wanted = f"hpcdoctor: {site}/hpcdoctor.yaml:{line}"
        assert any(found.startswith(wanted) for found in lines), lines


def test_a_name_that_nothing_has_is_told_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "tick: 5s\nremediations: [gpu-resett]\nact_without_fleet:\n  - gpu-losd\n"
    site = written(tmp_path, {"hpcdoctor.yaml": text})
    assert main(["check", "--here", "--config", str(site)]) == 78
    assert capsys.readouterr().err.replace(f"{site}/", "").splitlines() == [
        "hpcdoctor: hpcdoctor.yaml:2: `remediations`: no remediation is named `gpu-resett`; did "
        "you mean `gpu-reset`?",
        "hpcdoctor: hpcdoctor.yaml:3: `act_without_fleet`: no rule is named `gpu-losd`; did you "
        "mean `gpu-lost`?",
    ]


@pytest.mark.parametrize("text", ["", "# nothing\n", UTF8_MARK, "{}\n", "\r\n", "---\n"])
def test_a_file_that_says_nothing_is_no_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | bytes
) -> None:
    site = written(tmp_path, {"hpcdoctor.yaml": text})
    assert main(["settings", "--config", str(site)]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "host", ["broker", "10.0.0.1", "fd00::1", "2001:db8::8883", "b.example.org"]
)
def test_a_host_may_be_a_name_or_an_address(tmp_path: Path, host: str) -> None:
    site = written(tmp_path, {"hpcdoctor.yaml": f'mqtt: {{host: "{host}"}}\n'})
    assert main(["settings", "--config", str(site)]) == 0


def test_what_is_no_file_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "hpcdoctor.yaml").mkdir()
    assert main(["settings", "--config", str(tmp_path)]) == 78
    assert "hpcdoctor.yaml: cannot be read: Is a directory" in capsys.readouterr().err


@pytest.mark.real
@pytest.mark.parametrize("process", ["daemon", "run", "prober", "helper"])
def test_the_processes_end_with_78_and_the_same_line(tmp_path: Path, process: str) -> None:
    site = written(tmp_path, {"hpcdoctor.yaml": "mode: Act\ntick: 5\n"})
    done = subprocess.run(
        [sys.executable, "-m", "hpcdoctor", process, "--config", str(site)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 78
    assert f"{site}/hpcdoctor.yaml:1: `mode`: there is no `Act`; did you mean `act`?" in done.stderr
    assert f"{site}/hpcdoctor.yaml:2: `tick: 5` has no unit" in done.stderr
    assert len(done.stderr.splitlines()) == 2
