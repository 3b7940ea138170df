"""Which words does hpcdoctor speak in, and what does each mean? For `explain` and docs/glossary.md.

One word for one thing, in code, YAML, logs, events, command line and dashboard alike.
"""

from typing import NamedTuple


class Word(NamedTuple):
    """One word: of which kind, what it means, and what happens next where one meets it."""

    kind: str
    name: str
    meaning: str
    after: str = ""


_STATES = (
    (
        "healthy",
        "No rule names anything that is wrong here. Jobs start.",
        "Findings may be open all the same: `hpcdoctor check` shows them.",
    ),
    (
        "degraded",
        "Something is wrong, a rule says so, and the node works on. Jobs start.",
        "It goes back to healthy when the findings clear. `hpcdoctor check` has the next steps.",
    ),
    (
        "waiting",
        "A rule wants a drain, and hpcdoctor may not yet: too many nodes of the partition are out "
        "already, the scheduler does not answer, or somebody else has to say yes.",
        "It asks again by itself. `hpcdoctor status` says what it waits for. A person may drain "
        "the node at once; hpcdoctor then leaves that drain alone.",
    ),
    (
        "draining",
        "Drained at the scheduler by hpcdoctor: no new job starts. The jobs that run here finish.",
        "With the last job gone it is drained. Nothing is killed, and nothing is repaired before.",
    ),
    (
        "drained",
        "Drained by hpcdoctor, and no job runs here.",
        "The next remediation that the site has named is carried out; without one, the node is "
        "handed over. Back by hand: hpcdoctor release --why '...'",
    ),
    (
        "remediating",
        "A remediation is being carried out. It has a time limit and a count, and is never run "
        "twice for the same attempt.",
        "Then it is verified.",
    ),
    (
        "verifying",
        "A remediation has ended, or a drain of ours was found at the start: is the fault gone? "
        "The checks that asked for it must have looked again and found nothing.",
        "Verified: the node is resumed, into probation. Else: the next remediation, or handed "
        "over. ",
    ),
    (
        "probation",
        "Back in service and watched, 24 h as shipped. Jobs start.",
        "Without a repeat it ends healthy. A repeat continues the same incident with the next "
        "remediation.",
    ),
    (
        "handed_over",
        "hpcdoctor has stopped repairing, and a named team has to go on. The node stays out.",
        "Repair by the runbook of the rule, then: hpcdoctor release --why 'what was done'",
    ),
)
_VERDICTS = (
    ("ok", "The check looked and found nothing wrong. Exit code 0."),
    ("warning", "Somebody should look in working hours. It drains nothing. Exit code 1."),
    (
        "critical",
        "The thing does not do its work. A rule may drain the node for it. Exit code 2.",
    ),
    (
        "unknown",
        "What should be there could not be read, or a number was missing. It is not ok, and it "
        "never drains. Exit code 3.",
    ),
    (
        "skipped",
        "The check did not apply, and says why: the part is not in this machine, or a second "
        "reading is needed. It does not count in the node's verdict.",
    ),
)
_WANTS = (
    ("none", "The rules ask for nothing."),
    ("note", "Recorded and published. The node's state does not change."),
    ("degraded", "The node is called degraded. Jobs go on and start."),
    ("requeue", "As drain, and the running jobs go back to the queue. No shipped rule asks."),
    ("drain", "No new jobs; the running ones finish."),
    ("drain-now", "As drain, and the running jobs are not waited for. No shipped rule asks."),
)
_MODES = (
    (
        "act",
        "Decisions are carried out. The weakest of site, rule and remediation holds, so a rule "
        "that says act does nothing on a site in shadow.",
    ),
    (
        "shadow",
        "Decides and records what it would have done, and touches nothing: no drain, no repair, "
        "the gate stays open. `hpcdoctor status --would` shows what it would have done.",
    ),
    ("disabled", "The definition is not used."),
)
_AUTHORITIES = (
    ("node", "The node's own helper drains and resumes it, within a limit that it counts itself."),
    ("fleet", "The node asks; the fleet controller drains and resumes, within a hard budget."),
    ("consumer", "hpcdoctor publishes the quarantine; a program of the site drains."),
)
_CAUSES = (
    ("cause-node", "The fault is this node's own. Only such findings can drain it."),
    (
        "cause-shared",
        "The fault may be one that many nodes see: a file server, the fabric, the time. One node's "
        "view never drains for it.",
    ),
    ("cause-job", "A job did it. It never drains."),
)
_WORDS = (
    ("probe", "Reads one source, such as EDAC or NVML. It judges nothing."),
    ("reading", "What a probe saw of one thing at one moment: numbers with units."),
    ("check", "Says when a reading is wrong. A YAML file in checks/."),
    ("verdict", "What a check ends in: ok, warning, critical or unknown, or it is skipped."),
    ("finding", "One check's verdict on one thing. It is open until it clears."),
    ("evidence", "The readings and log lines behind a finding, enough to judge without a login."),
    ("rule", "Says what findings together mean for the node. A YAML file in rules/."),
    (
        "decision",
        "What the rules ask for now, weakest first: none, note, degraded, requeue, drain, "
        "drain-now. The strongest one wins.",
    ),
    ("state", "Where the node stands, from healthy to handed_over; see docs/lifecycle.md."),
    (
        "incident",
        "The whole story under one id of four characters, from the first finding until the node "
        "is healthy again or a person's.",
    ),
    (
        "epoch",
        "The number after the dot in a mark. A take-over or a repeat in probation raises it.",
    ),
    (
        "mark",
        "What a drain reason of ours begins with: hd:, the incident, a dot, the epoch, as in "
        "hd:k3f9.2. Without it a drain is somebody else's, and is never touched.",
    ),
    (
        "quarantine",
        "Our recorded claim that the node gets no new work: owner, reason, incident, since when. "
        "The drain at the scheduler carries it out.",
    ),
    ("resume", "Undoes our drain at the scheduler. A drain of somebody else is never undone."),
    ("remediation", "A repair with steps, a verification and a limit. None runs until named."),
    ("hand-over", "To stop repairing and ask the team that the rule names."),
    (
        "hold",
        "An administrator's order to leave this node alone: it is watched, nothing is touched. It "
        "survives a reboot. End it with: hpcdoctor release --hold --why '...'",
    ),
    ("held", "There is a hold on this node. A mark that can stand on any state; see hold."),
    (
        "budget",
        "How many nodes may be out by our doing. On a node alone: the larger of 1 node and 2 % of "
        "the partition (`limit` in hpcdoctor.yaml). Over it, the node is waiting.",
    ),
    ("event", "One record of something that happened, as published; see docs/events.md."),
    ("profile", "What a node of this kind is made of. Without one, nothing absent is a fault."),
    (
        "gate",
        "What Slurm's Prolog asks before a job starts. Closed only by a quarantine of ours; where "
        "it cannot know, the job starts, and it says so.",
    ),
    (
        "maintenance",
        "A time in which people work on the node: nothing is drained or repaired meanwhile.",
    ),
    (
        "acknowledged",
        "A person knows of this finding (by a release). It drives nothing until it comes again.",
    ),
    ("starved", "A probe got no processor in time. That is ours, and no fault of the node."),
    ("origin", "Where a check's threshold comes from: a standard, a vendor, or [own] judgement."),
    (
        "proven",
        "On what a check or remediation was last seen to work: real, recording or stand-in.",
    ),
)

WORDS = (
    *(Word("state", name, meaning, after.strip()) for name, meaning, after in _STATES),
    *(Word("verdict", *one) for one in _VERDICTS),
    *(Word("decision", *one) for one in _WANTS),
    *(Word("mode", *one) for one in _MODES),
    *(Word("authority", *one) for one in _AUTHORITIES),
    *(Word("cause", *one) for one in _CAUSES),
    *(Word("word", *one) for one in _WORDS),
)


def look_up(text: str) -> list[Word]:
    """Return what this text can mean, whatever its case, and with blank, `-` or `_` alike."""
    wanted = plain(text)
    return [word for word in WORDS if plain(word.name) == wanted]


def plain(text: str) -> str:
    return "-".join(text.lower().replace("_", " ").replace("-", " ").split())
