"""Does each shipped check on memory, cpus, network and clock fire when it must, else stay quiet?"""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from hpcdoctor.checks.compiled import compile_check
from hpcdoctor.checks.judge import NOT_YET, Judge
from hpcdoctor.definitions.loader import load_definitions
from hpcdoctor.model.instant import Instant
from hpcdoctor.model.reading import Look, NeedsSecondReading, Reading, ReadStatus
from hpcdoctor.probes import registry
from hpcdoctor.probes.host import Host
from tests.conftest import NODES, recorded

PROBES = {
    "clock",
    "cpu_binding",
    "cpu_frequency",
    "device_events",
    "edac",
    "ethernet",
    "infiniband",
    "memory",
    "pressure",
}
NODE = "two-socket-infiniband"
MINUTE = 60.0
HOUR = 3600.0
DAY = 24 * HOUR

Found = dict[str, str]  # finding: verdict
NewJudge = Callable[..., Judge]


@pytest.fixture(scope="module")
def new_judge() -> NewJudge:
    definitions = load_definitions()
    catalogs = {name: defined.value for name, defined in definitions.catalogs.items()}
    checks = {
        name: compile_check(defined, registry.find(defined.value.probe), catalogs)
        for name, defined in definitions.checks.items()
        if defined.value.probe in PROBES
    }
    return lambda profile=None: Judge(checks, profile or {})


def at(seconds: float) -> Instant:
    return Instant("boot", 100_000.0 + seconds, 1e9 + seconds)


def readings_of(probe: str, **changes: Any) -> list[dict[str, Any]]:
    """Return what the probe reads of the recorded node, some fields of each reading changed."""
    readings = registry.find(probe).read(recorded(NODE))
    return [{**msgspec.to_builtins(reading), **changes} for reading in readings]


class Story:
    """A judge that is shown one thing over time."""

    def __init__(self, judge: Judge, probe: str, base: dict[str, Any]) -> None:
        self.judge, self.probe, self.base = judge, probe, base
        self.now = 0.0

    def see(self, after: float = 0.0, every: float | None = None, **changes: Any) -> Found:
        """Let time pass, looking meanwhile, then look with these fields changed for good."""
        self.base = {**self.base, **changes}
        step = every or max(after, 1.0)
        end = self.now + after
        while self.now + step < end:
            self.now += step
            self._look()
        self.now = end
        return self._look()

    def _look(self) -> Found:
        self.judge.judge(Look(self.probe, ReadStatus.READ, at(self.now), None, [self.base]))
        return verdicts(self.judge)


def verdicts(judge: Judge) -> Found:
    return {key.partition("[")[0]: f.verdict.value for key, f in judge.findings.items()}


def story(new_judge: NewJudge, probe: str, number: int = 0, profile: Any = None) -> Story:
    return Story(new_judge(profile), probe, readings_of(probe)[number])


# --- memory


def test_corrected_errors_warn_at_ten_a_day(new_judge: NewJudge) -> None:
    dimm = story(new_judge, "edac")
    assert dimm.see(corrected_errors_total=500) == {}  # old errors say nothing of today
    assert dimm.see(30, corrected_errors_total=509) == {}
    assert dimm.see(30, corrected_errors_total=510) == {"dimm-corrected-errors": "warning"}
    assert dimm.see(30, corrected_errors_total=1500) == {"dimm-corrected-errors": "warning"}
    assert dimm.see(30, corrected_errors_total=1501) == {"dimm-corrected-errors": "critical"}


def test_corrected_errors_spread_over_days_stay_quiet_but_on_three_of_seven(
    new_judge: NewJudge,
) -> None:
    dimm = story(new_judge, "edac")
    for day in range(6):
        assert dimm.see(4 * DAY, every=HOUR, corrected_errors_total=9 * day) == {}
    dimm = story(new_judge, "edac")
    for day in range(3):
        assert dimm.see(1.1 * DAY, every=HOUR, corrected_errors_total=day) == {}
    found = dimm.see(1.1 * DAY, every=HOUR, corrected_errors_total=3)
    assert found == {"dimm-corrected-errors": "warning"}


def test_one_uncorrected_error_is_critical_at_the_first_look(new_judge: NewJudge) -> None:
    dimm = story(new_judge, "edac")
    assert dimm.see(uncorrected_errors_total=1) == {"dimm-uncorrected-errors": "critical"}
    (finding,) = dimm.judge.findings.values()
    assert finding.object == "CPU0_DIMM_A1"


