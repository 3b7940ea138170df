"""What are NHC's check_ps_* to us?"""

from hpcdoctor.nhc.notes import Call, Code, Notes, Remedy
from hpcdoctor.nhc.remedies import commands, unit

VERBS = {"S": "start", "r": "restart", "c": "restart"}


def convert(call: Call, notes: Notes) -> None:
    for text in call.values("m") if call.check != "check_ps_daemon" else ():
        notes.mstr(text, "the process")
    match call.check:
        case "check_ps_service":
            _service(call, notes)
        case "check_ps_daemon" | "check_ps_blacklist":
            notes.warn(Code.OBSOLETE, f"{call.check} is replaced by check_ps_service")
            if not call.rest:
                notes.why_not = f"{call.check} names no command"
        case "check_ps_loadavg":
            notes.better.append(
                "load-high compares the load with the number of cpus, over 10 minutes"
            )
        case "check_ps_kswapd":
            _actions(call.rest[2:], notes)
            if len(call.rest) < 2:
                notes.why_not = "check_ps_kswapd needs seconds and a ratio"
        case "check_ps_unauth_users" | "check_ps_userproc_lineage":
            _users(call, notes)
        case _:
            _resource(call, notes)


def _service(call: Call, notes: Notes) -> None:
    name = " ".join(call.rest)
    if not name and not call.values("dm"):
        notes.why_not = "check_ps_service names no service"
        return
    daemon = (call.values("d") or [name])[-1]
    if daemon == "sshd" and not call.values("m"):
        notes.warn(
            Code.SSHD_TITLE,
            "OpenSSH calls itself `sshd: ...`, which `*sshd` does not "
            "match, so NHC reports a running "
            "sshd as missing; taken over as `sshd` or `sshd:`",
        )
        notes.words = [
            *call.words[: len(call.words) - len(call.rest)],
            "-m",
            "?(*/)sshd?(:)",
            *call.rest,
        ]
    for letter in ("r", "c", "S"):
        if call.has(letter):
            verb, service = VERBS[letter], unit(name)
            text = f"-{letter} {verb}s {name}: written as a remediation, disabled"
            if letter == "S":
                notes.told.append(text)
            else:
                notes.warn(Code.DESTRUCTIVE, text)
            if service:
                run = ["systemctl", verb, service]
                notes.remedies.append(Remedy(f"{verb.capitalize()} {name}", run))
    for letter, does in (("s", "stops"), ("k", "kills")):
        if call.has(letter):
            notes.warn(Code.DESTRUCTIVE, f"-{letter} {does} {name}: it is told of, nothing more")
    # With one of these, it is a failure that the process is there.
    inverted = any(call.has(letter) for letter in "skE")
    failing, well = ("E", "e") if inverted else ("e", "E")
    commands(call, notes, failing=failing, well=well)
    service = unit(name)
    if service and not (call.has("s") or call.has("k") or call.has("E")):
        notes.better.append(
            f"`services: units: [{service}]` in the profile asks systemd, which also tells failed, "
            "restarting and masked; restart-service can then mend it"
        )


def _resource(call: Call, notes: Notes) -> None:
    if not call.rest:
        notes.why_not = f"{call.check} names no limit"
        return
    for letter in "ls":
        if call.has(letter):
            notes.warn(Code.NOOP_OPTION, f"-{letter} of {call.check} has no effect in NHC either")
    for letter, does in (("k", "kills it"), ("K", "kills its parent")):
        if call.has(letter):
            notes.warn(Code.DESTRUCTIVE, f"-{letter} {does}: it is told of, nothing is killed")
    if call.values("r"):
        notes.warn(Code.DESTRUCTIVE, "-r changes its priority: it is told of, nothing more")
    commands(call, notes, failing="e", well="")
    if call.check == "check_ps_cpu":
        notes.told.append("the share of cpu is that of the whole life of the process")


def _users(call: Call, notes: Notes) -> None:
    ignored = call.values("cunp")
    if ignored:
        notes.warn(
            Code.SUBSTRING_IGNORE,
            f"NHC ignores whatever is a part of {' '.join(ignored)}, as "
            "10 of 1000; here it has to be "
            "the whole",
        )
    _actions(call.rest, notes)
    if call.check == "check_ps_unauth_users":
        notes.better.append("where squeue fails nobody is called unauthorized; it is unknown")


def _actions(actions: list[str], notes: Notes) -> None:
    if "kill" in actions:
        notes.warn(Code.DESTRUCTIVE, "`kill` kills what is found: it is told of, nothing is killed")
