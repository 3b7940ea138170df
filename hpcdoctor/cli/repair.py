"""`hpcdoctor repair`: carry out a remediation now, under the same guards as the ladder."""

from hpcdoctor.cli.order import order
from hpcdoctor.cli.parser import make_parser


def main(arguments: list[str]) -> int:
    parser = make_parser(
        "repair",
        "Carry out a remediation that the settings name, by hand. What disrupts waits for a drain "
        "of ours without jobs, and every limit holds. For root and the group hpcdoctor-admin.",
    )
    parser.add_argument("remediation", metavar="NAME", help="as `hpcdoctor explain NAME` has it")
    parser.add_argument("--why", required=True, help="the reason, for the record")
    parser.add_argument(
        "--on",
        metavar="FIELD=VALUE",
        action="append",
        default=[],
        help="what it is for, as in pci_address=0000:3b:00; default: what the incident is about",
    )
    options = parser.parse_args(arguments)
    subject = {}
    for text in options.on:
        name, sign, value = text.partition("=")
        if not sign or not name or not value:
            parser.error(f"--on {text}: write it as in --on pci_address=0000:3b:00")
        subject[name] = value
    question = {
        "type": "repair",
        "why": options.why,
        "remediation": options.remediation,
        "subject": subject,
    }
    return order(options.config, question)
