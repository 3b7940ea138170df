"""`hpcdoctor daemon`: the process that judges, decides, remembers and tells."""

import logging
import os
import sys

import structlog

from hpcdoctor.cli.process import parse
from hpcdoctor.daemon.main import main as run
from hpcdoctor.daemon.store import StoreUnusable
from hpcdoctor.migration import WrittenByNewer

NO_STORE = 73  # sysexits: EX_CANTCREAT
WRITTEN_BY_NEWER = 78  # as a wrong configuration: it does not get better by trying again


def main(arguments: list[str]) -> int:
    options = parse("daemon", arguments, flags=("--accept-user-kernel-log",))
    _log_as_json()
    try:
        code = run(options.config, accept_user_kernel_log=options.accept_user_kernel_log)
    except WrittenByNewer as error:
        print(f"hpcdoctor: {error}", file=sys.stderr)
        return WRITTEN_BY_NEWER
    except StoreUnusable as error:
        print(f"hpcdoctor: {error}", file=sys.stderr)
        return NO_STORE
    sys.stderr.flush()
    # Not `return`: a store's thread that waits for a dead disk would hold up the exit for ever.
    os._exit(code)


def _log_as_json() -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
