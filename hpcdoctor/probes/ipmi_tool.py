"""How is the board's management controller (BMC) asked, when an answer may take a minute?

Many controllers need longer for all their sensors than a look may take. So the question goes on in
a thread of the probe's own child: a look waits a moment for it, and else shows the last answer; the
next look takes what has come in meanwhile. One question of a kind is under way at a time.
"""

import threading
from collections.abc import Sequence

import msgspec

from hpcdoctor.model.reading import Absent, NeedsSecondReading, Unavailable
from hpcdoctor.probes.files import list_names
from hpcdoctor.probes.host import Host, Ran

DEVICES = ("dev/ipmi0", "dev/ipmi/0", "dev/ipmidev/0")
PATIENCE_SECONDS = 1.5  # of one look, for one question
VISITORS_PATIENCE_SECONDS = 0.5  # of a person who looks once
TIMEOUT_SECONDS = 120.0
OLDEST_ANSWER_SECONDS = 1200.0  # shown in place of one that is still to come


class Answer(msgspec.Struct, frozen=True):
    """What came of one question: a text, or why there is none."""

    text: str = ""
    trouble: str = ""
    absent: bool = False


class Question:
    """One call of the tool, in a thread."""

    def __init__(self, host: Host, arguments: Sequence[str]) -> None:
        self.answer: Answer | None = None
        self._thread = threading.Thread(target=self._ask, args=(host, list(arguments)), daemon=True)
        self._thread.start()

    def _ask(self, host: Host, arguments: list[str]) -> None:
        try:
            self.answer = said(host.run(["ipmitool", *arguments], TIMEOUT_SECONDS))
        except Absent as error:
            self.answer = Answer(trouble=str(error), absent=True)
        except Unavailable as error:
            self.answer = Answer(trouble=str(error))

    def wait(self, seconds: float) -> Answer | None:
        self._thread.join(seconds)
        return self.answer


def find_controller(host: Host) -> None:
    """Raise Absent where there is no controller, or, in a recording, nothing of it."""
    if not host.live:
        if not any(name.startswith("ipmitool") for name in list_names(host.root / "commands")):
            raise Absent("the recording holds nothing of a BMC")
    elif not any((host.root / device).exists() for device in DEVICES):
        raise Absent("there is no /dev/ipmi0: no BMC, or its driver ipmi_devintf is not loaded")


def ask(host: Host, *arguments: str) -> str:
    """Return what `ipmitool ARGUMENTS` says.

    NeedsSecondReading while the first answer is still to come; Unavailable where the controller
    gives none.
    """
    if not host.live:
        return told(said(host.run(["ipmitool", *arguments], TIMEOUT_SECONDS)))
    now = host.clock().boottime
    questions: dict[tuple[str, ...], Question] = host.memory.setdefault("ipmi questions", {})
    answers: dict[tuple[str, ...], tuple[float, Answer]] = host.memory.setdefault(
        "ipmi answers", {}
    )
    question = questions.get(arguments) or Question(host, arguments)
    questions[arguments] = question
    answer = question.wait(VISITORS_PATIENCE_SECONDS if host.visiting else PATIENCE_SECONDS)
    if answer is not None:
        del questions[arguments]
        answers[arguments] = (now, answer)
        return told(answer)
    taken, last = answers.get(arguments, (0.0, None))
    if last is not None and now - taken <= OLDEST_ANSWER_SECONDS:
        return told(last)  # also that there was none: a controller that hangs is not well meanwhile
    raise NeedsSecondReading("the BMC has been asked and has not answered yet")


def said(ran: Ran) -> Answer:
    """Return the answer; a tool that complains of one sensor may still have told the others."""
    if ran.out.strip() or ran.status == 0:
        return Answer(text=ran.out)
    lines = [line.strip() for line in ran.err.splitlines()]
    # The last one says how it ended; some versions miss a file of theirs, and say so each time.
    complaints = [line for line in lines if line and not line.startswith("IANA PEN registry")]
    trouble = complaints[-1][:120] if complaints else f"ipmitool ended with status {ran.status}"
    return Answer(trouble=f"the BMC gives no answer: {trouble}")


def told(answer: Answer) -> str:
    if answer.absent:
        raise Absent(answer.trouble)
    if answer.trouble:
        raise Unavailable(answer.trouble)
    return answer.text


def columns(line: str) -> list[str]:
    """Return the fields of one line of ipmitool's tables."""
    return [field.strip() for field in line.split("|")]
