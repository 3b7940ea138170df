"""What does a word, an event, a notice, an alert, a setting or a drain reason of hpcdoctor mean?"""

import re

from hpcdoctor.actions.reason import ANY_MARK
from hpcdoctor.cli.explain_next import runbook_at
from hpcdoctor.definitions.loader import Definitions
from hpcdoctor.definitions.settings import Settings
from hpcdoctor.events.vocabulary import TYPES
from hpcdoctor.report.illness import BY_CODE
from hpcdoctor.report.pages.alerts import MEANING, Alert, alerts, filled
from hpcdoctor.report.pages.fields import Key, keys
from hpcdoctor.report.words import WORDS, look_up

PREFIX = "hpcdoctor."
RULE = re.compile(r"; rule ([a-z0-9][a-z0-9-]*)")
MARK_ANYWHERE = re.compile(r"\bhd:([a-z0-9]{4})\.(\d{1,3})\b")
Entry = dict[str, str | list[str]]


def words(name: str) -> list[Entry]:
    """Return what this name means as a word, event, notice, alert and setting, as far as it is."""
    found: list[Entry] = [
        {
            "kind": word.kind,
            "name": word.name,
            "meaning": word.meaning,
            "next": [word.after] if word.after else [],
        }
        for word in look_up(name)
    ]
    full = name if name.startswith(PREFIX) else PREFIX + name
    if full in TYPES:
        event = TYPES[full]
        fields = [field for field in event.data.__struct_fields__ if field != "mode"]
        found.append(
            {
                "kind": "event",
                "name": full,
                "meaning": event.meaning,
                "next": [
                    f"It carries: {', '.join(fields)}. See docs/events.md.",
                    "It goes first when the spool is full."
                    if event.droppable
                    else "It is kept until it is acknowledged, or its time is over.",
                ],
            }
        )
    if name in BY_CODE:
        illness = BY_CODE[name]
        found.append(
            {
                "kind": "notice",
                "name": name,
                "meaning": illness.meaning,
                "next_steps": [illness.do + ".", *([illness.more] if illness.more else [])],
                "next": [
                    "It is told to people and never drains a node. See docs/troubleshooting.md."
                ],
            }
        )
    if name.lower().startswith("hpcdoctor"):
        found += [_alert(one) for one in alerts() if one.alert.lower() == name.lower()]
    if (key := _settings().get(name)) is not None:
        found.append(_setting(name, key))
    return found


def _alert(alert: Alert) -> Entry:
    return {
        "kind": "alert",
        "name": alert.alert,
        "meaning": f"{filled(alert, 'description')} It fires when this has held for {alert.hold}: "
        f"{' '.join(alert.expr.split())}",
        "next_steps": [filled(alert, "next_steps")],
        "next": [f"A {MEANING[alert.labels['severity']]}. See docs/alerts.md."],
    }


def _settings() -> dict[str, Key]:
    """Return every key of hpcdoctor.yaml as `settings` writes it: `slurm.grace`."""
    found: dict[str, Key] = {}
    for key in keys(Settings):
        found[key.name] = key
        for inner in keys(key.shape) if key.shape is not None else ():
            found[f"{key.name}.{inner.name}"] = inner
    return found


def _setting(name: str, key: Key) -> Entry:
    section = key.shape is not None
    about = " ".join((key.shape.__doc__ or "").split()) if key.shape is not None else key.meaning
    said = [f"{about[:1].upper()}{about[1:]}"]
    if may := " or ".join(f"`{choice}`" for choice in key.choices) or key.kind:
        said.append(f"It takes {may}")
    default = getattr(key.default, "value", key.default)
    if not section:
        unset = default in (None, "", [], {})
        said.append("Not set by default" if unset else f"Default: {default}")
    if key.example:
        said.append(f"Example: {key.example}")
    return {
        "kind": "setting",
        "name": name,
        "meaning": " ".join(one if one.endswith(".") else f"{one}." for one in said if one),
        "next": [
            "What holds here, and which line says so: hpcdoctor settings. "
            "All of them: docs/settings.md."
        ],
    }


def reason(line: str, definitions: Definitions) -> Entry | None:
    """Return what a drain reason of ours says, as `sinfo -R` or `scontrol` shows it; else None."""
    mark = MARK_ANYWHERE.search(line)
    if mark is None:
        return None
    incident, epoch = mark[1], int(mark[2])
    said = line[mark.start() :]
    assert ANY_MARK.match(f"{said} ")  # noqa: S101  # one form, known to actions/reason.py
    about = said[len(mark[0]) :].split(";")[0].strip()
    steps = [
        f"Evidence and state, on that node: hpcdoctor status; as an archive: "
        f"hpcdoctor bundle {incident}",
        "It is taken back by: hpcdoctor release --why '...' (a drain without this mark is never "
        "touched).",
    ]
    meaning = (
        f"hpcdoctor has drained this node. {mark[0]} is its mark: incident {incident}, "
        f"epoch {epoch}{' (taken over or repeated)' if epoch > 1 else ''}."
    )
    if about:
        meaning += f" What is broken: {about}."
    if rule := RULE.search(said):
        steps.insert(0, f"Why: hpcdoctor explain {rule[1]}")
        defined = definitions.rules.get(rule[1])
        if defined is None:
            meaning += f" By rule {rule[1]}, which this machine's files do not have."
        else:
            meaning += f" By rule {rule[1]}, which asks for {defined.value.decide.node.value}."
            if defined.value.runbook:
                steps.insert(1, f"What to do about it: {runbook_at(defined.value.runbook)}")
    return {"kind": "reason", "name": mark[0], "meaning": meaning, "next": steps}


def known_words() -> list[str]:
    """Return every name that `words` answers."""
    events = [*TYPES, *(name[len(PREFIX) :] for name in TYPES)]
    return [
        *(word.name for word in WORDS),
        *events,
        *BY_CODE,
        *_settings(),
        *(one.alert for one in alerts()),
    ]