def test_a_dimm_whose_driver_counts_no_uncorrected_errors_is_not_unknown(
    new_judge: NewJudge,
) -> None:
    judge = new_judge()
    judge.judge(Look("edac", ReadStatus.READ, at(0), None, readings_of("edac")))
    assert verdicts(judge) == {"dimm-uncorrected-errors": "critical"}
    assert [finding.object for finding in judge.findings.values()] == ["mc1"]


def test_pages_taken_out_of_use_are_a_warning(new_judge: NewJudge) -> None:
    memory = story(new_judge, "memory")
    assert memory.see(corrupted_bytes=0) == {}
    assert memory.see(60, corrupted_bytes=4096) == {"memory-corrupted": "warning"}


def test_memory_is_held_against_the_profile_and_nothing_else(new_judge: NewJudge) -> None:
    profile = {"memory": {"total_bytes": 100 * 2**30}}
    memory = story(new_judge, "memory", profile=profile)
    memory.base["corrupted_bytes"] = None
    assert memory.see(total_bytes=96 * 2**30) == {}
    assert memory.see(600, total_bytes=94 * 2**30) == {"memory-size": "critical"}
    free = story(new_judge, "memory")
    assert free.see(total_bytes=1, corrupted_bytes=0) == {}


def test_stalls_for_memory_warn_once_they_last(new_judge: NewJudge) -> None:
    pressure = story(new_judge, "pressure")
    assert pressure.see(memory_full_ratio=0.06) == {}
    assert pressure.see(60, every=30) == {"memory-pressure": "warning"}
    assert story(new_judge, "pressure").see(memory_full_ratio=0.05) == {}


# --- cpus


def test_throttling_again_and_again_is_a_warning(new_judge: NewJudge) -> None:
    package = story(new_judge, "cpu_frequency")
    package.see()
    for poll in range(1, 3):
        assert package.see(30, throttled=True, throttled_looks_total=poll) == {}
    found = package.see(30, throttled_looks_total=3)
    assert found == {"cpu-thermal-throttling": "warning"}
    for poll in range(4, 13):
        found = package.see(30, throttled_looks_total=poll)
    assert found == {"cpu-thermal-throttling": "critical"}


def test_one_throttling_is_no_finding(new_judge: NewJudge) -> None:
    package = story(new_judge, "cpu_frequency")
    package.see()
    assert package.see(30, core_throttle_total=13, throttled=True, throttled_looks_total=1) == {}
    assert package.see(HOUR, every=30, throttled=False) == {}


def test_a_power_cap_is_no_throttling(new_judge: NewJudge) -> None:
    package = story(new_judge, "cpu_frequency")
    for poll in range(40):
        assert package.see(30, package_power_limit_total=poll) == {}


def test_an_old_kernel_without_times_is_judged_by_its_counts(new_judge: NewJudge) -> None:
    package = story(new_judge, "cpu_frequency")
    package.base |= {"package_throttle_seconds_total": None, "core_throttle_seconds_total": None}
    package.base |= {"package_throttle_total": None, "throttled_seconds_total": None}
    package.see()
    package.see(30)
    (outcome,) = [o for o in package.judge.outcomes() if o.check == "cpu-thermal-throttling"]
    assert (outcome.verdict, outcome.reason) == ("ok", "")


def test_a_long_throttling_shows_in_its_time(new_judge: NewJudge) -> None:
    package = story(new_judge, "cpu_frequency")
    found: Found = {}
    for poll in range(20):
        found = package.see(30, throttled_seconds_total=0.5 * poll)
    assert found == {"cpu-thermal-throttling": "warning"}


def test_a_frequency_that_is_held_down_warns_after_half_an_hour(new_judge: NewJudge) -> None:
    package = story(new_judge, "cpu_frequency", number=1)
    assert package.see(25 * MINUTE, every=5 * MINUTE) == {}
    assert package.see(20 * MINUTE, every=5 * MINUTE) == {"cpu-frequency-capped": "warning"}


def test_the_governor_is_held_against_the_profile(new_judge: NewJudge) -> None:
    other = {"cpu": {"governor": "schedutil"}}
    assert story(new_judge, "cpu_frequency", profile=other).see() == {"cpu-governor": "warning"}
    same = {"cpu": {"governor": "performance"}}
    assert story(new_judge, "cpu_frequency", profile=same).see() == {}


def binding(before: Host, after: Host) -> list[Reading]:
    probe = registry.find("cpu_binding")
    with pytest.raises(NeedsSecondReading):
        probe.read(before)
    after.memory = before.memory
    return list(probe.read(after))


