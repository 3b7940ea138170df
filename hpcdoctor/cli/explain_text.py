"""How does an explanation look on a terminal? 80 columns, no colour, nothing hostile."""

import textwrap
from collections import defaultdict
from typing import Any

from hpcdoctor.model.text import visible

WIDTH = 80
# JSON-shaped, one for each thing that a name stands for: what `--json` prints is what is shown.
Entry = dict[str, Any]


def text(entry: Entry) -> str:
    """Return one explanation as lines for people."""
    return "\n".join([*_lines(entry), ""])


def _lines(entry: Entry) -> list[str]:
    kind = entry["kind"]
    if kind == "code":
        return _code(entry)
    if kind == "line":
        return _message(entry)
    off = "" if entry.get("enabled", True) else "   (switched off)"
    lines = [visible(f"{kind} {entry['name']}{off}")]
    for key in ("summary", "meaning", "why"):
        lines += _paragraph(entry.get(key, ""))
    if "levels" in entry:
        lines += ["", "  When"]
        for level in entry["levels"]:
            lines += _paragraph(level, "    ")
        origin = entry["origin"] or "not stated"
        lines += _paragraph(f"threshold from: {origin}; proven: {entry['proven']}", "    ")
    if steps := entry.get("next_steps"):
        lines += ["", "  What to do", *_numbered(steps)]
    if "follows" in entry:
        lines += ["", "  Rules that name it", *_rules(entry["follows"])]
    if "follows_from" in entry:
        lines += ["", "  Follows from", *_paragraph("; ".join(entry["follows_from"]), "    ")]
    if entry.get("next"):
        lines += ["", "  What happens next"]
        for one in entry["next"]:
            lines += _paragraph(one, "    ")
    if entry.get("runbook"):
        lines += ["", f"  Runbook: {visible(entry['runbook'])}"]
    if entry.get("keys"):
        lines += ["", *_origins(entry["keys"])]
    return [*lines, ""] if "keys" in entry else lines


def _rules(rules: list[Entry], *, steps: bool = True) -> list[str]:
    if not rules:
        return ["  none: it is only reported"]
    lines: list[str] = []
    for one in rules:
        asks = f"asks for {one['want']}"
        lines += _paragraph(f"{one['rule']} ({one['verdict']}: {asks}, mode {one['mode']})")
        for step in one["next"] if steps else one["next"][:1]:
            lines += _paragraph(step, "    ")
        if one["runbook"]:
            lines.append(f"    runbook: {visible(one['runbook'])}")
    return lines


def _code(entry: Entry) -> list[str]:
    name = entry["name"]
    title = (
        name if entry["known"] else f"{name}: not in the catalogue; what holds for unknown codes:"
    )
    lines = [title, *_paragraph(entry["taken"])]
    for key, value in entry["entry"].items():
        more = f" ({entry['action']})" if key == "action" and entry["action"] else ""
        lines += _paragraph(f"{key:<10}{value}{more}", "  ", " " * 12)
        for called, do in entry["actions"].items() if key == "action" else ():
            lines += _paragraph(f"- {called}: {do}", " " * 12, " " * 14)
    lines += ["", f"  from      {visible(entry['from'])}", f"  after     {visible(entry['after'])}"]
    for one in entry["checks"]:
        lines += ["", f"  Check {one['check']} judges it", *_rules(one["follows"])]
    return lines


def _message(entry: Entry) -> list[str]:
    lines = [f"kernel message {entry['name']}"]
    for key, value in entry["values"].items():
        lines.append(f"  {key:<14}{visible(str(value))}")
    if more := entry.get("more"):
        lines.append(f"  more: {more}")
    for one in entry["findings"]:
        lines += ["", f"  {one['verdict']} by check {one['check']}"]
        lines += _paragraph(one["summary"], "    ") + _paragraph(one["why"], "    ")
        lines += _numbered(one["next_steps"])
        rules = [rule for rule in one["follows"] if rule["reached"]]
        lines += ["  Rules that follow", *_rules(rules)]
        lines.append(f"    more: hpcdoctor explain {one['check']}")
    for sentence in entry["notes"]:
        lines += ["", *_paragraph(sentence)]
    return lines


def _numbered(steps: list[str]) -> list[str]:
    lines: list[str] = []
    for number, step in enumerate(steps, start=1):
        first = f"{number}. "
        lines += _paragraph(first + step, "    ", "    " + " " * len(first))
    return lines


def _origins(keys: list[Entry]) -> list[str]:
    """Every key with its value, below the file that it comes from, at its line."""
    files: dict[str, list[Entry]] = defaultdict(list)
    for key in keys:
        files[key["file"]].append(key)
    lines: list[str] = []
    for file, of_file in files.items():
        lines.append(f"  {visible(file)}")
        for key in sorted(of_file, key=lambda each: int(each["line"])):
            shown = visible(f"{key['key']}: {key['value']}")
            room = WIDTH - 8
            shown = shown if len(shown) <= room else shown[: room - 1] + "…"
            lines.append(f"  {key['line']:>4}  {shown}")
    return lines


def _paragraph(said: str, margin: str = "  ", rest: str | None = None) -> list[str]:
    if not (said := visible(said if rest else " ".join(said.split()), 2000)):
        return []
    return textwrap.wrap(
        said,
        WIDTH,
        initial_indent=margin,
        subsequent_indent=margin if rest is None else rest,
        break_on_hyphens=False,
    )
