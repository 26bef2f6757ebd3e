import pytest
from click.testing import CliRunner

from hardy.cli import promote as module
from hardy.core.errors import RegistryError
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
    assert done.stdout == "tiny: version 1 is champion again, in place of version 2\n"
    assert shelf.aliases() == {"champion": "1"}


def test_undo_says_before_what_it_would_do(shelf, promote):  # noqa: F811
    shelf.add(20)
    promote()
    assert promote("--undo", "--dry-run").stdout == "tiny: nobody would be champion\n"
    shelf.add(30)
    promote()
    done = promote("--undo", "--dry-run")
    assert done.exit_code == 0
    assert done.stdout == "tiny: version 1 would be champion again, in place of version 2\n"
    assert shelf.aliases() == {"champion": "2"}


def test_undo_of_the_first_champion_is_asked_for(shelf, promote, monkeypatch):  # noqa: F811
    shelf.add(20)
    promote()
    done = promote("--undo")
    assert isinstance(done.exception, RegistryError)
    assert "version 1 is the first champion of tiny: without it, nobody is" in str(done.exception)
    assert done.exception.hint == "Add --yes to undo it all the same."
    answers, asked = [False, True], []
    monkeypatch.setattr(module.sys, "stdin", Terminal())
    monkeypatch.setattr(
        module.click, "confirm", lambda text, **_: asked.append(text) or answers.pop(0)
    )
    with pytest.raises(RegistryError, match="nothing was changed"):
        module._undo(POLICY, dry_run=False, yes=False)
    assert shelf.aliases() == {"champion": "1"}
    module._undo(POLICY, dry_run=False, yes=False)
    assert shelf.aliases() == {}
    assert asked[0].endswith("Undo its promotion?")


class Terminal:
    def isatty(self) -> bool:
        return True


def test_yes_is_not_asked(shelf, promote):  # noqa: F811
    shelf.add(20)
    promote()
    assert promote("--undo", "--yes").stdout == "tiny: nobody is champion\n"
    assert shelf.aliases() == {}


@pytest.mark.parametrize("options", [("--undo", "--version", "1"), ("--yes",)])
def test_options_that_do_not_go_together(promote, options):
    assert promote(*options).exit_code == 2
