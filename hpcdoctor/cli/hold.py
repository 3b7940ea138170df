"""`hpcdoctor hold`: have this node left alone, for a reason and until an end."""

import time
from datetime import datetime

from hpcdoctor.cli.order import order
from hpcdoctor.cli.parser import Parser, make_parser
from hpcdoctor.model.quantity import parse_duration

LONGEST_SECONDS = 10 * 365 * 86400.0


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
    seconds = None if options.until is None else _seconds(parser, options.until)
    question = {"type": "hold", "why": options.why, "until_seconds": seconds}
    return order(options.config, question)


def _seconds(parser: Parser, text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError:
        try:
            seconds = datetime.fromisoformat(text).astimezone().timestamp() - time.time()
        except (ValueError, OverflowError, OSError):
            parser.error(f"--until {text!r}: write 12h, 3d, 2026-12-01 or 2026-12-01T08:00")
    if seconds <= 0:
        parser.error(f"--until {text}: that is over already")
    if seconds > LONGEST_SECONDS:
        parser.error(f"--until {text}: at most ten years; leave --until out for no end")
    return seconds
