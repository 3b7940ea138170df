"""What do all stories share? The shipped checks and rules, and each story's looks, taken once."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from hpcdoctor.checks.compiled import CompiledCheck
from hpcdoctor.definitions.loader import Definitions, load_definitions
from hpcdoctor.definitions.rule import Rule
from hpcdoctor.definitions.settings import Settings
from hpcdoctor.knowledge import resolve
from tests.scenarios import runner
from tests.scenarios.story import Written

NOBODYS = Path("/nonexistent")  # no site has written anything there


class Shipped(NamedTuple):
    definitions: Definitions
    checks: Mapping[str, CompiledCheck]
    rules: Mapping[str, Rule]
    problems: list[str]

    def for_probes(self, probes: list[str]) -> dict[str, CompiledCheck]:
        return {n: check for n, check in self.checks.items() if check.definition.probe in probes}


@pytest.fixture(scope="session")
def shipped() -> Shipped:
    definitions = load_definitions(NOBODYS)
    knowledge, problems = resolve(Settings(), NOBODYS, definitions)
    told = [str(problem) for problem in problems]
    return Shipped(definitions, knowledge.checks, knowledge.rules, told)


Looked = Callable[[Written], list[runner.Round]]


@pytest.fixture(scope="session")
def looked(shipped: Shipped, tmp_path_factory: pytest.TempPathFactory) -> Looked:
    """Return what is seen in a story; each is lived through once a session."""
    seen: dict[str, list[runner.Round]] = {}

    def look(written: Written) -> list[runner.Round]:
        if written.name not in seen:
            folder = tmp_path_factory.mktemp("story")
            seen[written.name] = runner.look(written.story, shipped.checks, folder)
        return seen[written.name]

    return look
