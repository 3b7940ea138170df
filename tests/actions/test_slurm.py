"""Does the Slurm adapter touch only what is ours, and only within the limit?"""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from hpcdoctor.actions.programs import Finished
from hpcdoctor.actions.schedulers import SchedulerUnavailable
from hpcdoctor.actions.schedulers.slurm import SlurmScheduler
from hpcdoctor.actions.slurm_commands import Commands
from hpcdoctor.definitions.settings import Limit, Slurm
from hpcdoctor.model.action import Result, SchedulerView
from tests.doubles.paper_slurm import PaperNode, PaperSlurm

MARK = "hd:k3f9.1"
REASON = "hd:k3f9.1 GPU3 Xid79 off bus; rule gpu-lost"
NOW = "2026-11-21T02:00:00"


def cluster(count: int = 60) -> PaperSlurm:
    return PaperSlurm({f"n{number}": PaperNode() for number in range(1, count + 1)})


def scheduler(
    slurm: PaperSlurm,
    node: str = "n1",
    *,
    nodes: int = 1,
    now: str = NOW,
    pauses: list[float] | None = None,
) -> SlurmScheduler:
    waited = pauses if pauses is not None else []
    return SlurmScheduler(
        Commands(Slurm(node_name=node), slurm),
        Limit(nodes=nodes),
        pause=waited.append,
        clock=lambda: datetime.fromisoformat(now).replace(tzinfo=UTC).timestamp(),
    )


# Draining


def test_a_drain_is_counted_read_again_written_read_back_and_counted_again() -> None:
    slurm = cluster(4)
    outcome = scheduler(slurm).drain(REASON, MARK)
    assert outcome.result is Result.DONE
    assert outcome.view is not None
    assert (outcome.view.reason, outcome.view.reason_by, outcome.view.reason_at) == (
        REASON,
        "root",
        NOW,
    )
    called = [
        next(word for word in argv if word in ("show", "update", "sinfo"))
        for argv in slurm.commands
    ]
    assert called == ["show", "sinfo", "show", "update", "show", "sinfo"]


def test_the_same_drain_again_changes_nothing() -> None:
    slurm = cluster()
    scheduler(slurm).drain(REASON, MARK)
    assert scheduler(slurm).drain(REASON, MARK).result is Result.DONE
    assert len(slurm.updates) == 1


def test_a_node_in_a_maintenance_reservation_is_left_to_the_people_who_work_on_it() -> None:
    slurm = cluster()
    slurm.nodes["n1"] = PaperNode("IDLE+MAINTENANCE+RESERVED")
    outcome = scheduler(slurm).drain(REASON, MARK)
    assert outcome.result is Result.FOREIGN
    assert "a maintenance reservation holds the node" in outcome.message
    assert slurm.updates == []


@pytest.mark.parametrize(
    "state", ["IDLE+DRAIN", "MIXED+FAIL", "DOWN", "DOWN+DRAIN", "UNKNOWN+DRAIN"]
)
def test_a_persons_drain_is_left_alone(state: str) -> None:
    slurm = cluster()
    slurm.nodes["n1"] = PaperNode(state, "disk swap", by="ann")
    outcome = scheduler(slurm).drain(REASON, MARK)
    assert outcome.result is Result.FOREIGN
    assert "ann" in outcome.message
    assert slurm.updates == []


@pytest.mark.parametrize("reason", ["Prolog error", "Kill task failed"])
def test_a_drain_by_slurm_itself_is_not_ours_either(reason: str) -> None:
    slurm = cluster()
    slurm.nodes["n1"].drain(reason, by="slurm")
    assert scheduler(slurm).drain(REASON, MARK).result is Result.FOREIGN
    assert slurm.updates == []


@pytest.mark.parametrize("reason", ["Not responding", ""])
def test_a_node_that_slurm_itself_took_down_is_drained(reason: str) -> None:
    slurm = cluster()
    slurm.nodes["n1"] = PaperNode("DOWN+NOT_RESPONDING", reason, by="slurm")
    outcome = scheduler(slurm).drain(REASON, MARK)
    assert outcome.result is Result.DONE
    assert slurm.nodes["n1"].reason == REASON


