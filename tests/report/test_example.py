"""Is the annotated hpcdoctor.yaml true, whole, and free of surprises once it is used?"""

import re
from collections.abc import Callable
from pathlib import Path

from hpcdoctor.definitions.loader import load_settings
from hpcdoctor.definitions.settings import Settings
from hpcdoctor.definitions.yamlfile import Located, load_yaml
from hpcdoctor.knowledge import load
from hpcdoctor.report.pages import example
from hpcdoctor.report.pages.fields import keys, sections
from tests.conftest import CHECKOUT
from tests.doubles.site import written

# The sign is taken away, and nothing else; "# " begins a line of prose.
SETTING = re.compile(r"^#(?=(?:  )*[^ #])", re.MULTILINE)


def used(text: str) -> str:
    return SETTING.sub("", text)


def test_the_example_is_what_the_code_says(expect: Callable[[Path, str], None]) -> None:
    expect(CHECKOUT / "docs/hpcdoctor.yaml", example.render())


def test_installed_as_it_is_it_changes_nothing(tmp_path: Path) -> None:
    site = written(tmp_path, {"hpcdoctor.yaml": example.render()})
    assert load_settings(site) == Settings()
    assert all(line[:1] in ("#", "") for line in example.render().splitlines())


def test_with_every_line_used_it_loads_without_a_mistake_and_names_every_key(
    tmp_path: Path,
) -> None:
    site = written(tmp_path, {"hpcdoctor.yaml": used(example.render())})
    assert load(site).settings.remediations == ["gpu-reset"]
    source = load_yaml(site / "hpcdoctor.yaml")
    assert list(source) == [key.name for key in keys(Settings)]
    for name, shape in sections(Settings).items():
        inside = source[name] if isinstance(source[name], list) else [source[name]]
        written_keys = {key for item in inside for key in item}
        assert written_keys == {key.name for key in keys(shape)}, name


def test_every_section_and_every_key_can_be_used_alone(tmp_path: Path) -> None:
    for block in example.render().split("\n\n")[1:]:
        site = written(tmp_path, {"hpcdoctor.yaml": used(block)})
        load_settings(site)


def test_a_default_in_the_example_is_the_default(tmp_path: Path) -> None:
    """What does not say that it is an example changes nothing when it is used."""
    site = written(tmp_path, {"hpcdoctor.yaml": used(example.render())})
    found, default = load_settings(site), Settings()
    for key in keys(Settings):
        if key.default is None or key.default == [] or key.shape is not None:
            continue
        assert getattr(found, key.name) == getattr(default, key.name), key.name
    assert found.limit == default.limit
    assert found.metrics is not None
    assert found.metrics.port == 9735


def test_every_key_has_its_meaning_its_form_and_its_allowed_values_above_it() -> None:
    lines = example.render().splitlines()
    for number, line in enumerate(lines):
        if SETTING.match(line) and not line.endswith(":"):
            above = lines[number - 1]
            assert (above.startswith("# ") and above.endswith(")")) or "- why" in line, line
    text = example.render().replace("\n# ", " ")
    assert "(one of disabled, shadow, act)" in text
    assert "(a duration from 1s to 1m)" in text
    assert "shipped are clear-leftovers, " in text


def test_the_example_holds_only_texts_that_yaml_gives_back(tmp_path: Path) -> None:
    for value in ("127.0.0.1", "on", "1e3", "0x1F", "24h", "/a b", "a: b", "#x", "08:30", "n017"):
        site = written(tmp_path, {"x.yaml": f"key: {example._written(value)}\n"})
        source: Located = load_yaml(site / "x.yaml")
        assert source["key"] == value
