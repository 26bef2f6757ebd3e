import pytest
from click.testing import CliRunner

from hardy.cli import promote as module
from tests.registry.conftest import model, shelf, stub_package  # noqa: F401
from tests.registry.helpers import POLICY

pytestmark = pytest.mark.usefixtures("stub_package")


@pytest.fixture
def promote(monkeypatch):
    monkeypatch.setattr(module, "load_policy", lambda name: POLICY)
    return lambda *arguments: CliRunner().invoke(module.command, ["tiny", *arguments])


def test_promote_prints_gate_by_gate_and_exits_by_the_verdict(shelf, promote):  # noqa: F811
    shelf.add(20)
    done = promote("--dry-run")
    assert done.exit_code == 0
    assert "may become champion" in done.stdout
    assert shelf.aliases() == {}
    done = promote()
    assert done.exit_code == 0
    assert "version 1 is now champion" in done.stdout
    done = promote()
    assert done.exit_code == 0
    assert "already champion" in done.stdout
    shelf.add(21)
    done = promote("--version", "2")
    assert done.exit_code == 1
    assert "pass  accuracy at least 0.2" in done.stdout
    assert "FAIL  better than champion" in done.stdout
    assert shelf.aliases() == {"champion": "1", "challenger": "2"}


def test_undo(shelf, promote):  # noqa: F811
    shelf.add(20)
    promote()
    shelf.add(30)
    promote()
    done = promote("--undo")
    assert done.exit_code == 0
    assert done.stdout == "tiny: version 1 is champion again\n"
    assert promote("--undo").stdout == "tiny: nobody is champion\n"
    assert promote("--undo", "--dry-run").exit_code == 2
