"""`hpcdoctor lint`: which mistakes are in the shipped files and the site's?"""

import sys

from hpcdoctor.cli.parser import make_parser
from hpcdoctor.definitions.loader import load_definitions, load_settings
from hpcdoctor.definitions.settings import Settings
from hpcdoctor.definitions.yamlfile import DefinitionError
from hpcdoctor.knowledge import resolve

WRONG_CONFIGURATION = 78


def main(arguments: list[str]) -> int:
    parser = make_parser(
        "lint", "Name every mistake with file, line, key and the likely fix. Exit code 78 if any."
    )
    options = parser.parse_args(arguments)
    problems: list[DefinitionError] = []
    settings = Settings()
    try:
        settings = load_settings(options.config)
    except DefinitionError as error:
        problems += error.every
    definitions = load_definitions(options.config, settings.profile)
    knowledge, more = resolve(settings, options.config, definitions)
    problems += more
    for problem in sorted(problems, key=lambda p: (str(p.file), p.line)):
        print(problem, file=sys.stderr)
    if problems:
        mistakes = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        print(f"hpcdoctor lint: {mistakes}", file=sys.stderr)
        return WRONG_CONFIGURATION
    print(
        f"{len(knowledge.checks)} checks, {len(knowledge.rules)} rules, "
        f"{len(knowledge.remediations)} remediations: no mistakes"
    )
    return 0
