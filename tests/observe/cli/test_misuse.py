"""What was typed wrong is said in one line, like every other error."""

import pytest

from observe.cli import main


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("incidents mut chat", "error: invalid value for 'act': 'mut' is not one of 'acknowledge', 'mute'"),
        ("incidents mut chat", "; did you mean 'mute'?; see observe incidents --help"),
        ("backtest t.csv --time ts --set rows=3", "error: --set says nothing without --policy; leave it out"),
        ("backtest t.csv --time ts -d data", "error: --directory is for stored history; t.csv is a table"),
        ("backtest --policy scaling --inject missing=2pp@x", "error: --inject says nothing with --policy scaling"),
        ("check --foo", "error: no such option: --foo"), ("incident bundle inc-1", "error: no such command 'incident'"),
    ],
)  # fmt: skip
def test_a_wrong_word_reads_like_every_other_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], typed: str, told: str
) -> None:
    monkeypatch.setattr("sys.argv", ["observe", *typed.split()])
    with pytest.raises(SystemExit) as ended:
        main()

    err = capsys.readouterr().err
    assert (ended.value.code, err.count("\n")) == (2, 1)
    assert told in err
