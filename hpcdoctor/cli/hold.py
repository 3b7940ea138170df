"""`hpcdoctor hold`: have this node left alone, for a reason and until an end."""

import time
from datetime import datetime

from hpcdoctor.cli.order import order
from hpcdoctor.cli.parser import Parser, make_parser
from hpcdoctor.model.quantity import parse_duration


def main(arguments: list[str]) -> int:
    parser = make_parser(
        "hold",
        "Have this node watched and not touched: no drain, no resume, no repair. "
        "For root and the group hpcdoctor-admin.",
    )
    parser.add_argument("--why", required=True, help="the reason, for whoever finds the hold")
    parser.add_argument(
        "--until", metavar="WHEN", help="12h, 3d, or a date such as 2026-12-01; default: no end"
    )
    options = parser.parse_args(arguments)
    seconds = _seconds(parser, options.until) if options.until else None
    question = {"type": "hold", "why": options.why, "until_seconds": seconds}
    return order(options.config, question)


def _seconds(parser: Parser, text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError:
        pass
    try:
        end = datetime.fromisoformat(text).astimezone().timestamp()
    except ValueError:
        parser.error(f"--until {text!r}: write 12h, 3d, 2026-12-01 or 2026-12-01T08:00")
    if end <= time.time():
        parser.error(f"--until {text}: that is over already")
    return end - time.time()
