from hardy.engine.progress import Reporter


def test_what_is_said_leaves_stdout_to_the_answer(capsys):
    Reporter().say("half done")
    assert capsys.readouterr() == ("", "half done\n")