def test_stacked_unbound_and_stray_processes_are_named(new_judge: NewJudge) -> None:
    looks = (Host.recorded(NODES / "binding" / look) for look in ("before", "after"))
    readings = [msgspec.to_builtins(reading) for reading in binding(*looks)]
    judge = new_judge()
    for seconds in (0, 60):
        judge.judge(Look("cpu_binding", ReadStatus.READ, at(seconds), None, readings))
    found = sorted(key for key, finding in judge.findings.items())
    assert found == [
        "cpu-binding-stacked[job=2001,pid=32512]",
        "cpu-binding-stacked[job=2001,pid=32513]",
        "cpu-binding-stacked[job=2002,pid=32514]",
        "cpu-binding-stacked[job=2002,pid=32515]",
        "cpu-binding-stray[pid=32516]",
        "cpu-binding-unbound[job=2002,pid=32514]",
        "cpu-binding-unbound[job=2002,pid=32515]",
    ]
    assert {finding.verdict.value for finding in judge.findings.values()} == {"warning"}
    assert {finding.cause.value for finding in judge.findings.values()} == {"job"}


BOUND: dict[str, Any] = {
    "pid": 7,
    "command": "solve",
    "user_id": 1000,
    "scheduler": "slurm",
    "job": "42",
    "step": "0",
    "rank_hint": "task 0",
    "cpus_allowed": "0",
    "cpus": 1,
    "busy_threads": 1,
    "run_ratio": 1.0,
    "wait_ratio": 0.0,
    "migrations_per_second": 0.0,
    "node_moves": 0,
    "unbound": False,
    "stacked": False,
    "stray": False,
    "outside_cpuset": False,
    "window_seconds": 60.0,
    "threads_not_looked_at": 0,
    "processes_not_told": 0,
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, set()),
        ({"stacked": True, "wait_ratio": 0.2}, set()),
        ({"stacked": True, "wait_ratio": 0.21}, {"cpu-binding-stacked"}),
        ({"wait_ratio": 0.9}, set()),
        ({"migrations_per_second": 10.0, "node_moves": 1}, set()),
        ({"migrations_per_second": 10.1}, {"cpu-binding-migrating"}),
        ({"node_moves": 2}, {"cpu-binding-migrating"}),
        ({"outside_cpuset": True}, {"cpu-binding-outside-cpuset"}),
        ({"stray": True, "job": "", "stacked": True, "wait_ratio": 0.9}, {"cpu-binding-stray"}),
    ],
)
def test_binding_warns_just_above_each_threshold(
    new_judge: NewJudge, changes: dict[str, Any], expected: set[str]
) -> None:
    process = Story(new_judge(), "cpu_binding", {**BOUND, **changes})
    assert process.see() == {}  # once may be the moment a job starts
    assert set(process.see(150, every=50)) == expected


# --- InfiniBand; number 2 is mlx5_0/1, active, and 1 is a port without a cable


def test_an_unused_port_is_no_fault(new_judge: NewJudge) -> None:
    port = story(new_judge, "infiniband", number=1)
    assert port.base["state"] == "down"
    assert port.see(HOUR, every=10) == {}


def test_a_port_that_was_active_and_is_down_is_a_warning(new_judge: NewJudge) -> None:
    port = story(new_judge, "infiniband", number=2)
    assert port.see(60, every=10) == {}
    assert port.see(30, every=10, state="down", physical_state="polling") == {}
    assert port.see(60, every=10) == {"infiniband-link": "warning"}
    (finding,) = port.judge.findings.values()
    assert (finding.object, finding.label) == ("mlx5_0/1", "link down")


def test_a_port_found_down_that_once_was_up_is_a_warning(new_judge: NewJudge) -> None:
    port = story(new_judge, "infiniband", number=2)
    assert port.see(90, every=10, state="down", link_downed_total=1) == {
        "infiniband-link": "warning"
    }


def test_a_port_of_the_profile_is_critical_when_found_down(new_judge: NewJudge) -> None:
    profile = {"infiniband": {"ports": ["mlx4_0/2"]}}
    port = story(new_judge, "infiniband", number=1, profile=profile)
    assert port.see(90, every=10) == {"infiniband-link": "warning"}
    assert port.see(160, every=10) == {"infiniband-link": "critical"}


def test_a_port_of_the_profile_in_ethernet_mode_is_critical(new_judge: NewJudge) -> None:
    profile = {"infiniband": {"ports": ["mlx5_0/1"]}}
    port = story(new_judge, "infiniband", number=2, profile=profile)
    assert port.see(90, every=10, link_layer="Ethernet") == {"infiniband-link-layer": "critical"}