@pytest.mark.parametrize("state", ["IDLE+DRAIN", "DOWN"])
def test_another_mark_of_ours_is_reported_for_adoption(state: str) -> None:
    slurm = cluster()
    slurm.nodes["n1"] = PaperNode(state, "hd:zzzz.3 IB0 flaps; rule r")
    outcome = scheduler(slurm).drain(REASON, MARK)
    assert outcome.result is Result.NOT_OURS
    assert outcome.view is not None
    assert outcome.view.reason.startswith("hd:zzzz.3 ")
    assert slurm.updates == []


def test_a_drain_that_a_reboot_has_thrown_away_is_set_again() -> None:
    slurm = cluster()
    slurm.nodes["n1"] = PaperNode("DOWN", f"{REASON} : reboot timed out", by="slurm")
    assert scheduler(slurm).drain(REASON, MARK).result is Result.DONE
    assert "DRAIN" in slurm.nodes["n1"].state


def test_a_person_who_drains_between_our_write_and_our_look_wins() -> None:
    slurm = cluster()

    def ann(argv: Sequence[str]) -> None:
        if "show" in argv and slurm.updates:
            slurm.nodes["n1"].drain("mine now", by="ann")

    slurm.before = ann
    assert scheduler(slurm).drain(REASON, MARK).result is Result.FOREIGN
    assert slurm.nodes["n1"].reason == "mine now"


def test_a_drain_that_does_not_stand_when_read_back_is_unknown() -> None:
    slurm = cluster()
    slurm.failures["update"] = Finished(1, "", "slurm_update error: Socket timed out\n")
    with pytest.raises(SchedulerUnavailable, match="Socket timed out"):
        scheduler(slurm).drain(REASON, MARK)


def test_an_error_of_a_drain_that_stands_all_the_same_is_no_error() -> None:
    slurm = cluster()

    def late(argv: Sequence[str]) -> None:
        if "update" in argv:
            slurm.nodes["n1"].drain(REASON)

    slurm.before = late
    slurm.failures["update"] = Finished(1, "", "slurm_update error: Zero Bytes\n")
    assert scheduler(slurm).drain(REASON, MARK).result is Result.DONE


def test_a_reason_out_of_form_asks_nothing_of_slurm() -> None:
    slurm = cluster()
    assert scheduler(slurm).drain('hd:k3f9.1 "x"', MARK).result is Result.REFUSED
    assert slurm.commands == []


ALICES = f"{REASON}; alice: do not resume, memtest"


@pytest.mark.parametrize("reason", [ALICES, f"{MARK} alice looks; rule gpu-lost", MARK])
@pytest.mark.parametrize("state", ["IDLE+DRAIN", "DOWN", "IDLE+DRAIN+MAINTENANCE"])
def test_a_drain_of_ours_that_a_person_has_changed_is_theirs(reason: str, state: str) -> None:
    slurm = cluster()
    slurm.nodes["n1"] = PaperNode(state, reason)
    outcome = scheduler(slurm).drain(REASON, MARK)
    assert outcome.result is Result.FOREIGN
    assert "it was left as it is" in outcome.message
    assert slurm.updates == []


def test_a_changed_drain_under_another_mark_is_not_for_adoption() -> None:
    slurm = cluster()
    slurm.nodes["n1"].drain(ALICES)
    assert scheduler(slurm).drain("hd:bbbb.1 x; rule y", "hd:bbbb.1").result is Result.FOREIGN


def test_an_earlier_reason_of_ours_is_found_and_counts() -> None:
    slurm = cluster()
    slurm.nodes["n1"].drain(f"{MARK} GPU3 row remap; rule gpu-remap")
    other = scheduler(slurm).drain(REASON, MARK)
    assert other.result is Result.FOREIGN, "nobody remembers to have written it"
    done = scheduler(slurm).drain(REASON, MARK, [f"{MARK} GPU3 row remap; rule gpu-remap"])
    assert done.result is Result.DONE
    assert slurm.updates == []


def test_over_the_limit_nobody_elses_words_are_resumed() -> None:
    slurm = cluster()
    slurm.nodes["n2"].drain("hd:aaaa.1 x", "2026-11-21T01:00:00")
    slurm.nodes["n1"].drain(ALICES, NOW)
    one = scheduler(slurm)
    assert one.drain(REASON, MARK).result is Result.FOREIGN
    assert one.look(MARK, [REASON]).result is Result.DONE
    assert one.look(MARK).result is Result.DONE
    assert slurm.updates == []


