"""`hpcdoctor stand-down`: stop acting on this node; one command back from every `mode: act`."""

from hpcdoctor.cli.order import order
from hpcdoctor.cli.parser import make_parser


def main(arguments: list[str]) -> int:
    parser = make_parser(
        "stand-down",
        "Touch nothing on this node from now on: hold it without an end, and leave its drain, "
        "where it is ours, to a person. For root and the group hpcdoctor-admin.",
    )
    parser.add_argument("--why", required=True, help="the reason, for whoever finds the hold")
    parser.add_argument(
        "--release", action="store_true", help="put the node back in service as well"
    )
    options = parser.parse_args(arguments)
    question = {"type": "stand-down", "why": options.why, "release": options.release}
    return order(options.config, question)
