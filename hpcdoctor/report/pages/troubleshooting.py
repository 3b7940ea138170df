"""What can be wrong with hpcdoctor itself? The list of codes in docs/troubleshooting.md, generated.

Only what stands between the two marks is; the rest of the page is written by hand.
"""

from hpcdoctor.report.illness import ILLNESSES

BEGIN = "<!-- codes: python -m hpcdoctor.report.pages troubleshooting -->"
END = "<!-- end of codes -->"


def render() -> str:
    """Return the list of codes."""
    parts = []
    for one in ILLNESSES:
        parts.append(f"### `{one.code}`\n\n{one.meaning}\n\n**Do:** {one.do}.\n")
        if one.more:
            parts.append(f"{one.more}\n")
    return "\n".join(parts)


def put_into(page: str) -> str:
    """Return the page with today's list between the marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"docs/troubleshooting.md has lost its marks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{render()}\n{END}{after}"
