"""Does `make bench` measure, say what it could not measure, and write the same as JSON?"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import __main__ as bench
from bench.execs import Execs
from bench.measure import NotMeasured, cpu_of, family
from bench.table import Row, heading, line

CHECKOUT = Path(__file__).parents[1]


def test_a_row_stands_below_its_heading() -> None:
    row = Row("check", 7.1, beside="floor 5.5 ms", ratio=1.29, aim="2.5 x", met=True)
    for cell in ("1.29 x", "2.5 x", "yes"):
        assert cell in line(row)
    assert line(row).index("floor") == heading().index("beside")
    assert line(row).index("yes") == heading().index("met")


def test_what_could_not_be_measured_says_why_and_claims_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(_program: Path, _quick: bool) -> Iterator[Row]:
        yield Row("first", 1.0)
        raise NotMeasured("it needs root")

    monkeypatch.setitem(bench.PARTS, "floors", fails)
    first, second = bench.rows_of("floors", Path("unused"), quick=True)
    assert first.measured == 1.0
    assert (second.measured, second.met) == (None, None)
    assert "not measured: it needs root" in line(second)


def test_a_command_that_fails_is_not_measured() -> None:
    with pytest.raises(NotMeasured, match="ended with 64"):
        cpu_of(["sh", "-c", "exit 64"])


@pytest.mark.real
def test_every_program_that_is_started_is_counted() -> None:
    script = "echo ready; read x; sh -c :; sh -c :; :"
    with subprocess.Popen(["sh", "-c", script], stdin=-1, stdout=-1) as shell:
        assert shell.stdout is not None
        assert shell.stdout.readline() == b"ready\n"  # its own exec is over
        try:
            with Execs(family(shell.pid)) as started:
                shell.communicate(b"go\n", timeout=10)
                forks, execs = started.count()
        except NotMeasured as error:
            pytest.skip(str(error))
    assert (forks, execs) == (2, 2)


@pytest.mark.real
def test_the_cheapest_row_is_measured_on_the_installed_program(
    installed: Path, tmp_path: Path
) -> None:
    file = tmp_path / "rows.json"
    arguments = ["floors", "--quick", "--program", str(installed), "--json", str(file)]
    done = subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    rows = json.loads(file.read_text())["rows"]
    assert [row["what"] for row in rows][:2] == ["floor: sh -c :", "floor: python3 -I -S"]
    for row in rows:
        assert row["measured"] > 0, row
        assert row["what"] in done.stdout