def test_a_changed_reason_is_not_resumed_though_it_is_of_the_same_second_and_user() -> None:
    slurm = cluster()
    slurm.nodes["n1"].drain(ALICES, NOW)
    for reasons in ([], [REASON]):
        outcome = scheduler(slurm).resume(MARK, "root", NOW, reasons)
        assert outcome.result is Result.NOT_OURS
    assert slurm.updates == []


# The limit


def test_over_the_limit_nothing_is_changed_and_the_sentence_counts() -> None:
    slurm = cluster()
    for name in ("n7", "n8", "n9"):
        slurm.nodes[name].drain("hd:aaaa.1 x")
    outcome = scheduler(slurm).drain(REASON, MARK)
    assert outcome.result is Result.OVER_LIMIT
    assert outcome.message == "3 of 60 nodes of partition main are out by hpcdoctor, the limit is 1"
    assert slurm.updates == []


def test_other_peoples_drains_do_not_count() -> None:
    slurm = cluster()
    slurm.nodes["n7"].drain("disk swap")
    assert scheduler(slurm).drain(REASON, MARK).result is Result.DONE


def test_each_partition_of_the_node_has_its_own_limit() -> None:
    slurm = cluster()
    slurm.nodes["n1"].partitions = "main,gpu"
    slurm.nodes["n7"] = PaperNode("IDLE+DRAIN", "hd:aaaa.1 x", partitions="gpu")
    outcome = scheduler(slurm).drain(REASON, MARK)
    assert outcome.result is Result.OVER_LIMIT
    assert "1 of 2 nodes of partition gpu" in outcome.message


def test_a_node_of_no_partition_gets_no_jobs_and_has_no_limit() -> None:
    slurm = cluster()
    slurm.nodes["n1"].partitions = ""
    assert scheduler(slurm).drain(REASON, MARK).result is Result.DONE


def test_no_answer_to_the_count_means_wait() -> None:
    slurm = cluster()
    slurm.failures["sinfo"] = None
    with pytest.raises(SchedulerUnavailable):
        scheduler(slurm).drain(REASON, MARK)
    assert slurm.updates == []


def test_a_count_that_leaves_our_partition_out_is_no_count() -> None:
    slurm = cluster()
    slurm.failures["sinfo"] = Finished(0, "n2|other|idle|Unknown|none\n", "")
    with pytest.raises(SchedulerUnavailable, match="cannot be counted"):
        scheduler(slurm).drain(REASON, MARK)


def rival(slurm: PaperSlurm, name: str, at: str) -> None:
    """Let another node drain just after our own drain."""

    def drain(argv: Sequence[str]) -> None:
        if "show" in argv and slurm.updates and not slurm.nodes[name].reason:
            slurm.nodes[name].drain("hd:aaaa.1 x", at)

    slurm.before = drain


def test_the_later_of_two_gives_its_own_back() -> None:
    slurm = cluster()
    rival(slurm, "n2", "2026-11-21T01:59:59")
    outcome = scheduler(slurm).drain(REASON, MARK)
    assert outcome.result is Result.OVER_LIMIT
    assert "given back" in outcome.message
    assert slurm.updates[-1] == "nodename=n1 state=resume"
    assert "DRAIN" in slurm.nodes["n2"].state


def test_the_earlier_of_two_stays_once_its_second_is_over() -> None:
    slurm = cluster(4)
    rival(slurm, "n2", NOW)
    pauses: list[float] = []
    assert scheduler(slurm, pauses=pauses).drain(REASON, MARK).result is Result.DONE
    assert len(pauses) == 1
    assert pauses[0] > 1.0


def test_one_that_comes_before_us_within_the_second_is_seen_after_it() -> None:
    slurm = cluster(4)
    rival(slurm, "n3", NOW)
    waiting = scheduler(slurm, "n2")

    def overtake(_seconds: float) -> None:
        slurm.nodes["n1"].drain("hd:bbbb.1 x", NOW)

    waiting._pause = overtake
    assert waiting.drain(REASON, MARK).result is Result.OVER_LIMIT


