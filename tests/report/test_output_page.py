"""Is what docs/output.md shows of our own what `hpcdoctor check` prints?"""

import re
from collections.abc import Callable
from pathlib import Path

from tests.conftest import CHECKOUT
from tests.report.test_situations import FOLDER

PAGE = CHECKOUT / "docs/output.md"
SHOWN = re.compile(r"<!-- (?P<name>[a-z-]+) -->\n```\n.*?```\n", re.DOTALL)


def test_the_pages_that_the_documentation_shows_are_those_that_are_printed(
    expect: Callable[[Path, str], None],
) -> None:
    def current(found: re.Match[str]) -> str:
        name = found["name"]
        return f"<!-- {name} -->\n```\n{(FOLDER / f'{name}.txt').read_text()}```\n"

    text = PAGE.read_text()
    assert len(SHOWN.findall(text)) == 2
    expect(PAGE, SHOWN.sub(current, text))
