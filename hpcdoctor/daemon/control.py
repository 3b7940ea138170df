"""How do people on this machine talk to the daemon? One question a connection, over a unix socket.

A question is one line of JSON; the answer is one line with the exit code and then the text, so
that the fast commands need no JSON of their own. Who may ask what: callers.py.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import structlog

from hpcdoctor.daemon.callers import ADMINS, Caller, Right, identify

log = structlog.get_logger()

LONGEST_QUESTION = 1 << 16
PATIENCE_SECONDS = 5.0
NO_RIGHT = 77  # sysexits: EX_NOPERM
WRONG_USAGE = 64


class Check(msgspec.Struct, frozen=True, tag="check", forbid_unknown_fields=True):
    """What is wrong now?"""

    names: list[str] = []
    json: bool = False
    width: int = 80
    colour: bool = False
    verbose: bool = False
    brief: bool = False  # one line
    ascii: bool = False  # the terminal shows no other letters


class Status(msgspec.Struct, frozen=True, tag="status", forbid_unknown_fields=True):
    """Where does the node stand, and hpcdoctor itself?"""

    json: bool = False
    width: int = 80
    would: bool = False  # only what the rules in shadow ask for


class Hold(msgspec.Struct, frozen=True, tag="hold", forbid_unknown_fields=True):
    """Leave this node alone."""

    why: str
    until_seconds: float | None = None  # from now; None: until it is lifted


class Release(msgspec.Struct, frozen=True, tag="release", forbid_unknown_fields=True):
    """End the hold, the quarantine, or whichever of the two stands."""

    why: str
    hold: bool = False
    quarantine: bool = False


class Repair(msgspec.Struct, frozen=True, tag="repair", forbid_unknown_fields=True):
    """Carry out a remediation, under the same guards as the ladder's."""

    why: str
    remediation: str
    subject: dict[str, str] = {}  # default: what the incident is about


class StandDown(msgspec.Struct, frozen=True, tag="stand-down", forbid_unknown_fields=True):
    """Stop acting; give back what is ours, or leave it to a person."""

    why: str
    release: bool = False


Question = Check | Status | Hold | Release | Repair | StandDown
NEEDS_ADMIN = (Hold, Release, Repair, StandDown)


class Answer(msgspec.Struct, frozen=True):
    """What is printed, and the exit code."""

    text: str
    code: int = 0


class Control:
    """The socket and the conversation; what the answers are is `respond`'s business."""

    def __init__(
        self,
        path: Path,
        respond: Callable[[Question, Caller], Awaitable[Answer]],
        own_user: int,
    ) -> None:
        self._path = path
        self._respond = respond
        self._own_user = own_user

    async def run(self) -> None:
        """Listen until cancelled; everybody may connect, and what they may ask is checked."""
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(self._path))
        self._path.chmod(0o666)
        server = await asyncio.start_unix_server(
            self._converse, sock=listener, limit=LONGEST_QUESTION
        )
        try:
            async with server:
                await server.serve_forever()
        finally:
            self._path.unlink(missing_ok=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                caller = identify(writer.get_extra_info("socket"), self._own_user)
                line = await reader.readuntil(b"\n")
                answer = await self._answer(line, caller)
                writer.write(f"{answer.code}\n{answer.text}".encode())
                await writer.drain()
        except (OSError, EOFError, TimeoutError, ValueError, asyncio.LimitOverrunError) as error:
            log.info("control.broken", reason=str(error))
        finally:
            writer.close()

    async def _answer(self, line: bytes, caller: Caller) -> Answer:
        try:
            question = msgspec.json.decode(line, type=Question)
        except msgspec.MsgspecError as error:
            return Answer(f"hpcdoctor: the question is not understood: {error}\n", WRONG_USAGE)
        if isinstance(question, NEEDS_ADMIN) and caller.right is not Right.ADMIN:
            return Answer(
                f"hpcdoctor: {caller.name} may not do this; it is for root and for members of the "
                f"group {ADMINS}\n",
                NO_RIGHT,
            )
        return await self._respond(question, caller)
