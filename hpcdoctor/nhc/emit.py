"""Which files of ours stand for the lines that one host runs?

Layout: hpcdoctor.yaml, profiles/nhc.yaml, checks/, commands/, rules/, remediations/, and nhc/ with
the programs that the commands run.
"""

import re
import shlex
from pathlib import Path

import yaml

from hpcdoctor.model.text import visible
from hpcdoctor.nhc.convert import Import, Item, Kind
from hpcdoctor.nhc.notes import OwnCheck

BASH = "/bin/bash"
LIBRARY = Path(__file__).parent / "checks.sh"
PROFILE = "nhc"
LONGEST_ORIGIN = 300
SHADOW = """\
# The first weeks beside NHC: hpcdoctor looks and decides, and acts on nothing. See docs/nhc.md.
mode: shadow
profile: nhc
# scheduler: slurm            # once it may drain; today NHC does
"""


def files_of(imported: Import, folder: Path, functions: list[Path]) -> dict[str, str]:
    """Return path and content of every file; `folder` is where they will be read from."""
    found: dict[str, str] = {}
    items = [item for item in imported.items if item.here]
    checks: list[str] = []
    mounts: dict[str, list[int]] = {}
    programs = 0
    for item in items:
        if item.kind not in (Kind.CONVERTED, Kind.PASSTHROUGH):
            continue
        name = name_of(item)
        notes = item.notes
        if notes is not None and notes.never_fails:
            continue
        ours = notes is not None and bool(notes.checks or notes.mounts)
        for number, check in enumerate(notes.checks if notes else []):
            own = name if number == 0 else f"{name}-{number + 1}"
            found[f"checks/nhc/{own}.yaml"] = _check(own, check, item, imported.file)
            checks.append(own)
        for mount in notes.mounts if notes else []:
            mounts.setdefault(mount, []).append(item.line.number)
        if not ours:
            programs += 1
            found[f"nhc/{name}.sh"] = _program(item, imported.file, functions)
            found[f"commands/{name}.yaml"] = _command(name, item, imported.file, folder)
        for number, remedy in enumerate(notes.remedies if notes else []):
            own = f"{name}-mend" if number == 0 else f"{name}-mend-{number + 1}"
            found[f"remediations/{own}.yaml"] = _comment(item, imported.file) + _yaml(
                {
                    "remediation": own,
                    "summary": _text(remedy.summary),
                    "disrupts": "nothing",
                    "steps": [{"run": remedy.run, "timeout": "1m"}],
                    "limit": "1 per 24h",
                    "enabled": False,
                }
            )
    if programs:
        found["nhc/checks.sh"] = LIBRARY.read_text()
    found |= _rules(imported, checks, sorted(mounts), with_programs=bool(programs))
    for item in items:
        if item.kind is Kind.CONVERTED and item.notes is not None and item.notes.remedies:
            name = name_of(item)
            mends = [
                path.split("/")[1][:-5]
                for path in found
                if path.startswith(f"remediations/{name}-")
            ]
            found[f"rules/{name}.yaml"] = _mended(name, item, imported.file, mends, _want(imported))
    found[f"profiles/{PROFILE}.yaml"] = _profile(imported, mounts)
    found["hpcdoctor.yaml"] = SHADOW
    return found


def name_of(item: Item) -> str:
    """Return the name of a line's files: its number, and what it looks at."""
    first = re.sub(r"^check_", "", (item.words or [""])[0]) if not item.raw else ""
    slug = re.sub(r"[^a-z0-9]+", "-", first.lower()).strip("-")[:30].strip("-")
    return f"nhc-{item.line.number:04d}-{slug or 'line'}"


def _check(name: str, check: OwnCheck, item: Item, file: str) -> str:
    content: dict[str, object] = {
        "check": name,
        "summary": check.summary,
        "probe": check.probe,
        "every": check.every,
    }
    if check.per:
        content |= {"per": check.per, "object": f"{{{check.per}}}"}
    if check.where:
        content["where"] = check.where
    # In this place, what stands in braces is filled in.
    read = "the imported file" if set("{}") & set(file) else _text(file)
    content |= {
        "critical": {"when": check.when, "label": f"nhc line {item.line.number}"},
        "cause": "node",
        "why": "The site's nhc.conf takes a node out for this.",
        "next_steps": [f"Read line {item.line.number} of {read}: it says what is asked for"],
        "origin": _text(f"{file}:{item.line.number}"),
        "see": "docs/nhc.md",
    }
    return _comment(item, file) + _yaml(content)


