"""What do the rules of one runbook say? The head of each docs/runbooks/*.md; the rest is prose."""

from pathlib import Path

from hpcdoctor.definitions.loader import Definitions, load_definitions
from hpcdoctor.definitions.rule import Rule

BEGIN = "<!-- generated from the rules: pytest --update -->"
END = "<!-- end of what is generated -->"
SHIPPED = Path("/nonexistent")  # no site: what is shipped, and nothing laid over it


def runbooks() -> dict[str, str]:
    """Return the generated head of each runbook, by its place in the repository."""
    definitions = load_definitions(SHIPPED)
    pages: dict[str, list[Rule]] = {}
    for _name, defined in sorted(definitions.rules.items()):
        pages.setdefault(defined.value.runbook, []).append(defined.value)
    return {page: _head(rules, definitions) for page, rules in pages.items()}


def with_head(text: str, head: str) -> str:
    """Return the page with this head in the place of the one that it has."""
    before, _, rest = text.partition(BEGIN)
    return before + head + rest.partition(END)[2]


def _head(rules: list[Rule], definitions: Definitions) -> str:
    lines = [BEGIN, ""]
    for rule in rules:
        decide = rule.decide
        repairs = ", ".join(f"`{name}`" for name in decide.remediate) or "none"
        lines += [
            f"**Rule `{rule.rule}`**: {' '.join(rule.summary.split())}.",
            "",
            f"- asks for `{decide.node.value}`, shipped in mode `{rule.mode.value}`",
            f"- remediations, where the site names them: {repairs}",
            f"- handed over to: {decide.hand_over or 'nobody'}",
        ]
        for check in dict.fromkeys([*rule.when.all, *rule.when.any]):
            verdict = {**rule.when.any, **rule.when.all}[check]
            defined = definitions.checks[check].value
            origin = defined.origin or "not stated"
            lines.append(f"- check `{check}` {verdict.value} (from: {origin})")
        lines.append("")
    return "\n".join([*lines, END])
