"""`hpcdoctor status`: where does the node stand, and what happens next?"""

from hpcdoctor.cli.ask import terminal_width
from hpcdoctor.cli.order import order
from hpcdoctor.cli.parser import make_parser


def main(arguments: list[str]) -> int:
    parser = make_parser("status", "Say where the node stands, why, and what happens next.")
    parser.add_argument("--json", action="store_true", help="for scripts; hpcdoctor.status/1")
    parser.add_argument(
        "--would", action="store_true", help="only what would be done if the mode were `act`"
    )
    options = parser.parse_args(arguments)
    question = {
        "type": "status",
        "json": options.json,
        "width": terminal_width(),
        "would": options.would,
    }
    return order(options.config, question)
