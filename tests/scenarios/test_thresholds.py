"""Does some story turn red when a shipped threshold is doubled or halved?

A quarter of the mutants, by name, in `make test`; all of them in `make soak`.
"""

import zlib

import pytest

from hpcdoctor.checks.compiled import CompiledCheck, compile_check
from hpcdoctor.definitions.check import Check
from hpcdoctor.definitions.loader import Defined
from hpcdoctor.probes import registry
from tests.scenarios import runner
from tests.scenarios.conftest import Looked, Shipped
from tests.scenarios.mutants import Mutant, mutants_of, thresholds
from tests.scenarios.story import Written, all_stories

STORIES = all_stories()
NAMES = sorted({written.story.check for written in STORIES})


def survivors(name: str, shipped: Shipped, looked: Looked, *, all_of_them: bool) -> list[str]:
    defined = shipped.definitions.checks[name]
    stories = [written for written in STORIES if written.story.check == name]
    as_shipped = outcome(name, shipped.checks[name], stories, looked)
    return [
        mutant.what
        for mutant in mutants_of(defined.value)
        if (all_of_them or is_sampled(name, mutant))
        and outcome(name, compiled(mutant, defined, shipped), stories, looked) == as_shipped
    ]


def is_sampled(name: str, mutant: Mutant) -> bool:
    return zlib.crc32(f"{name} {mutant.what}".encode()) % 4 == 0


def outcome(
    name: str, check: CompiledCheck, stories: list[Written], looked: Looked
) -> list[list[str]]:
    """Return the lines about this one check: what a person would see of it."""
    return [runner.judge(written.story, looked(written), {name: check}, {}) for written in stories]


def compiled(mutant: Mutant, defined: Defined[Check], shipped: Shipped) -> CompiledCheck:
    catalogs = {name: table.value for name, table in shipped.definitions.catalogs.items()}
    changed = Defined(mutant.check, defined.source)
    return compile_check(changed, registry.find(mutant.check.probe), catalogs)


@pytest.mark.parametrize("name", NAMES)
def test_a_story_notices_a_changed_threshold(name: str, shipped: Shipped, looked: Looked) -> None:
    assert survivors(name, shipped, looked, all_of_them=False) == []


@pytest.mark.soak
@pytest.mark.parametrize("name", NAMES)
def test_a_story_notices_every_changed_threshold(
    name: str, shipped: Shipped, looked: Looked
) -> None:
    assert survivors(name, shipped, looked, all_of_them=True) == []


def test_thresholds_are_what_is_compared_by_order() -> None:
    from hpcdoctor.expressions.parse import parse  # noqa: PLC0415

    text = (
        "kind == 3 && code in [4, 5] && increase(x, 6m) > 7 && (has(y) ? y : 8) < 9 "
        "|| share(z >= 10, 11m) > 0.5 || a > 0 || b / 12 > c"
    )
    assert [each.value for each in thresholds(parse(text))] == [7, 8, 9, 10, 0.5, 12]
