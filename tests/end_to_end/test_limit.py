"""Does the local limit hold when every node of a partition sees the same fault in the same second?

A real slurmd, a daemon and a helper as processes for each node: thirty in `make test`, two hundred
in `make soak`. Only their prober is one double for all, which shows them the fault at one moment.
"""

import os
import time
from pathlib import Path

import pytest

from tests.doubles.crowd import Crowd, Samples
from tests.doubles.slurm_cluster import SlurmCluster
from tests.doubles.waiting import wait_for

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("as_root")]

ALLOWED = 3
SOAK_NODES = 200
# The second of the claim, the count after it, and the look of the daemon 3 s later; the rest is for
# a machine that has some hundred times more processes than CPUs.
RECOUNT_SECONDS = 30.0


@pytest.mark.parametrize(
    "nodes", [30, pytest.param(SOAK_NODES, marks=pytest.mark.soak)], ids=["thirty", "two-hundred"]
)
def test_nodes_that_all_fail_at_once_stay_within_the_limit_and_take_turns(
    installed: Path, nodes: int
) -> None:
    limit = {"nodes": ALLOWED, "share_ratio": 0.01}
    with (
        SlurmCluster(nodes=nodes) as cluster,
        Crowd(installed, cluster, limit=limit) as crowd,
        Samples(cluster) as samples,
    ):
        cluster.run(["sdiag", "--reset"])
        began = time.monotonic()
        crowd.break_down(crowd.names)

        def settled() -> bool:
            return all(_has_its_answer(status) for status in crowd.statuses().values())

        wait_for("all to have their answer", settled, 300)
        print(f"{nodes} nodes settled in {time.monotonic() - began:.1f} s")
        statuses = crowd.statuses()
        out = cluster.out()
        assert len(out) == ALLOWED, "as many as allowed, and no more"
        assert {n for n, s in statuses.items() if s["quarantine"]} == set(out)
        for name in set(crowd.names) - set(out):
            status = statuses[name]
            assert f"the limit is {ALLOWED}" in status["because"], status
            assert "asked for again in" in status["next"]

        print(f"at most {samples.most()} were out, over the limit for {samples.excesses(ALLOWED)}")
        assert all(seconds < RECOUNT_SECONDS for seconds in samples.excesses(ALLOWED))

        # Putting nodes back is free, and those that wait take their places.
        freed = time.monotonic()
        crowd.mend(out)
        wait_for("the releases", lambda: _states(crowd, out) == {"probation"}, 60)
        print(f"back in service {time.monotonic() - freed:.1f} s after they were mended")
        assert not set(out) & set(cluster.out())
        if nodes < SOAK_NODES:
            return  # whoever waits asks again after a minute, which is too long for every day
        wait_for("others to take their places", lambda: len(cluster.out()) == ALLOWED, 150)
        print(f"their places were taken after {time.monotonic() - freed:.1f} s")
        assert not set(out) & set(cluster.out())
        assert all(seconds < RECOUNT_SECONDS for seconds in samples.excesses(ALLOWED))
        print(f"at most {samples.most()} were out, over the limit for {samples.excesses(ALLOWED)}")
        _tell(crowd, cluster, samples)


def _states(crowd: Crowd, names: list[str]) -> set[str]:
    return {(crowd.status(name) or {"state": "no answer"})["state"] for name in names}


def _has_its_answer(status: dict[str, str] | None) -> bool:
    if status is None:
        return False
    if status["state"] == "waiting":
        return "the limit is" in status["because"]
    return status["state"] in ("drained", "handed_over")


def _tell(crowd: Crowd, cluster: SlurmCluster, samples: Samples) -> None:
    """Print what it cost, for whoever runs this with -s."""
    lines = cluster.run(["sdiag"]).splitlines()
    print("\n".join(line for line in lines if "REQUEST_" in line))
    print(f"of those {len(samples.out)} times two are the test's own sinfo")
    print({name: f"{size >> 20} MiB" for name, size in crowd.memory_bytes().items()})
    print(f"load {os.getloadavg()}")
