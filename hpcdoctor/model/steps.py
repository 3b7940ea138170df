"""What of a next step is a command to copy, and what is a sentence?"""

import re

# The programs that next steps name. What begins with another word is read as a sentence.
PROGRAMS = frozenset(
    """
    amd-smi apt-mark cat chronyc cpupower date dcgmi devlink df dig dkms dmesg dmidecode du echo
    edac-util ethtool find findmnt free fuser getent grep hpcdoctor ibdev2netdev iblinkinfo ibstat
    ibv_devinfo id iotop ip iostat ipcs ipcrm ipmitool iscsiadm journalctl kill last lctl less lfs
    lnetctl ls lsblk lscpu lsmod lsof lspci mcelog mdadm mlxconfig mlxfwreset mlxlink mmgetstate
    modinfo modprobe mount mountstats mpstat multipath munge needs-restarting networkctl nfsiostat
    nfsstat nmcli nstat numactl numastat nv-fabricmanager nvidia-smi nvme ofed_info perfquery
    pidstat ping ps quota ras-mc-ctl rdma rocm-smi rpcinfo rpm sacct scontrol sensors sha256sum
    showmount sinfo smartctl sminfo squeue srun ss storcli swapoff swapon sysctl systemctl
    systemd-cgtop time timedatectl top turbostat umount uname vmstat xfs_repair
    """.split()  # noqa: SIM905  # a list of so many is harder to read
)

_BACKTICKS = re.compile(r"(?P<words>[^`]*?):? ?`(?P<command>[^`]+)`")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|\\.")


def taken_apart(step: str) -> list[tuple[bool, str]]:
    """Return the step in order, each piece a command (True) or words (False)."""
    pieces: list[tuple[bool, str]] = []
    for part in _parts(step):
        for command, text in _piece(part):
            if pieces and not command and not pieces[-1][0]:
                pieces[-1] = (False, f"{pieces[-1][1]}; {text}")
            else:
                pieces.append((command, text))
    return pieces


def _piece(part: str) -> list[tuple[bool, str]]:
    if is_command(part):
        return [(True, part)]
    found = _BACKTICKS.fullmatch(part)
    if found is not None and all(map(is_command, _parts(found["command"]))):
        before = [(False, str(found["words"]) + ":")] if found["words"] else []
        return [*before, *((True, command) for command in _parts(str(found["command"])))]
    words, colon, rest = part.partition(": ")
    while colon and "`" not in part:
        if is_command(rest):
            return [(False, words + ":"), (True, rest)]
        more, colon, rest = rest.partition(": ")
        words = f"{words}: {more}"
    return [(False, part)]


def is_command(text: str) -> bool:
    """Tell whether this can be copied into a shell as it is."""
    outside = _QUOTED.sub("", text)
    first = text.split(maxsplit=1)[0] if text.strip() else ""
    return first in PROGRAMS and ", " not in outside and " (" not in outside


def continued(command: str, room: int) -> list[str]:
    """Return the command in lines that a shell takes as one: broken with backslashes, if at all.

    A line that can be broken nowhere (one long quoted word) stays longer than the room.
    """
    lines: list[str] = []
    line = ""
    for word in _words(command):
        longer = f"{line} {word}" if line else word
        if line and len(longer) > room - 2:
            lines.append(line + " \\")
            line = "  " + word
        else:
            line = longer
    return [*lines, line]


def _words(command: str) -> list[str]:
    """Split at spaces outside of quotes."""
    words, quote, word = [], "", ""
    for char in command:
        if char == " " and not quote:
            if word:
                words.append(word)
            word = ""
            continue
        if char in "'\"":
            quote = "" if char == quote else quote or char
        word += char
    return [*words, word] if word else words


def _parts(text: str) -> list[str]:
    """Split at "; " outside of quotes."""
    parts, quote, part = [], "", ""
    for char in text:
        if char in "'\"`":
            quote = "" if char == quote else quote or char
        part += char
        if part.endswith("; ") and not quote:
            parts.append(part[:-2])
            part = ""
    return [*parts, part] if part.strip() else parts
