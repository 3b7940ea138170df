"""Do a site's files change what they say, add what is new, and is none passed over in silence?"""

import os
from pathlib import Path

import pytest

from hpcdoctor.definitions.loader import load_definitions, load_profile
from hpcdoctor.definitions.mistake import DefinitionError
from tests.doubles.site import CHECK, mistakes, resolved, written


def test_a_site_changes_one_key_and_the_others_stay(tmp_path: Path) -> None:
    site = written(tmp_path, {"checks/gpu/gpu-lost.yaml": "\nclear_after: by-hand\n"})
    defined = load_definitions(site).checks["gpu-lost"]
    shipped = load_definitions(Path("/nonexistent")).checks["gpu-lost"]
    assert defined.value.clear_after == "by-hand"
    assert defined.value.summary == shipped.value.summary
    place = defined.source.place("clear_after")
    assert (place.file, place.line) == (site / "checks/gpu/gpu-lost.yaml", 2)
    assert defined.source.place("summary").file == shipped.source.file


def test_a_site_changes_a_threshold_and_keeps_the_label_beside_it(tmp_path: Path) -> None:
    text = "warning:\n  when: maximum_error_seconds > 1\n"
    site = written(tmp_path, {"checks/clock-unsynchronised.yaml": text})
    warning = load_definitions(site).checks["clock-unsynchronised"].value.warning
    assert warning is not None
    assert (warning.when, warning.hold) == ("maximum_error_seconds > 1", "15m")
    assert mistakes(site) == []


def test_a_check_that_is_switched_off_is_not_there(tmp_path: Path) -> None:
    site = written(tmp_path, {"checks/hung-task.yaml": "enabled: false\n"})
    knowledge, problems = resolved(site)
    assert problems == []
    assert "hung-task" not in knowledge.checks


def test_a_rule_that_is_switched_off_or_shadowed_decides_no_more(tmp_path: Path) -> None:
    files = {"rules/gpu-lost.yaml": "enabled: false\n", "rules/gpu-sick.yaml": "mode: disabled\n"}
    knowledge, problems = resolved(written(tmp_path, files))
    assert problems == []
    assert "gpu-lost" not in knowledge.rules
    assert knowledge.rules["gpu-sick"].mode.value == "disabled"


def test_a_new_check_of_a_site_is_one_more(tmp_path: Path) -> None:
    site = written(tmp_path, {"checks/own/our-clock.yaml": CHECK.format(name="our-clock")})
    knowledge, problems = resolved(site)
    assert problems == []
    assert knowledge.checks["our-clock"].definition.probe == "clock"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"checks/hung-tasks.yaml": "enabled: false\n"},
            "checks/hung-tasks.yaml:1: nothing that is shipped is named `hung-tasks`; did you mean "
            "`hung-task`?",
        ),
        (
            {"checks/our-own.yaml": "enabled: false\n"},
            "checks/our-own.yaml:1: nothing that is shipped is named `our-own`; a new one begins "
            "with `check: our-own`",
        ),
        (
            {"checks/our-clock.yaml": CHECK.format(name="your-clock")},
            "checks/our-clock.yaml:1: `check: your-clock` is not the file's name, `our-clock`",
        ),
        (
            {"checks/Our_Clock.yaml": CHECK.format(name="Our_Clock")},
            "checks/Our_Clock.yaml: `Our_Clock` cannot be a name: it is made of lower-case words, "
            "digits and single hyphens, at most 60 characters; did you mean `our-clock.yaml`?",
        ),
        (
            {f"rules/{'x' * 61}.yaml": "mode: shadow\n"},
            "cannot be a name",
        ),
        (
            {"checks/a/hung-task.yaml": "enabled: false\n", "checks/b/hung-task.yaml": "every: 5s"},
            "the same name stands in",
        ),
        (
            {"checks/hung-task.yml": "enabled: false\n"},
            "checks/hung-task.yml: is not read: its name has to end in .yaml",
        ),
        (
            {"checks/hung-task.YAML": "enabled: false\n"},
            "is not read: its name has to end in .yaml",
        ),
        ({"check/hung-task.yaml": ""}, "check: is not read; did you mean `checks`?"),
        ({"hpcdoctor.yml": ""}, "hpcdoctor.yml: is not read; did you mean `hpcdoctor.yaml`?"),
        ({"rule": ""}, "rule: is not read; did you mean `rules`?"),
        ({"checks": ""}, "checks: has to be a folder"),
        ({"checks/a/b/c/d/e/f/x.yaml": ""}, "lies too deep"),
        (
            {"catalogs/xid.yaml": "entries:\n  79: {severty: note}\n"},
            "catalogs/xid.yaml:2: the `default:` has no `severty`; did you mean `severity`?",
        ),
        (
            {"catalogs/xid.yaml": "entries:\n  '079': {severity: note}\n"},
            "catalogs/xid.yaml:2: write the code as 79",
        ),
        (
            {"catalogs/xid.yaml": "entries:\n  79: {severity: 1}\n"},
            "catalogs/xid.yaml:2: `severity: 1` is of another type than the default's",
        ),
    ],
)  # fmt: skip
def test_no_file_of_a_site_is_passed_over(
    tmp_path: Path, files: dict[str, str], expected: str
) -> None:
    said = mistakes(written(tmp_path, files))
    assert any(expected in mistake for mistake in said), said


