"""What of a machine may leave it in a recording? Neither secrets nor names of users and parts.

What names one machine or one part (host, MAC, GUID, UUID, serial number, IP address) and what a
user chose (process names, folders below /home) becomes a stand-in: the same for the same, so that
what belonged together still does. A stand-in is left as it is when it is met again. Environments
are cut down to the variables that tell of job and rank; command lines go.
"""

import re
from collections.abc import Mapping, Sequence

from hpcdoctor.model.job import parse_environment
from hpcdoctor.model.kernel_record import Record, parse_kmsg
from hpcdoctor.model.reading import Value

PROCESS = "process"
HOST = "node"
KERNEL_THREAD = 0x00200000

# Programs of the system, whose names a probe or a reader may need. All others are a user's.
KNOWN_PROGRAMS = re.compile(
    r"\(?(sd-pam|systemd[\w-]*|init|dbus-[\w-]*|sshd|cron|crond|agetty|login|rsyslogd|auditd|udevd"
    r"|chronyd|ntpd|ntpdate|ptp4l|phc2sys|munged|slurmd|slurmstepd|slurmctld|slurmdbd|pbs_mom"
    r"|pbs_\w+|kubelet|containerd[\w-]*|dockerd|crio|nv-fabricmanage|nv-hostengine|nvidia-\w*"
    r"|nvsm\w*|dcgm\w*|rasdaemon|mcelog|ipmi\w*|opensm|ibacm|lctl|lnetctl|rpcbind|rpc\.\w+|nfs\w*"
    r"|automount|multipathd|smartd|irqbalance|tuned|hd-lane|hpcdoctor|swapper/?\d*|kworker\S*"
    r"|ksoftirqd\S*|kswapd\d*|jbd2\S*|khugepaged|ptlrpcd\S*|ldlm\S*|ll_\S*|migration\S*|rcu_\S*"
    r"|md\d+_\S*|nvme\S*|xfs\S*|process)\)?"
)

MAC = re.compile(r"(?<![\w:])(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}(?![\w:])")
LONG_MAC = re.compile(r"(?<![\w:])(?:[0-9A-Fa-f]{2}:){19}[0-9A-Fa-f]{2}(?![\w:])")
GUID = re.compile(r"(?<![\w:])(?:[0-9A-Fa-f]{4}:){3}[0-9A-Fa-f]{4}(?![\w:])")
GID = re.compile(r"(?<![\w:])(?:[0-9A-Fa-f]{4}:){7}[0-9A-Fa-f]{4}(?![\w:])")
UUID = re.compile(
    r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}(?![0-9A-Fa-f-])"
)
# Lustre writes MGC10.0.0.1@o2ib.
IP = re.compile(r"(?:(?<![\w.-])|(?<=MGC))((?:\d{1,3}\.){3}\d{1,3})(?![\w-]|\.\d)")
IP6_OPTION = re.compile(r"(addr=)([0-9A-Fa-f]*:[0-9A-Fa-f:.]*)")
IP6 = re.compile(r"(?<![\w:])(?:[0-9A-Fa-f]{0,4}:){2,7}:?[0-9A-Fa-f]{1,4}(?![\w:.])")
SECRET = re.compile(
    r"(?i)((?:pass(?:word|wd|phrase)?|secret\w*|\w*token|\w*api_?key|access_key|credentials?"
    r"|user(?:name)?|domain|cred)=)[^\s,;\"']+"
)
# A Lustre server is `mgs@o2ib:` as well.
LOGIN = re.compile(
    r"(?<![\w.@-])[A-Za-z_][\w.-]*(?::[^@\s/,]*)?@(?!(?:tcp|o2ib|kfi|gni|lo)\d*\b)(?=[\w.-]+:)"
)
URL_LOGIN = re.compile(r"(//)[^@\s/,]+@")
HOME = re.compile(r"(/(?:home|users|Users|u)/)([^/\s:,;\"'()\\]+)")
SERIAL_LINE = re.compile(r"(?im)^(.*\b(?:serial|asset tag|system guid)\b[^:\n]*:[ \t]*)(\S.*)$")

