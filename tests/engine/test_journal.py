import json

import pytest

from hardy.core.errors import SpecError, TrackingError
from hardy.engine.journal import Journal, discard


def test_entries_come_back_bit_for_bit():
    entry = {"sample": "é/1.jpg", "x": 0.1 + 0.2, "views": [1, 2], "none": None}
    with Journal("run1", "f" * 32) as journal:
        journal.append(entry)
    with Journal("run1", "f" * 32) as journal:
        assert journal.entries == [entry]


@pytest.mark.parametrize("torn", [b'{"sample": "b", "x": 1', b"{", b"\xff"])
def test_a_torn_last_line_is_dropped_and_written_over(torn):
    with Journal("run1", "f" * 32) as journal:
        journal.append({"sample": "a"})
    with journal.path.open("ab") as stream:
        stream.write(torn)
    with Journal("run1", "f" * 32) as journal:
        assert journal.entries == [{"sample": "a"}]
        journal.append({"sample": "b"})
    with Journal("run1", "f" * 32) as journal:
        assert journal.entries == [{"sample": "a"}, {"sample": "b"}]


def test_a_torn_header_is_no_journal():
    with Journal("run1", "f" * 32) as journal:
        pass
    journal.path.write_bytes(b'{"finger')
    with Journal("run1", "f" * 32) as journal:
        assert journal.entries == []
    assert json.loads(journal.path.read_text()) == {"fingerprint": "f" * 32}


def test_another_units_journal_is_refused():
    with Journal("run1", "f" * 32):
        pass
    with pytest.raises(TrackingError, match="another unit"):
        Journal("run1", "0" * 32)


def test_damage_before_the_last_line_is_an_error():
    with Journal("run1", "f" * 32) as journal:
        journal.append({"sample": "a"})
    with journal.path.open("ab") as stream:
        stream.write(b"not json\n{}\n")
    with pytest.raises(TrackingError, match="damaged"):
        Journal("run1", "f" * 32)


def test_a_finished_journal_is_deleted():
    with Journal("run1", "f" * 32) as journal:
        journal.append({"sample": "a"})
    discard("run1")
    discard("run1")
    assert not journal.path.exists()


def test_a_run_id_cannot_leave_the_folder():
    with pytest.raises(SpecError):
        Journal("../x", "f" * 32)


def test_a_restarted_journal_is_empty():
    with Journal("run1", "f" * 32) as journal:
        journal.append({"sample": "a"})
        journal.restart()
        journal.append({"sample": "b"})
    with Journal("run1", "f" * 32) as journal:
        assert journal.entries == [{"sample": "b"}]
