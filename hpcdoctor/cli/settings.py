"""`hpcdoctor settings`: which settings hold here, and which line of which file says so?"""

import platform
import sys

from hpcdoctor.cli.effective import Rules, effective, render
from hpcdoctor.cli.parser import make_parser
from hpcdoctor.definitions.loader import load_definitions, load_settings_source
from hpcdoctor.model.decision import Mode, Want
from hpcdoctor.model.json_text import json_text
from hpcdoctor.report.pages import example

TOUCH_JOBS = (Want.DRAIN_NOW, Want.REQUEUE)


def main(arguments: list[str]) -> int:
    parser = make_parser(
        "settings",
        "Show the settings that hold on this node, and the file and line that each comes from. "
        "Secrets are never shown, only whether the daemon can use their files.",
    )
    parser.add_argument("--json", action="store_true", help="the same for a script")
    parser.add_argument(
        "--example",
        action="store_true",
        help="print an hpcdoctor.yaml with every key in a comment, to begin with",
    )
    options = parser.parse_args(arguments)
    if options.example:
        print(example.render(), end="")
        return 0
    defined = load_settings_source(options.config)
    definitions = load_definitions(options.config)
    rules = {name: rule.value for name, rule in definitions.rules.items() if rule.value.enabled}
    modes = [rule.mode for rule in rules.values()]
    touch_jobs = [name for name, rule in rules.items() if rule.decide.node in TOUCH_JOBS]
    known = effective(
        defined,
        platform.node().partition(".")[0],
        Rules(modes.count(Mode.ACT), len(modes), touch_jobs),
        is_there=defined.source.file.exists(),
    )
    if options.json:
        print(json_text(known))
    else:
        print(render(known), end="")
    if definitions.problems:
        files = len({problem.file for problem in definitions.problems})
        what = "1 file is wrong and not counted" if files == 1 else f"{files} files are wrong"
        print(f"hpcdoctor: {what}; see `hpcdoctor lint`", file=sys.stderr)
    return 0
