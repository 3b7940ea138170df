"""Does every check fire in one story and stay quiet in another, as their logs say?"""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scenarios import runner
from tests.scenarios.conftest import Looked, Shipped
from tests.scenarios.story import SCENARIOS, Written, all_stories

STORIES = all_stories()


@pytest.mark.parametrize("written", STORIES, ids=lambda written: written.name)
def test_the_story_goes_as_its_log_says(
    written: Written,
    shipped: Shipped,
    looked: Looked,
    expect: Callable[[Path, str], None],
) -> None:
    story = written.story
    assert story.check in shipped.checks, f"no check is named {story.check}"
    checks = shipped.for_probes(runner.probes_of(story, shipped.checks))
    lines = runner.judge(story, looked(written), checks, shipped.rules)
    opened = [line for line in lines if line.split()[1:3] == ["opened", story.check]]
    if story.fires:
        assert opened, "\n".join(["it was to fire, and this is what happened:", *lines])
    else:
        assert not opened, opened
        assert lines[-1].endswith(" ok"), "\n".join(["it was to be judged and be ok:", *lines])
    expect(written.log, "\n".join(lines) + "\n")


def test_what_is_shipped_has_no_mistake(shipped: Shipped) -> None:
    assert shipped.problems == []


def test_every_check_has_a_story_in_which_it_fires_and_one_in_which_it_is_quiet(
    shipped: Shipped,
) -> None:
    fires = {written.story.fires for written in STORIES}
    quiet = {written.story.quiet for written in STORIES}
    assert set(shipped.checks) - fires == set(), "these fire in no story"
    assert set(shipped.checks) - quiet == set(), "these stay quiet in no story"


def test_no_log_is_left_over() -> None:
    logs = {file.with_suffix(".yaml") for file in SCENARIOS.glob("*/*.log")}
    assert logs <= {written.file for written in STORIES}
