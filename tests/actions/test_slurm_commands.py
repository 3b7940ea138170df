"""Are Slurm's programs called for this node only, and their failures understood?"""

import pytest

from hpcdoctor.actions.programs import Finished
from hpcdoctor.actions.schedulers import SchedulerRefused, SchedulerUnavailable
from hpcdoctor.actions.slurm_commands import Commands, trouble
from hpcdoctor.definitions.settings import Slurm
from tests.doubles.paper_slurm import PaperNode, PaperSlurm


def commands(
    settings: Slurm | None = None,
    nodes: dict[str, PaperNode] | None = None,
    *,
    hostname: str = "host1",
    surroundings: dict[str, str] | None = None,
) -> tuple[Commands, PaperSlurm]:
    slurm = PaperSlurm(nodes or {"n1": PaperNode(host="host1"), "n2": PaperNode(host="host2")})
    made = Commands(settings or Slurm(), slurm, hostname=hostname, surroundings=surroundings or {})
    return made, slurm


@pytest.mark.parametrize(
    "name", ["ALL", "all", "n[1-4]", "n1,n2", "-a", "n1 state=down", "n1\n", "é"]
)
def test_what_could_mean_more_than_one_node_is_no_name(name: str) -> None:
    made, slurm = commands(Slurm(node_name=name))
    with pytest.raises(SchedulerRefused, match="slurm.node_name"):
        made.show_node()
    assert slurm.commands == []


def test_the_configured_name_wins_over_slurmds_and_that_over_the_hosts() -> None:
    named, _ = commands(Slurm(node_name="a"), surroundings={"SLURMD_NODENAME": "b"})
    started, _ = commands(surroundings={"SLURMD_NODENAME": "b"})
    found, _ = commands(hostname="host2.site.example")
    assert [one.node_name() for one in (named, started, found)] == ["a", "b", "n2"]


def test_the_host_is_looked_up_once() -> None:
    made, slurm = commands()
    made.node_name()
    made.node_name()
    assert len(slurm.commands) == 1


def test_several_nodes_on_one_host_ask_for_the_setting() -> None:
    made, _ = commands(nodes={"n1": PaperNode(), "n2": PaperNode()})
    with pytest.raises(SchedulerRefused, match="several nodes .*set slurm.node_name"):
        made.node_name()


def test_a_host_that_slurm_does_not_know_asks_for_the_setting() -> None:
    made, _ = commands(hostname="elsewhere")
    with pytest.raises(SchedulerRefused, match="no node .*set slurm.node_name"):
        made.node_name()


def test_nothing_of_our_own_environment_reaches_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JWT", "secret")
    monkeypatch.setenv("SINFO_FORMAT", "%all")
    made, slurm = commands(Slurm(node_name="n1", conf="/etc/slurm/slurm.conf"))
    made.show_node()
    assert slurm.environments[-1] == {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C",
        "TZ": "UTC",
        "SLURM_TIME_FORMAT": "standard",
        "SLURM_CONF": "/etc/slurm/slurm.conf",
    }


def test_programs_in_a_folder_are_started_by_a_local_one() -> None:
    made, slurm = commands(Slurm(node_name="n1", programs="/opt/slurm/bin"))
    made.show_node()
    assert slurm.commands[-1][:2] == ["env", "/opt/slurm/bin/scontrol"]


@pytest.mark.parametrize(
    ("out", "err"),
    [
        ("Node n1 not found\n", ""),
        ("", "slurm_update error: Invalid node name specified\n"),
        ("", "slurm_update error: Invalid user id\n"),
        ("", "slurm_update error: Access/permission denied\n"),
        ("", "scontrol: fatal: Could not establish a configuration source\n"),
    ],
)
def test_some_failures_are_not_worth_trying_again(out: str, err: str) -> None:
    assert isinstance(trouble(Finished(1, out, err), "n1"), SchedulerRefused)


@pytest.mark.parametrize(
    "err",
    [
        "slurm_update error: Unable to contact slurm controller (connect failure)\n",
        "slurm_update error: Socket timed out on send/recv operation\n",
        "error: Munge encode failed: Failed to access\nslurm_load_node error: Permission denied\n",
        "slurm_update error: Protocol authentication error\n",
        "something that nobody has seen before\n",
        "",
    ],
)
def test_all_other_failures_leave_the_result_unknown(err: str) -> None:
    assert isinstance(trouble(Finished(1, "", err), "n1"), SchedulerUnavailable)


def test_an_answer_in_an_unknown_form_is_no_answer() -> None:
    made, slurm = commands(Slurm(node_name="n1"))
    slurm.failures["show"] = Finished(0, '{"nodes": []}', "")
    with pytest.raises(SchedulerUnavailable, match="not understood"):
        made.show_node()


def test_a_node_that_is_called_plunge_is_not_munges_fault() -> None:
    problem = trouble(Finished(1, "Node plunge1 not found\n", ""), "plunge1")
    assert isinstance(problem, SchedulerRefused)
    assert "munge does not work" not in str(problem)


def test_a_program_that_cannot_be_started_is_not_a_matter_of_rights_in_slurm() -> None:
    said = "env: '/opt/slurm/bin/scontrol': Permission denied\n"
    problem = trouble(Finished(126, "", said), "n1")
    assert isinstance(problem, SchedulerRefused)
    assert "slurm.programs" in str(problem)


def test_a_controller_that_hangs_up_may_not_know_who_we_are() -> None:
    said = "slurm_load_node error: Zero Bytes were transmitted or received\n"
    assert "munge key" in str(trouble(Finished(1, "", said), "n1"))


def test_a_long_host_name_in_slurm_and_capitals_are_this_host_too() -> None:
    named = {"a": PaperNode(host="host2.site.example"), "b": PaperNode(host="host3")}
    assert commands(nodes=named, hostname="host2")[0].node_name() == "a"
    assert commands(nodes=named, hostname="Host3")[0].node_name() == "b"
    twice = {"a": PaperNode(host="host2.one"), "b": PaperNode(host="host2.two")}
    with pytest.raises(SchedulerRefused, match="several nodes"):
        commands(nodes=twice, hostname="host2")[0].node_name()


def test_a_program_folder_that_env_would_take_for_a_variable_is_refused() -> None:
    made, slurm = commands(Slurm(node_name="n1", programs="/opt/release=25.05/bin"))
    with pytest.raises(SchedulerRefused, match="slurm.programs"):
        made.show_node()
    assert slurm.commands == []