def _program(item: Item, file: str, functions: list[Path]) -> str:
    lines = [f"#!{BASH}", _comment(item, file).rstrip(), '. "${BASH_SOURCE[0]%/*}/checks.sh"']
    if re.search(r"\bHW_[A-Z]", " ".join([item.check, *item.variables])):
        lines.append("hardware")
    lines += [f"eval {_quoted(text)}" for text in item.variables]
    if item.own:  # to read a site's file is to run it
        lines += [f". {_quoted(str(path))}" for path in functions]
    if item.raw:
        lines.append(f"eval {_quoted(item.check)} >/dev/null 2>&1")
    else:
        lines.append(" ".join(_quoted(word) for word in item.words))
    lines.append("finish $?")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return shlex.quote(text)


def _command(name: str, item: Item, file: str, folder: Path) -> str:
    content: dict[str, object] = {
        "command": name,
        "summary": _text(f"{file}:{item.line.number}: {item.check}"),
        "run": [BASH, str(folder / "nhc" / f"{name}.sh")],
        "format": "nagios",
        "timeout": "8s",
    }
    if item.acts:
        content["enabled"] = False
    return _comment(item, file) + _yaml(content)


def _rules(
    imported: Import, checks: list[str], mounts: list[str], *, with_programs: bool
) -> dict[str, str]:
    """Return what the findings mean: as NHC has it, out at once, and back when all is well."""
    decide: dict[str, object] = {
        "node": _want(imported),
        "hand_over": "administrators",
        "resume": "when-clear",
    }
    whens: dict[str, tuple[str, dict[str, object]]] = {}
    if checks:
        when: dict[str, object] = {"any": dict.fromkeys(checks, "critical")}
        whens["nhc-checks"] = ("What nhc.conf asks for does not hold", when)
    if with_programs:
        when = {"any": {"site-command": "critical"}, "where": 'matches(command, "nhc-*")'}
        whens["nhc-programs"] = ("{name} says {message}", when)
    if mounts:
        listed = ", ".join(f'"{mount}"' for mount in mounts)
        when = {"any": {"filesystem-missing": "critical"}, "where": f"mount_point in [{listed}]"}
        whens["nhc-mounts"] = ("{mount_point} is not mounted", when)
    found = {}
    for name, (summary, when) in whens.items():
        content: dict[str, object] = {
            "rule": name,
            "summary": summary,
            "when": when,
            "decide": decide,
            "mode": "shadow",
        }
        if name == "nhc-mounts":
            content["node_decides_shared"] = True  # as NHC does
        content["why"] = f"{_text(imported.file)} takes a node out for it"
        content["see"] = "docs/nhc.md"
        comment = (
            "# As NHC has it: any failure takes the node out, and it comes back when all is well.\n"
        )
        found[f"rules/{name}.yaml"] = comment + _yaml(content)
    return found


def _want(imported: Import) -> str:
    """Return what a failure asks for: MARK_OFFLINE=0 is NHC's way to report only."""
    marks = [item for item in imported.of(Kind.VARIABLE) if item.here]
    told_only = any(re.search(r"\bMARK_OFFLINE=[\"']?0", item.check) for item in marks)
    return "note" if told_only else "drain"


def _mended(name: str, item: Item, file: str, mends: list[str], want: str) -> str:
    """Return the rule that asks for what the line itself would have done about it."""
    mounts = item.notes.mounts if item.notes else []
    listed = ", ".join(f'"{mount}"' for mount in mounts)
    asked, where = "site-command", f'command == "{name}"'
    if mounts:
        asked, where = "filesystem-missing", f"mount_point in [{listed}]"
    content: dict[str, object] = {
        "rule": name,
        "summary": "{mount_point} is not mounted" if mounts else "{name} says {message}",
        "when": {"any": {asked: "critical"}, "where": where},
        "decide": {
            "node": want,
            "remediate": mends,
            "hand_over": "administrators",
            "resume": "when-clear",
        },
        "mode": "shadow",
    }
    if mounts:
        content["node_decides_shared"] = True
    content["why"] = (
        "The line mends it, too; that is switched off until you enable the remediation."
    )
    content["see"] = "docs/nhc.md"
    return _comment(item, file) + _yaml(content)


def _profile(imported: Import, mounts: dict[str, list[int]]) -> str:
    lines = [
        f"# What {_text(imported.file)} expects of {_text(imported.host)}",
        f"profile: {PROFILE}",
    ]
    if mounts:
        lines.append("mounts:")
    for mount, numbers in sorted(mounts.items()):
        origins = ", ".join(f"{_text(imported.file)}:{number}" for number in numbers)
        lines.append(f"  - {_scalar(mount)} # {origins}")
    return "\n".join(lines) + "\n"


def _comment(item: Item, file: str) -> str:
    target, check = _text(item.target), _text(item.check)
    return f"# {_text(file)}:{item.line.number}: {target} || {check}\n"


def _text(text: str) -> str:
    return visible(text, LONGEST_ORIGIN)


def _scalar(text: str) -> str:
    return yaml.safe_dump(text, default_flow_style=True, width=10**6).split("\n")[0]


def _yaml(content: dict[str, object]) -> str:
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100))
