"""What does a daemon that was taken over get out of the helper? At most what the site has named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hpcdoctor.actions.programs import Programs
from hpcdoctor.actions.remediate import Remedies
from hpcdoctor.actions.schedulers.slurm import SlurmScheduler
from hpcdoctor.actions.slurm_commands import Commands
from hpcdoctor.actions.subject import Machine
from hpcdoctor.definitions.remediation import Disrupts, Proven, Remediation, Step, Trust
from hpcdoctor.definitions.settings import Authority, Limit, Slurm
from hpcdoctor.helper.journal import Journal
from hpcdoctor.helper.main import Helper
from hpcdoctor.model.action import Action, ActionResult, Operation, Result
from hpcdoctor.probes.host import Host
from tests.doubles.machines import written
from tests.doubles.paper_slurm import PaperNode, PaperSlurm

MARK = "hd:k3f9.1"
REASON = f"{MARK} GPU3 lost; rule r"
GPU = {"pci_address": "0000:3b:00"}
DAY = 86400.0


class Room:
    """A drained node with one GPU, a helper, and the remediations that its site has named."""

    def __init__(self, folder: Path) -> None:
        self.made = folder / "made"
        self.made.mkdir()
        self.root = written(
            folder / "node",
            {
                "sys/bus/pci/devices/0000:3b:00.0/vendor": "0x10de\n",
                "sys/bus/pci/devices/0000:3b:00.0/class": "0x030200\n",
                "sys/bus/pci/devices/0000:5e:00.0/vendor": "0x15b3\n",
                "sys/bus/pci/devices/0000:5e:00.0/class": "0x020700\n",
                "sys/class/infiniband/mlx5_0/node_type": "1\n",
                "etc/fstab": "server:/scratch /scratch nfs defaults 0 0\n",
            },
        )
        self.node = PaperNode()
        self.node.drain(REASON)
        self.slurm = PaperSlurm({"n1": self.node, "n2": PaperNode()})
        self.now = 1e9
        self.journal = Journal(folder / "journal", clock=lambda: self.now)
        self.enabled: dict[str, Remediation] = {}
        self.asked = 0
        scheduler = SlurmScheduler(
            Commands(Slurm(node_name="n1"), self.slurm), Limit(), clock=lambda: 0.0
        )
        host = Host.recorded(self.root)
        machine = Machine(host, ["chronyd.service"])
        remedies = Remedies(self.enabled, machine, host, Programs(), scheduler)
        self.helper = Helper(Authority.NODE, scheduler, self.journal, remedies)

    def name(self, name: str, *steps: Step | list[str], **more: Any) -> None:
        """Have the site name a remediation."""
        taken = [step if isinstance(step, Step) else Step(run=step) for step in steps]
        values = {
            "disrupts": Disrupts.NODE,
            "limit": "3 per 24h",
            "proven": Proven.REAL,
            "summary": "Repair it",
        }
        self.enabled[name] = Remediation(remediation=name, steps=taken, **(values | more))

    def ask(self, name: str, subject: dict[str, str] | None = None, **more: Any) -> ActionResult:
        self.asked += 1
        action = Action(
            id=f"k3f9.1.{self.asked}",
            operation=Operation.REMEDIATE,
            mark=MARK,
            remediation=name,
            subject=GPU if subject is None else subject,
        )
        action = msgspec.structs.replace(action, **more)
        return self.helper.answer(msgspec.json.encode(action), 998)

    def touch(self, name: str) -> list[str]:
        return ["/usr/bin/touch", str(self.made / name)]

    def there(self) -> list[str]:
        return sorted(file.name for file in self.made.iterdir())


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def test_every_step_is_taken_and_finally_comes_last(room: Room) -> None:
    room.name("mend", room.touch("a"), room.touch("b"), last=[Step(run=room.touch("z"))])
    answer = room.ask("mend")
    assert (answer.result, answer.message) == (Result.DONE, "mend is done")
    assert room.there() == ["a", "b", "z"]


def test_after_a_failed_step_no_other_is_taken_but_finally_is(room: Room) -> None:
    fails = ["/usr/bin/ls", "/nowhere-at-all"]
    room.name("mend", room.touch("a"), fails, room.touch("b"), last=[Step(run=room.touch("z"))])
    answer = room.ask("mend")
    assert answer.result is Result.FAILED
    assert "step 2 (/usr/bin/ls /nowhere-at-all): " in answer.message
    assert "No such file" in answer.message
    assert room.there() == ["a", "z"]


def test_a_step_that_may_fail_stops_nothing(room: Room) -> None:
    room.name("mend", Step(run=["/usr/bin/false"], may_fail=True), room.touch("b"))
    assert room.ask("mend").result is Result.DONE
    assert room.there() == ["b"]


def test_a_step_that_outlives_its_time_is_killed_and_nobody_knows_how_far_it_came(
    room: Room,
) -> None:
    room.name(
        "mend",
        Step(run=["/usr/bin/sleep", "600"], timeout="200ms"),
        last=[Step(run=room.touch("z"))],
    )
    answer = room.ask("mend")
    assert answer.result is Result.TOO_LONG
    assert "within 0.2 s" in answer.message
    assert room.there() == ["z"]


def test_what_the_site_has_not_named_is_not_carried_out(room: Room) -> None:
    room.name("mend", room.touch("a"))
    for name in ("reboot-node", "mend ", "../mend", "", "x" * 200):
        assert room.ask(name).result is Result.REFUSED
    assert room.there() == []


def test_what_was_tried_on_stand_ins_needs_the_sites_word(room: Room) -> None:
    room.name("mend", room.touch("a"), proven=Proven.STAND_IN)
    answer = room.ask("mend")
    assert answer.result is Result.REFUSED
    assert "trust: unproven" in answer.message
    room.name("mend", room.touch("a"), proven=Proven.STAND_IN, trust=Trust.UNPROVEN)
    assert room.ask("mend").result is Result.DONE


def test_no_action_is_started_twice(room: Room) -> None:
    room.name("mend", room.touch("a"))
    room.ask("mend", id="k3f9.1.77")
    (room.made / "a").unlink()
    answer = room.ask("mend", id="k3f9.1.77")
    assert answer.result is Result.REFUSED
    assert "already started" in answer.message
    assert room.there() == []


def test_a_loop_of_power_cycles_ends_at_the_limit_of_the_helpers_own_books(room: Room) -> None:
    room.name("power-cycle", room.touch("a"), limit="1 per 7d")
    assert room.ask("power-cycle").result is Result.DONE
    for _ in range(5):
        room.now += DAY / 2
        answer = room.ask("power-cycle")
        assert answer.result is Result.REFUSED
        assert "its limit of 1 per 7d" in answer.message
    room.now += 5 * DAY
    assert room.ask("power-cycle").result is Result.DONE


def test_a_clock_that_is_set_back_lifts_no_limit(room: Room) -> None:
    room.name("mend", room.touch("a"), limit="1 per 24h")
    room.ask("mend")
    room.now -= 30 * DAY
    assert room.ask("mend").result is Result.REFUSED


def test_the_fifth_of_a_week_is_refused_whatever_its_name(room: Room) -> None:
    for number in range(5):
        room.name(f"mend-{number}", room.touch(str(number)))
    results = [room.ask(f"mend-{number}").result for number in range(5)]
    assert results == [Result.DONE] * 4 + [Result.REFUSED]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda node: setattr(node, "state", "IDLE"), "the node is not drained"),
        (lambda node: node.drain("alice: disk swap", by="alice"), "the drain is not ours"),
        (lambda node: node.drain("hd:zzzz.1 other"), "the drain is not ours"),
        (lambda node: setattr(node, "state", "MIXED+DRAIN"), "jobs still run here"),
    ],
)
def test_the_scheduler_is_read_again_before_anything_is_disrupted(
    room: Room, change: Callable[[PaperNode], None], reason: str
) -> None:
    room.name("mend", room.touch("a"))
    change(room.node)
    answer = room.ask("mend")
    assert answer.result is Result.REFUSED
    assert reason in answer.message
    assert room.there() == []


def test_a_frozen_controller_lets_nothing_be_disrupted(room: Room) -> None:
    room.name("mend", room.touch("a"))
    room.slurm.failures["show"] = None
    assert room.ask("mend").result is Result.NO_ANSWER
    assert room.there() == []


def test_what_disrupts_nothing_needs_no_drain(room: Room) -> None:
    room.name("mend", room.touch("a"), disrupts=Disrupts.NOTHING)
    room.node.state = "ALLOCATED"
    assert room.ask("mend").result is Result.DONE


@pytest.mark.parametrize(
    ("argument", "subject", "filled"),
    [
        ("{pci_address}", GPU, "0000:3b:00"),
        ("--id={pci_address}", GPU, "--id=0000:3b:00"),
        ("{device}", {"device": "mlx5_0"}, "mlx5_0"),
        ("{mount_point}", {"mount_point": "/scratch"}, "/scratch"),
        ("{unit}", {"unit": "chronyd.service"}, "chronyd.service"),
    ],
)
def test_a_thing_that_is_here_becomes_an_argument(
    room: Room, argument: str, subject: dict[str, str], filled: str
) -> None:
    room.name("mend", ["/usr/bin/touch", f"{room.made}/{argument.replace('{', 'x{')}"])
    machine = Machine(Host.recorded(room.root), ["chronyd.service"])
    assert machine.fill(argument, subject) == filled


@pytest.mark.parametrize(
    ("argument", "subject"),
    [
        ("{pci_address}", {"pci_address": "0000:ff:00"}),  # not on this machine
        ("{pci_address}", {"pci_address": "0000:5e:00"}),  # no GPU
        ("{pci_address}", {"pci_address": "../../../etc"}),
        ("{pci_address}", {"pci_address": "0000:3b:00 --help"}),
        ("{pci_address}", {}),
        ("{device}", {"device": "--Ca"}),
        ("{device}", {"device": "mlx5_9"}),
        ("{device}", {"device": "../mlx5_0"}),
        ("{port}", {"port": "1;reboot"}),
        ("{mount_point}", {"mount_point": "/home"}),  # not in fstab
        ("{mount_point}", {"mount_point": "/scratch/../etc"}),
        ("{unit}", {"unit": "sshd.service"}),  # not in the profile
        ("{unit}", {"unit": "--no-block"}),
        ("{anything}", {"anything": "x"}),
    ],
)
def test_nothing_that_is_not_here_ever_becomes_an_argument(
    room: Room, argument: str, subject: dict[str, str]
) -> None:
    room.name("mend", ["/usr/bin/touch", f"{room.made}/a", argument])
    answer = room.ask("mend", subject)
    assert answer.result is Result.REFUSED
    assert "this machine has no" in answer.message or "the request names no" in answer.message
    assert room.there() == []


def test_a_program_that_others_can_write_is_not_run(room: Room) -> None:
    program = room.made / "program"
    program.write_text("#!/bin/sh\ntouch ran\n")
    program.chmod(0o777)
    room.name("mend", [str(program)])
    answer = room.ask("mend")
    assert answer.result is Result.FAILED
    assert "may be written by others" in answer.message


def test_a_program_that_is_not_installed_is_named(room: Room) -> None:
    room.name("mend", ["no-such-tool-here"])
    assert "no-such-tool-here is not installed" in room.ask("mend").message


def test_a_drain_of_another_node_cannot_even_be_asked_for(room: Room) -> None:
    line = b'{"id":"k3f9.1.9","operation":"remediate","remediation":"mend","node":"n2"}'
    answer = room.helper.answer(line, 998)
    assert answer.result is Result.REFUSED
    assert not room.slurm.updates
