import pytest
from hypothesis import given
from hypothesis import strategies as st

from softprompt.core.tasks import Task
from softprompt.data.dialect import ReadSettings
from softprompt.data.markup import to_plain
from softprompt.data.sources import load, read_source

MAIL = """<html><head><title>Mail</title><style>p {color: red}</style></head><body>
<!-- [if mso]><p>Outlook</p><![endif] --><p>Dear&nbsp;shop,</p>
<div>my <b>kettle</b> broke &amp; I want<br/>a <a href="https://example.org">refund</a>.</div>
<ul><li>one</li><li>two</li></ul>
<table><tr><td>a</td><td>b</td></tr></table><o:p></o:p>
<blockquote>&gt; You wrote: hello</blockquote><script>alert("x")</script></body></html>"""


def test_a_mail() -> None:
    assert to_plain(MAIL).splitlines() == [
        "Dear shop,",
        "my kettle broke & I want",
        "a refund.",
        "- one",
        "- two",
        "a\tb",
        "> You wrote: hello",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "a < b > c",
        "from <ada@example.org>",
        "List<String> x",
        "a & b",
        "  two  blanks  ",
        "line\n\n\nline",
    ],
)
def test_what_is_no_html_is_not_touched(text: str) -> None:
    assert to_plain(text) == text


@pytest.mark.parametrize("html", ["<p>a", "a</p>", "<b>a</i>", "<div><div>a", "<p>a<script>b", "<a"])
def test_broken_html(html: str) -> None:
    assert to_plain(html).strip("<") == "a"


@given(st.text("<>/pbai!&;# \n-", max_size=30))
def test_any_text_becomes_a_text(text: str) -> None:
    assert isinstance(to_plain(text), str)


@given(st.text(st.characters(exclude_characters="<>&", exclude_categories=["Cs"]), max_size=20))
def test_words_survive(text: str) -> None:
    assert to_plain(f"<p>{text}</p>").split() == text.split()


def test_only_on_request_and_never_in_the_answer() -> None:
    rows = [{"text": "<p>Hi</p>", "label": "<b>a</b>"}, {"text": "Ho", "label": "c"}]
    task = Task.classify(["<b>a</b>", "c"])
    assert load(rows, task)[0].fields["text"] == "<p>Hi</p>"
    stripped = load(read_source(rows, ReadSettings(strip_html=True)), task)
    assert (stripped[0].fields["text"], stripped[0].target) == ("Hi", "<b>a</b>")