# Files that hold nothing but the number of one part or machine.
SERIAL_FILES = re.compile(
    r"(?:.*/)?(?:serial|serial_number|serialnumber|\w+_serial|\w*asset_tag|machine-id|wwid|nguid"
    r"|eui|vpd_pg8[03]|subsysnqn|hostnqn|hostid|node_desc|cid|unique_id|sas_address)"
)
SERIAL_FIELDS = frozenset({"serial", "serial_number", "uuid", "wwid", "address_of_target"})
USERS_FIELDS = frozenset({"command", "comm", "user", "username", "process"})
# Where addresses of machines stand; elsewhere four numbers and dots are a version.
WITH_ADDRESSES = re.compile(
    r"proc/[^/]+/mount\w*|proc/cmdline|proc/net/.*|proc/fs/.*|sys/fs/.*|sys/kernel/debug/.*"
    r"|etc/fstab|.*\.mount|dev/kmsg|commands/.*|var/.*|sys/class/nvme/.*"
)
# No text: a few bytes of a device's registers, and what a package brought.
SMALL_BINARY = 4096
SYSTEM_BINARY = re.compile(r"etc/ld\.so\.cache$|(?:usr/)?lib/modules/|var/lib/dkms/")
PROCESS_FILE = re.compile(r"proc/(?:\d+|self)/(?:task/\d+/)?(\w+)")

# Names of processes in the kernel's own sentences: what stands in the group is a user's word.
IN_LOG = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?<=\btask=)([^,\s]+)",
        r"(?<=\bKilled process )(?:\d+ )\((.*?)\)(?=[, ])",
        r"\b(?:INFO: )?task (.+?):\d+ (?:blocked|is blocked)",
        r"^(.+?) invoked oom-killer",
        r"^(.+?)\[\d+\]: (?:segfault|bad frame|unhandled)",
        r"\bComm: (.+?) (?:Not tainted|Tainted|Kdump)",
        r"\bcomm (\S+?):? ",
        r"\bcomm=\"?([^\s\",]+)",
        r"stuck for \d+s! \[(.+?):\d+\]",
        r"\bpid=\d+, name=([^\s,]+)",
        r"^(?:Out of memory|Memory cgroup out of memory): .*\((.*?)\)",
        r"\bprocess '([^']+)'",
    )
)
USERS_UNIT = re.compile(r"(user@\d+\.service(?:/\w+\.slice)*)/[^\s,:]+")
MAPPED_FILE = re.compile(r"(?<=file=)(?!/(?:usr|lib|lib64|dev|SYSV|process\b))\S+")


# What has a form of its own, and the form of its stand-in: its digits go where the x are.
FORMS = (
    (LONG_MAC, "hardware address", ":".join(["00"] * 17) + ":xx:xx:xx"),
    (MAC, "hardware address", "02:00:00:00:xx:xx"),
    (GID, "guid", "fe80:0000:0000:0000:0200:0000:0000:xxxx"),
    (GUID, "guid", "0200:0000:0000:xxxx"),
    (UUID, "uuid", "00000000-0000-4000-8000-xxxxxxxxxxxx"),
)


