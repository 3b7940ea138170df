"""Does `hpcdoctor compare-nhc` say of both sides what it could not read?"""

from pathlib import Path

import pytest

from hpcdoctor.__main__ import main


@pytest.mark.parametrize("option", ["--log", "--reasons"])
def test_a_log_that_is_not_there_is_told_of_beside_a_record_that_is_not(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--config", str(tmp_path), "--record", str(tmp_path / "none")]
    with pytest.raises(SystemExit) as refused:
        main(["compare-nhc", *arguments, option, str(tmp_path / "nhc.log")])
    assert refused.value.code == 64
    record, log = capsys.readouterr().err.splitlines()
    assert "holds no record" in record
    assert "nhc.log: No such file or directory" in log


def test_a_record_that_is_not_there_is_the_answer_where_the_log_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "nhc.log"
    log.write_text("")
    arguments = ["--config", str(tmp_path), "--record", str(tmp_path / "none")]
    assert main(["compare-nhc", *arguments, "--log", str(log)]) == 66
    assert capsys.readouterr().err.count("\n") == 1