def test_what_editors_and_package_managers_leave_is_nobodys_mistake(tmp_path: Path) -> None:
    names = [".hung-task.yaml.swp", "hung-task.yaml~", "#x.yaml#", "x.yaml.rpmsave", "README"]
    assert mistakes(written(tmp_path, {f"checks/{name}": "{" for name in names})) == []


def test_certificates_beside_the_settings_are_nobodys_mistake(tmp_path: Path) -> None:
    assert mistakes(written(tmp_path, {"broker.crt": "x", "tls/node.key": "x"})) == []


def test_a_linked_folder_is_read_and_its_target_judged(tmp_path: Path) -> None:
    store = tmp_path / "store"
    site = tmp_path / "etc"
    written(store, {"hung-task.yaml": "enabled: false\n"})
    site.mkdir()
    (site / "checks").symlink_to(store)
    assert "hung-task" not in resolved(site)[0].checks
    store.chmod(0o777)
    knowledge, problems = resolved(site)
    assert "hung-task" in knowledge.checks
    assert f"{store} may be written by others" in str(problems[0])


def test_a_link_to_nowhere_and_a_link_in_circles_are_told(tmp_path: Path) -> None:
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "gone.yaml").symlink_to("/nonexistent/x.yaml")
    (tmp_path / "checks" / "again").symlink_to(".")
    said = "\n".join(mistakes(tmp_path))
    assert "checks/gone.yaml: is not used: /nonexistent cannot be looked at" in said
    assert "lies too deep" in said


def test_who_names_a_broken_file_is_not_told_that_it_is_not_there(tmp_path: Path) -> None:
    said = mistakes(written(tmp_path, {"checks/gpu-lost.yaml": "every: 5\n"}))
    assert said == [
        "checks/gpu-lost.yaml:1: `every: 5` has no unit; write it as in 5s, 5m, 5h or 5d"
    ]


@pytest.mark.usefixtures("as_root")
def test_a_site_file_of_another_user_changes_nothing(tmp_path: Path) -> None:
    site = written(tmp_path, {"rules/gpu-lost.yaml": "mode: disabled\n"})
    os.chown(site / "rules/gpu-lost.yaml", 65534, 65534)
    knowledge, problems = resolved(site)
    assert knowledge.rules["gpu-lost"].mode.value == "act"
    assert "belongs to user 65534, not to root" in str(problems[0])


def test_a_profile_is_laid_over_the_shipped_one(tmp_path: Path) -> None:
    text = "memory: {total_bytes: 2000000000000}\ninfiniband: null\ngpu: {count: 4}\n"
    site = written(tmp_path, {"profiles/h100x8.yaml": text})
    profile = load_profile("h100x8", site)
    assert profile["memory"] == {"ecc": True, "total_bytes": 2000000000000}
    assert profile["infiniband"] is None
    assert (profile["gpu"]["count"], profile["cpu"]["governor"]) == (4, "performance")
    assert mistakes(site, "h100x8") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("infinband: {}\n", "profiles/p.yaml:2: there is no key `infinband` here; did you mean"),
        ("gpu: {cuont: 8}\n", "profiles/p.yaml:2: there is no key `cuont` here; did you mean"),
        ("gpu: {count: eight}\n", "profiles/p.yaml:2: `count`: a whole number is due here"),
        ("mounts: /work\n", "profiles/p.yaml:2: `mounts`: a list is due here, not a text"),
        ("site: {limit: {a: 1}}\n", "profiles/p.yaml:2: `limit`: "),
    ],
)
def test_a_mistake_in_a_profile_is_told(tmp_path: Path, text: str, expected: str) -> None:
    said = mistakes(written(tmp_path, {"profiles/p.yaml": f"profile: p\n{text}"}), "p")
    assert any(mistake.startswith(expected) for mistake in said), said


def test_a_profile_that_is_not_there_is_told_with_the_nearest(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "h100x9") == [
        "profiles/h100x9.yaml: there is no such profile; did you mean `h100x8`?"
    ]
    with pytest.raises(DefinitionError, match="cannot be the name of a profile"):
        load_profile("../x", tmp_path)