def test_a_missing_adapter_is_critical_where_the_profile_has_one(new_judge: NewJudge) -> None:
    absent = Look("infiniband", ReadStatus.ABSENT, at(0), None, [], "no InfiniBand device")
    judge = new_judge({"infiniband": {"ports": ["mlx5_0/1"]}})
    judge.judge(absent)
    assert verdicts(judge) == {"infiniband-link": "critical"}
    judge = new_judge()
    judge.judge(absent)
    assert verdicts(judge) == {}


def test_three_flaps_in_an_hour_are_a_warning(new_judge: NewJudge) -> None:
    port = story(new_judge, "infiniband", number=2)
    assert port.see(link_losses_total=100) == {}
    assert port.see(60, link_losses_total=101) == {}
    assert port.see(60, link_losses_total=102) == {"infiniband-link-flaps": "warning"}
    assert port.see(60, link_losses_total=103) == {"infiniband-link-flaps": "warning"}


def test_flaps_are_counted_over_a_day(new_judge: NewJudge) -> None:
    port = story(new_judge, "infiniband", number=2)
    expected: list[Found] = [{}, {}] + 3 * [{"infiniband-link-flaps": "warning"}]
    for flaps, found in enumerate(expected):
        assert port.see(3 * HOUR, every=300, link_losses_total=flaps) == found
    assert port.see(3 * HOUR, every=300, link_losses_total=5) == {
        "infiniband-link-flaps": "critical"
    }


def test_flaps_while_the_node_starts_are_training(new_judge: NewJudge) -> None:
    judge = new_judge()
    base = readings_of("infiniband")[2]
    for seconds, downs in ((60, 0), (120, 9)):
        now = Instant("boot", float(seconds), 1e9 + seconds)
        reading = {**base, "link_losses_total": downs}
        judge.judge(Look("infiniband", ReadStatus.READ, now, None, [reading]))
    assert verdicts(judge) == {}


def test_a_saturated_counter_is_said_and_not_unknown(new_judge: NewJudge) -> None:
    port = story(new_judge, "infiniband", number=3)
    port.base["board_rate_gigabits_per_second"] = 200.0
    assert port.base["link_downed_total"] == 255
    port.see()
    assert port.see(HOUR, every=60) == {"infiniband-saturated": "warning"}
    flaps = next(o for o in port.judge.outcomes() if o.check == "infiniband-link-flaps")
    assert flaps.verdict == "ok"


def test_a_buffer_counter_at_its_maximum_since_long_ago_is_quiet(new_judge: NewJudge) -> None:
    port = story(new_judge, "infiniband", number=2)
    assert port.base["excessive_buffer_overruns_total"] == 15
    assert port.see(HOUR, every=60) == {}


@pytest.mark.parametrize(
    ("field", "quiet", "loud"),
    [
        ("link_error_recovery_total", 0, 1),
        ("receive_errors_total", 60, 61),
        ("local_link_integrity_errors_total", 0, 1),
        ("symbol_errors_total", 0, 1),  # at 400 Gb/s all are to be corrected
    ],
)
def test_link_errors_warn_just_above_each_threshold(
    new_judge: NewJudge, field: str, quiet: int, loud: int
) -> None:
    port = story(new_judge, "infiniband", number=2)
    port.see()
    assert port.see(60, **{field: quiet}) == {}
    assert port.see(60, **{field: loud}) == {"infiniband-link-errors": "warning"}


def test_a_lost_lane_is_seen_against_the_board_and_the_profile(new_judge: NewJudge) -> None:
    port = story(new_judge, "infiniband", number=3)
    port.base["link_downed_total"] = 0
    assert port.see(6 * MINUTE, every=60) == {"infiniband-rate": "warning"}
    profile = {"infiniband": {"rate_gigabits_per_second": 400}}
    port = story(new_judge, "infiniband", number=3, profile=profile)
    port.base["link_downed_total"] = 0
    assert port.see(6 * MINUTE, every=60) == {"infiniband-rate": "critical"}


def test_a_roce_port_without_counters_is_not_unknown(new_judge: NewJudge) -> None:
    port = story(new_judge, "infiniband", number=4)
    assert port.base["link_layer"] == "Ethernet"
    port.see(HOUR, every=60)
    looked_at = [o for o in port.judge.outcomes() if o.reason != NOT_YET]
    assert {o.verdict for o in looked_at} <= {None, "ok"}


# --- Ethernet; 0 is bond0, 1 eno1, 2 eno2 (a slave that is down), 3 eno3 (unused)


