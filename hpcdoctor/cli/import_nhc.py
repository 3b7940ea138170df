"""`hpcdoctor import-nhc`: what is a site's nhc.conf in our own files, and what did it never do?"""

import os
import re
import socket
import stat
import sys
from pathlib import Path

from hpcdoctor.cli.ask import terminal_width
from hpcdoctor.cli.parser import Parser
from hpcdoctor.model.json_text import json_text
from hpcdoctor.model.text import visible
from hpcdoctor.nhc.convert import Import, convert_file
from hpcdoctor.nhc.emit import files_of
from hpcdoctor.nhc.lines import looks_like_nhc_conf
from hpcdoctor.nhc.report import document, render

MOST_BYTES = 4 << 20
HOST = re.compile(r"[A-Za-z0-9_.-]{1,255}")
NEEDS_WORK = 1
BINARY = re.compile(rb"[\x01-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def main(arguments: list[str]) -> int:
    parser = Parser(
        prog="hpcdoctor import-nhc",
        description="Take an nhc.conf over: a report, and with --output the files for it. "
        "Exit code: 0 every line is taken over, 1 some are not.",
        allow_abbrev=False,
    )
    parser.add_argument("file", type=Path, help="the nhc.conf")
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="write the files here; new, or empty"
    )
    parser.add_argument(
        "--installed",
        type=Path,
        metavar="FOLDER",
        help="where they will be read from, as in /etc/hpcdoctor (default: the output folder)",
    )
    parser.add_argument(
        "--host",
        action="append",
        default=[],
        metavar="NAME",
        help="as the node's kernel has its name; again for more, each in a folder of its own "
        "(default: this machine)",
    )
    parser.add_argument(
        "--functions",
        action="append",
        type=Path,
        default=[],
        metavar="FILE",
        help="a file of the site's own checks (*.nhc), which lines may then call",
    )
    parser.add_argument("--json", action="store_true", help="for scripts; hpcdoctor.import-nhc/1")
    options = parser.parse_args(arguments)
    hosts: list[str] = list(dict.fromkeys(options.host)) or [socket.gethostname()]
    for host in hosts:
        if HOST.fullmatch(host) is None or host in (".", ".."):
            parser.error(f"--host {host!r} cannot be the name of a host")
    text = _read(parser, options.file)
    if not looks_like_nhc_conf(text):
        parser.error(
            f"{options.file} does not look like an nhc.conf: no line of it has `||` between host "
            "and check, as in `* || check_hw_eth eth0`"
        )
    names = [name for path in options.functions for name in _functions(parser, path)]
    functions = [path.absolute() for path in options.functions]
    reports = []
    output: Path | None = options.output
    if output is not None:
        _make_room(parser, output)
    for host in hosts:
        imported = convert_file(text, options.file.name, host, names)
        part = Path(host) if len(hosts) > 1 else Path()
        written: list[str] = []
        if output is not None:
            final = ((options.installed or output) / part).absolute()
            written = _write(imported, output / part, final, functions)
        reports.append(document(imported, written))
    if options.json:
        found: object = reports[0] if len(reports) == 1 else reports
        print(json_text(found))
    else:
        width = terminal_width()
        print("\n".join(render(each, width) for each in reports), end="")
        if output is not None:
            _what_next(output, hosts)
    return NEEDS_WORK if any(each.totals.unconverted for each in reports) else 0


def _read(parser: Parser, path: Path) -> str:
    try:
        # A FIFO would have us wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            parser.error(f"{path} is not a plain file; save what it gives in one, and name that")
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        parser.error(f"{path}: {error.strerror}")
    if len(content) > MOST_BYTES:
        parser.error(f"{path} is larger than {MOST_BYTES >> 20} MiB; that is no nhc.conf")
    if b"\0" in content:
        line = content[: content.index(b"\0")].count(b"\n") + 1
        parser.error(f"{path}:{line}: holds a zero byte; that is no text, and so no nhc.conf")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        if BINARY.search(content):
            parser.error(f"{path}:{line}: is no text, and so no nhc.conf")
        # An old comment in Latin 1 is no reason to refuse a file.
        print(f"hpcdoctor: {path}:{line}: is not UTF-8; read as Latin 1", file=sys.stderr)
        return content.decode("latin-1")


def _functions(parser: Parser, path: Path) -> list[str]:
    """Return the names of the functions that a site's file defines."""
    text = _read(parser, path)
    return re.findall(r"^\s*(?:function\s+)?([A-Za-z_]\w*)\s*\(\)", text, re.MULTILINE)


def _make_room(parser: Parser, output: Path) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
        there = sorted(entry.name for entry in os.scandir(output))
    except OSError as error:
        parser.error(f"--output {output}: {error.strerror}")
    if there:
        parser.error(
            f"--output {output} is not empty ({there[0]}); name a new folder, so that nothing of "
            "yours is written over"
        )


def _write(imported: Import, output: Path, final: Path, functions: list[Path]) -> list[str]:
    files = files_of(imported, final, functions)
    for name, content in files.items():
        path = output / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o644)
    for folder in (output, *output.rglob("*/")):
        if folder.is_dir():
            folder.chmod(0o755)
    return sorted(files)


def _what_next(output: Path, hosts: list[str]) -> None:
    where = output / hosts[0] if len(hosts) > 1 else output
    print(f"\nWritten to {visible(str(output))}. Next:")
    print(f"  hpcdoctor lint --config {visible(str(where))}")
    print(f"  hpcdoctor check --here --config {visible(str(where))}")
    sys.stdout.flush()