def test_a_drain_that_nobody_contests_does_not_wait() -> None:
    pauses: list[float] = []
    scheduler(cluster(4), pauses=pauses).drain(REASON, MARK)
    assert pauses == []


def test_in_a_large_partition_a_moments_pause_lets_the_first_go_first() -> None:
    slurm = cluster(200)
    pauses: list[float] = []
    waiting = scheduler(slurm, "n7", pauses=pauses)

    def first(seconds: float) -> None:
        pauses.append(seconds)
        for name in ("n1", "n2", "n3", "n4"):  # 2 % of 200
            slurm.nodes[name].drain("hd:bbbb.1 x", NOW)

    waiting._pause = first
    outcome = waiting.drain(REASON, MARK)
    assert outcome.result is Result.OVER_LIMIT
    assert slurm.updates == [], "nothing had to be given back"
    assert len(pauses) == 1
    assert 0 < pauses[0] <= 2.0


def test_a_person_who_drains_while_we_count_wins() -> None:
    slurm = cluster(4)

    def ann(argv: Sequence[str]) -> None:
        if "sinfo" in argv:
            slurm.nodes["n1"].drain("mine now", by="ann")

    slurm.before = ann
    assert scheduler(slurm).drain(REASON, MARK).result is Result.FOREIGN
    assert slurm.updates == []


@pytest.mark.parametrize("now", ["2026-11-21T00:00:00", "2026-11-21T04:00:00"])
def test_a_claim_is_young_by_our_own_clock_where_the_controllers_is_off(now: str) -> None:
    slurm = cluster(4)
    one = scheduler(slurm, now=now)
    assert one.drain(REASON, MARK).result is Result.DONE
    slurm.nodes["n2"].drain("hd:aaaa.1 x", "2026-11-21T01:59:59")
    assert one.look(MARK).result is Result.OVER_LIMIT


def test_a_late_drain_is_counted_when_it_is_asked_for_again() -> None:
    slurm = cluster()
    slurm.nodes["n2"].drain("hd:aaaa.1 x", "2026-11-21T00:00:00")
    slurm.nodes["n1"].drain(REASON, "2026-11-21T01:00:00")
    assert scheduler(slurm).drain(REASON, MARK).result is Result.OVER_LIMIT
    assert "DRAIN" not in slurm.nodes["n1"].state


# Looking


def test_a_look_gives_a_young_claim_back_when_somebody_got_before_it() -> None:
    slurm = cluster()
    slurm.nodes["n2"].drain(REASON, NOW)
    slurm.nodes["n1"].drain("hd:aaaa.1 x", NOW)
    outcome = scheduler(slurm, "n2", now="2026-11-21T02:00:03").look(MARK)
    assert outcome.result is Result.OVER_LIMIT
    assert "DRAIN" not in slurm.nodes["n2"].state
    assert outcome.view is not None
    assert not outcome.view.drained


@pytest.mark.parametrize("now", ["2026-11-21T02:01:01", "2026-11-22T02:00:00"])
def test_a_look_never_gives_an_old_claim_back(now: str) -> None:
    slurm = cluster()
    slurm.nodes["n2"].drain(REASON, NOW)
    slurm.nodes["n1"].drain("hd:aaaa.1 x", "2026-11-21T01:00:00")
    assert scheduler(slurm, "n2", now=now).look(MARK).result is Result.DONE
    assert slurm.updates == []


def test_a_look_without_our_mark_only_reads() -> None:
    slurm = cluster()
    slurm.nodes["n1"].drain("disk swap")
    slurm.nodes["n2"].drain("hd:aaaa.1 x", "2026-11-21T01:00:00")
    for mark in ("", MARK):
        outcome = scheduler(slurm).look(mark)
        assert outcome.result is Result.DONE
        assert outcome.view is not None
        assert outcome.view.reason == "disk swap"
    assert not any("sinfo" in argv for argv in slurm.commands)