def test_an_unused_ethernet_port_is_no_fault(new_judge: NewJudge) -> None:
    assert story(new_judge, "ethernet", number=3).see(HOUR, every=60) == {}
    never_cabled = story(new_judge, "ethernet", number=3)
    assert never_cabled.see(HOUR, every=60, wanted=True, carrier=False) == {}


def test_a_bond_without_its_last_slave_is_critical_and_one_slave_a_warning(
    new_judge: NewJudge,
) -> None:
    bond = story(new_judge, "ethernet", number=0)
    assert bond.see(90, every=10) == {}
    assert bond.see(90, every=10, carrier=False) == {"ethernet-bond": "critical"}
    slave = story(new_judge, "ethernet", number=2)
    assert slave.see(90, every=10) == {"ethernet-link": "warning"}


def test_a_port_that_lost_its_link_is_a_warning_and_critical_by_profile(
    new_judge: NewJudge,
) -> None:
    port = story(new_judge, "ethernet", number=1)
    port.base["slave_state"] = None
    assert port.see(60, every=10) == {}
    assert port.see(90, every=10, carrier=False) == {"ethernet-link": "warning"}
    profile = {"ethernet": {"interfaces": ["eno1"]}}
    port = story(new_judge, "ethernet", number=1, profile=profile)
    assert port.see(90, every=10, carrier=False) == {"ethernet-link": "critical"}


def test_ethernet_flaps_and_slower_links_warn(new_judge: NewJudge) -> None:
    port = story(new_judge, "ethernet", number=1)
    port.see()
    assert port.see(60, link_changes_total=1) == {}
    assert port.see(60, link_changes_total=2) == {"ethernet-link-flaps": "warning"}
    port = story(new_judge, "ethernet", number=1)
    port.see()
    assert port.see(10 * MINUTE, every=60, speed_gigabits_per_second=1.0) == {
        "ethernet-speed": "warning"
    }


def test_damaged_packets_are_held_against_all_packets(new_judge: NewJudge) -> None:
    port = story(new_judge, "ethernet", number=1)
    port.see(receive_packets_total=0, receive_errors_total=0)
    assert port.see(60, receive_packets_total=10_000_000, receive_errors_total=100) == {}
    assert port.see(60, receive_packets_total=10_000_100, receive_errors_total=101) == {
        "ethernet-errors": "warning"
    }
    idle = story(new_judge, "ethernet", number=1)
    idle.see(receive_packets_total=0, receive_errors_total=0)
    assert idle.see(60, receive_packets_total=10, receive_errors_total=10) == {}


# --- clock and devices


def test_a_clock_out_of_step_warns_after_a_quarter_of_an_hour(new_judge: NewJudge) -> None:
    clock = story(new_judge, "clock")
    clock.base |= {"source": "tsc", "synchronised": False}
    assert clock.see(14 * MINUTE, every=60) == {}
    assert clock.see(3 * MINUTE, every=60) == {"clock-unsynchronised": "warning"}
    assert clock.see(MINUTE, synchronised=True) == {}


def test_a_slow_clock_source_is_a_warning(new_judge: NewJudge) -> None:
    clock = story(new_judge, "clock")
    assert clock.see() == {"clock-source": "warning"}
    assert clock.see(600, source="arch_sys_counter") == {}


def test_a_device_that_goes_is_a_warning_and_one_that_comes_is_not(new_judge: NewJudge) -> None:
    event = {
        "action": "add",
        "subsystem": "infiniband",
        "device": "mlx5_0",
        "pci_address": "0000:17:00.0",
        "sequence": 1,
    }
    device = Story(new_judge(), "device_events", event)
    assert device.see() == {}
    assert device.see(action="remove") == {"device-removed": "warning"}


def test_the_recorded_node_has_the_faults_that_were_written_into_it(new_judge: NewJudge) -> None:
    judge = new_judge()
    for probe in sorted(PROBES - {"device_events", "cpu_binding"}):
        for seconds in (0, 30 * MINUTE, 60 * MINUTE):
            look = Look(probe, ReadStatus.READ, at(seconds), None, readings_of(probe))
            judge.judge(look)
    assert {key: f.verdict.value for key, f in judge.findings.items()} == {
        "clock-source": "warning",
        "cpu-frequency-capped[package=1]": "warning",
        "dimm-uncorrected-errors[dimm=mc1]": "critical",
        "ethernet-link[interface=eno2]": "warning",
        "infiniband-rate[device=mlx5_1,port=1]": "warning",
        "infiniband-saturated[device=mlx5_1,port=1]": "warning",
        "memory-corrupted": "warning",
        "memory-pressure": "warning",
    }