class Scrubber:
    """Stand-ins for one recording. `hosts` are the names of the machine itself."""

    def __init__(self, hosts: Sequence[str] = ()) -> None:
        self._stand_ins: dict[tuple[str, str], int] = {}
        self._counts: dict[str, int] = {}
        names = {part for host in hosts for part in (host, host.partition(".")[0])}
        words = sorted(names - {"", "localhost", HOST, "(none)"}, key=len, reverse=True)
        self._hosts = (
            re.compile(
                rf"(?i)(?<![\w-])(?:{'|'.join(map(re.escape, words))})(?:\.[\w.-]+)?(?![\w-])"
            )
            if words
            else None
        )

    # Files

    def file(self, path: str, data: bytes) -> bytes | None:
        """Return what may be kept of a file; None where nothing may."""
        if path == "dev/kmsg":
            return self._log(data)
        if process := PROCESS_FILE.fullmatch(path):
            return self._process_file(process[1], data)
        if SERIAL_FILES.fullmatch(path):
            return self._serial_file(data)
        if path == "proc/net/route":
            return self._routes(data)
        if path == "proc/net/ipv6_route":
            return self._routes6(data)
        try:
            text = data.decode()
        except UnicodeDecodeError:
            small = len(data) <= SMALL_BINARY or SYSTEM_BINARY.match(path) is not None
            return data if small and not self._holds_host(data) else None
        if "\0" in text:
            return data if self.text(text) == text else None
        scrubbed = self.text(text, addresses=WITH_ADDRESSES.fullmatch(path) is not None)
        if path.startswith("commands/") or path.endswith("/information"):
            scrubbed = SERIAL_LINE.sub(
                lambda found: found[1] + self._stand_in("serial", found[2], "SERIAL"), scrubbed
            )
        return scrubbed.encode()

    def _holds_host(self, data: bytes) -> bool:
        return bool(self._hosts and self._hosts.search(data.decode("latin-1")))

    def path(self, path: str) -> str:
        """Return a path below the root without names of users and parts.

        The kernel's own folders are not named after a host, though a host may be named as one.
        """
        hosts = not path.startswith(("proc/", "sys/"))
        addresses = WITH_ADDRESSES.fullmatch(path) is not None
        return self.text(f"/{path}", addresses=addresses, hosts=hosts).lstrip("/")

    def text(self, text: str, *, addresses: bool = False, hosts: bool = True) -> str:
        """Return the text with stand-ins for all that has a form by which it is known."""
        for pattern, kind, form in FORMS:
            text = pattern.sub(lambda found, k=kind, f=form: self._number(k, found[0], f), text)  # type: ignore[misc]  # mypy knows no lambda with defaults
        text = SECRET.sub(_keep_ours, text)
        text = URL_LOGIN.sub(r"\1", text)
        if addresses:
            text = IP.sub(lambda m: self._ip(m[1]), text)
            text = IP6_OPTION.sub(r"\1fe80::1", text)
            text = LOGIN.sub("user@", text)
        text = HOME.sub(lambda found: found[1] + self._stand_in("user", found[2], "user"), text)
        text = USERS_UNIT.sub(rf"\1/{PROCESS}.scope", text)
        return self._hosts.sub(HOST, text) if self._hosts and hosts else text

    def _stand_in(self, kind: str, value: str, head: str) -> str:
        """Return the stand-in of this value: head and number; of a stand-in itself."""
        if re.fullmatch(rf"{head}\d+", value):
            return value
        return f"{head}{self._count(kind, value)}"

    def _number(self, kind: str, value: str, form: str) -> str:
        """Return the stand-in of a hexadecimal value, in its own form; nothing but 0 or f stays."""
        bare = re.sub("[:-]", "", value.lower())
        digits = form.count("x")
        if bare.strip("0") == "" or bare.strip("f") == "" or _is_of(form, value):
            return value
        number = iter(f"{self._count(kind, bare):0{digits}x}"[-digits:])
        return "".join(next(number) if char == "x" else char for char in form)

    def _count(self, kind: str, value: str) -> int:
        return self._stand_ins.setdefault((kind, value), self._next(kind, value))

    def _next(self, kind: str, value: str) -> int:
        if (kind, value) not in self._stand_ins:
            self._counts[kind] = self._counts.get(kind, 0) + 1
        return self._counts[kind]

    def _ip(self, value: str) -> str:
        numbers = [int(part) for part in value.split(".")]
        documentation = value.startswith(("192.0.2.", "198.51.100."))
        if max(numbers) > 255 or numbers[0] in (0, 127, 255) or documentation:
            return value
        number = self._count("ip", value) - 1
        return ("192.0.2.", "198.51.100.")[number // 254 % 2] + str(number % 254 + 1)

    def _serial_file(self, data: bytes) -> bytes:
        text = data.decode(errors="backslashreplace").strip()
        return (self._stand_in("serial", text, "SERIAL") if text else "").encode() + b"\n"

    def _routes(self, data: bytes) -> bytes:
        """Keep interface, flags and which routes are the default; no address."""
        kept = []
        for line in data.decode(errors="backslashreplace").splitlines():
            words = line.split("\t")
            if len(words) >= 8 and words[0] != "Iface":
                if words[1] != "00000000":
                    continue
                words[2] = "00000000" if words[2].strip("0") == "" else "010200C0"
            kept.append("\t".join(words))
        return "".join(f"{line}\n" for line in kept).encode()

    def _routes6(self, data: bytes) -> bytes:
        kept = []
        for line in data.decode(errors="backslashreplace").splitlines():
            words = line.split()
            if len(words) >= 10 and words[0] == "0" * 32 and words[1] == "00":
                words[4] = "0" * 32 if words[4].strip("0") == "" else "fe80" + "0" * 27 + "1"
                kept.append(" ".join(words))
        return "".join(f"{line}\n" for line in kept).encode()

    # Processes

    def _process_file(self, name: str, data: bytes) -> bytes | None:
        if name == "environ":
            variables = parse_environment(data)
            return b"".join(
                f"{key}={self.text(value)}\0".encode() for key, value in variables.items()
            )
        if name in ("cmdline", "exe", "cwd", "root", "maps", "smaps", "fd", "fdinfo", "io", "auxv"):
            return None
        text = data.decode(errors="backslashreplace")
        if name == "stat":
            head, bracket, tail = text.rpartition(")")
            number, _, command = head.partition("(")
            fields = tail.split()
            flags = int(fields[6]) if len(fields) > 6 and fields[6].isdecimal() else 0
            if bracket and not flags & KERNEL_THREAD:
                command = program(command)
            return f"{number}({command}{bracket}{tail}".encode()
        if name == "comm":
            return f"{program(text.strip())}\n".encode()
        if name == "status":
            lines = []
            for line in text.splitlines():
                if line.startswith("Name:"):
                    line = f"Name:\t{program(line[5:].strip())}"
                if not line.startswith("Groups:"):
                    lines.append(line)
            return "".join(f"{line}\n" for line in lines).encode()
        if name == "sched":  # the first line is the name
            first, newline, rest = text.partition("\n")
            command, bracket, tail = first.partition(" (")
            return f"{program(command.strip())}{bracket}{tail}{newline}{rest}".encode()
        mounts = name in ("mountinfo", "mountstats", "mounts")
        return MAPPED_FILE.sub(f"/{PROCESS}", self.text(text, addresses=mounts)).encode()

    # The kernel log

    def _log(self, data: bytes) -> bytes:
        """Keep the kernel's own lines, without the names of processes."""
        kept = []
        for line in data.split(b"\n"):
            record = parse_kmsg(line)
            if record is not None and record.facility == 0:
                kept.append(self._record(line, record))
        return b"".join(kept)

    def _record(self, line: bytes, record: Record) -> bytes:
        head = line.partition(b";")[0]
        text = self.text(without_names(record.text), addresses=True)
        body = "".join(
            char if " " <= char <= "~" and char != "\\" else _escaped(char) for char in text
        )
        return head + b";" + body.encode() + b"\n"

    # Readings

    def reading(self, fields: Mapping[str, Value]) -> dict[str, Value]:
        """Return a reading as it may be kept."""
        names = [
            str(value)
            for key, value in fields.items()
            if key in USERS_FIELDS and value and program(str(value)) == PROCESS
        ]
        names += [
            found[1]
            for value in fields.values()
            if isinstance(value, str)
            for pattern in IN_LOG
            for found in pattern.finditer(value)
            if program(found[1]) == PROCESS
        ]
        return {key: self._value(key, value, names) for key, value in fields.items()}

    def _value(self, key: str, value: Value, names: Sequence[str]) -> Value:
        if isinstance(value, list):
            return [str(self._value(key, item, names)) for item in value]
        if not isinstance(value, str) or not value:
            return value
        if key in SERIAL_FIELDS and UUID.search(value) is None:
            return self._stand_in("serial", value, "SERIAL")
        if key in USERS_FIELDS:
            return program(value)
        for name in names:
            value = value.replace(name, PROCESS)
        addresses = "version" not in key and "firmware" not in key
        value = self.text(without_names(value), addresses=addresses)
        return SERIAL_LINE.sub(
            lambda found: found[1] + self._stand_in("serial", found[2], "SERIAL"), value
        )


def program(name: str) -> str:
    """Return the name of a program of the system, else the word that stands for all others."""
    return name if KNOWN_PROGRAMS.fullmatch(name) else PROCESS


def without_names(text: str) -> str:
    """Return a sentence of the kernel without the names of users' processes."""
    for pattern in IN_LOG:
        text = pattern.sub(_replace_group, text)
    return text


def _replace_group(found: "re.Match[str]") -> str:
    start, end = found.span(1)
    whole, begin = found[0], found.start()
    return whole[: start - begin] + program(found[1]) + whole[end - begin :]


def _keep_ours(found: "re.Match[str]") -> str:
    """The owner of a mount by FUSE is a number, and `user_id=0` means root."""
    return f"{found[1]}left-out"


def _is_of(form: str, value: str) -> bool:
    return re.fullmatch(form.replace("x", "[0-9a-f]"), value) is not None


def _escaped(char: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in char.encode())