def test_only_a_look_that_misses_our_drain_asks_how_long_the_controller_has_run() -> None:
    slurm = cluster()
    slurm.started = "2026-11-21T01:59:00"
    missing = scheduler(slurm).look(MARK, [REASON], claimed=True)
    assert missing.view is not None
    assert missing.view.controller_up_seconds == 60.0
    slurm.commands.clear()
    assert scheduler(slurm).look(MARK, [REASON]).view == slurm_view(slurm)
    slurm.nodes["n1"].drain(REASON, "2026-11-21T01:00:00")
    scheduler(slurm).look(MARK, [REASON], claimed=True)
    slurm.nodes["n1"] = PaperNode("UNKNOWN+NOT_RESPONDING")
    scheduler(slurm).look(MARK, [REASON], claimed=True)
    assert not any("config" in argv for argv in slurm.commands)


def slurm_view(slurm: PaperSlurm) -> SchedulerView:
    return scheduler(slurm).read()


def test_a_controller_that_does_not_tell_its_start_is_taken_for_none() -> None:
    slurm = cluster()
    slurm.failures["config"] = Finished(0, "Configuration data as of 2026-11-21T02:00:00\n", "")
    seen = scheduler(slurm).look(MARK, [REASON], claimed=True).view
    assert seen is not None
    assert seen.controller_up_seconds is None


def test_what_is_out_by_us_is_listed_without_the_others() -> None:
    slurm = cluster(4)
    slurm.nodes["n3"].drain("hd:aaaa.1 x")
    slurm.nodes["n4"].drain("disk swap")
    assert [claim.node for claim in scheduler(slurm).out_by_us()] == ["n3"]


# Resuming


def drained(state: str = "IDLE+DRAIN") -> PaperSlurm:
    slurm = cluster()
    slurm.nodes["n1"] = PaperNode(state, REASON)
    return slurm


def test_our_own_drain_is_resumed() -> None:
    slurm = drained()
    outcome = scheduler(slurm).resume(MARK, "root", NOW)
    assert outcome.result is Result.DONE
    assert "slurmd" in outcome.message  # it does not respond yet


@pytest.mark.parametrize(
    ("mark", "by", "at"),
    [
        ("hd:k3f9.2", "root", NOW),
        (MARK, "ann", NOW),
        (MARK, "root", "2026-11-21T02:00:01"),
    ],
)
def test_a_drain_that_is_not_just_as_we_left_it_is_not_resumed(mark: str, by: str, at: str) -> None:
    slurm = drained()
    assert scheduler(slurm).resume(mark, by, at).result is Result.NOT_OURS
    assert slurm.updates == []


def test_a_resume_must_know_the_claim() -> None:
    slurm = drained()
    assert scheduler(slurm).resume(MARK, "", "").result is Result.REFUSED
    assert scheduler(slurm).resume("", "root", NOW).result is Result.REFUSED


def test_a_node_in_service_is_said_to_be_so() -> None:
    slurm = cluster()
    outcome = scheduler(slurm).resume(MARK, "root", NOW)
    assert outcome.result is Result.NOT_OURS
    assert "already in service" in outcome.message
    assert slurm.updates == []


@pytest.mark.parametrize(
    "state",
    [
        "IDLE+DRAIN+MAINTENANCE+RESERVED",
        "UNKNOWN+DRAIN+NOT_RESPONDING",
        "MIXED+DRAIN+REBOOT_REQUESTED",
        "DOWN+DRAIN+REBOOT_ISSUED",
        "IDLE+DRAIN+POWER_DOWN",
    ],
)
def test_a_resume_waits_for_what_it_would_cancel(state: str) -> None:
    slurm = drained(state)
    outcome = scheduler(slurm).resume(MARK, "root", NOW)
    assert outcome.result is Result.NO_ANSWER
    assert "not resumed yet" in outcome.message
    assert slurm.updates == []


def test_a_person_who_drains_right_after_our_resume_is_reported() -> None:
    slurm = drained()

    def ann(argv: Sequence[str]) -> None:
        if "show" in argv and slurm.updates:
            slurm.nodes["n1"].drain("mine now", by="ann")

    slurm.before = ann
    assert scheduler(slurm).resume(MARK, "root", NOW).result is Result.FOREIGN


def test_a_resume_that_has_no_effect_is_unknown() -> None:
    slurm = drained()
    slurm.failures["update"] = Finished(1, "", "slurm_update error: Socket timed out\n")
    with pytest.raises(SchedulerUnavailable, match="still stands"):
        scheduler(slurm).resume(MARK, "root", NOW)
