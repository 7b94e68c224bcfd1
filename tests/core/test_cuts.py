"""What was lost of many rows, in words."""

from softprompt.core.cuts import Cuts, Fit


def test_nothing_is_said_where_every_row_fits() -> None:
    assert Cuts.of([Fit(), Fit()]).sentence == ""
    assert Cuts.of([]).sentence == ""


def test_one_row_and_one_token_are_said_in_the_singular() -> None:
    assert Cuts.of([Fit(1, ("beginning",))]).sentence == (
        "1 of 1 row was too long: 1 token was left out, at the beginning"
    )


def test_several_ends_are_named_once_each() -> None:
    found = Cuts.of([Fit(3, ("end", "middle")), Fit(4, ("end",)), Fit()])
    assert (found.num_cut, found.tokens, found.ends) == (2, 7, ("end", "middle"))
    assert found.sentence.endswith("7 tokens were left out, at the end and in the middle")


def test_windows_that_lose_nothing_say_so_and_others_do_not() -> None:
    assert "nothing was lost" in Cuts.of([Fit(windows=3), Fit()]).sentence
    assert "nothing was lost" not in Cuts.of([Fit(5, ("end",), windows=3), Fit(windows=2)]).sentence


def test_the_document_carries_the_sentence() -> None:
    found = Cuts.of([Fit(2, ("end",))]).to_dict()
    assert found["ends"] == ["end"]
    assert found["sentence"].startswith("1 of 1 row was too long")
