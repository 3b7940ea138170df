"""Which page is asked for? Writes it to standard output."""

import sys
from collections.abc import Callable
from functools import partial

from hpcdoctor.report.pages import (
    alerts,
    check_json,
    checks,
    dashboard,
    example,
    glossary,
    lifecycle,
    lint,
    metrics,
    schemas,
    settings,
    troubleshooting,
)

PAGES: dict[str, Callable[[], str]] = {
    "alerts": alerts.render,
    "check-json": check_json.render,
    "checks": checks.render,
    "dashboard": dashboard.render,
    "example": example.render,
    "glossary": glossary.render,
    "lifecycle": lifecycle.render,
    "lint": lint.render,
    "metrics": metrics.render,
    "settings": settings.render,
    "troubleshooting": troubleshooting.render,
    **{f"schema-{kind}": partial(schemas.render, kind) for kind in schemas.KINDS},
}


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in PAGES:
        sys.stderr.write(f"usage: python -m hpcdoctor.report.pages {' | '.join(PAGES)}\n")
        return 64
    sys.stdout.write(PAGES[arguments[0]]())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
