"""`hpcdoctor release`: end a hold or a quarantine; what is open is then known to you."""

from hpcdoctor.cli.order import order
from hpcdoctor.cli.parser import make_parser


def main(arguments: list[str]) -> int:
    parser = make_parser(
        "release",
        "End the quarantine, and put the node back in service where the drain is ours; or end a "
        "hold. Findings that are open count as known and drive nothing until they come again. "
        "For root and the group hpcdoctor-admin.",
    )
    parser.add_argument("--why", required=True, help="what was done, for the record")
    parser.add_argument("--hold", action="store_true", help="end the hold")
    parser.add_argument("--quarantine", action="store_true", help="end the quarantine")
    options = parser.parse_args(arguments)
    question = {
        "type": "release",
        "why": options.why,
        "hold": options.hold,
        "quarantine": options.quarantine,
    }
    return order(options.config, question)
