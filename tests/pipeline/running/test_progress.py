"""Progress of a local run: what workers note is counted once."""

from collections import Counter
from pathlib import Path

import pytest

from beamstop_pipeline.running import display
from beamstop_pipeline.running.progress import Progress


def test_each_look_reads_what_is_new(tmp_path: Path) -> None:
    progress, file = Progress(str(tmp_path)), tmp_path / "outcomes-7"
    assert progress.look().total() == 0
    file.write_bytes(b"llw")
    (tmp_path / "outcomes-8").write_bytes(b"lr")
    assert progress.look() == Counter(listed=3, written=1, rejected=1, quarantined=0, failed=0)
    file.write_bytes(b"???wq")  # what was read before is not read again
    assert progress.look() == Counter(listed=3, written=2, rejected=1, quarantined=1, failed=0)
    assert progress.look() == progress.look()


def test_a_log_says_that_nothing_is_counted_until_something_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(display, "_LOG_EVERY", 0.0)
    log = display.Log()
    log(Counter())
    log(Counter(listed=3, written=1))
    first, second = capsys.readouterr().err.splitlines()
    assert first == "beamstop: 0 s, nothing is counted yet"
    assert second.startswith("beamstop: 1 of 3 done, ")
