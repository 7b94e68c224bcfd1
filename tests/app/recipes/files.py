"""Files as people have them: real-looking and nasty ones, built from code, each with what init must make of it."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any

PRODUCTS = ("kettle", "toaster", "lamp", "router", "radio", "blender", "heater", "scale", "fan", "drill", "mixer")
ASKS = {
    "billing": "I was charged twice for the {} and would like the money for order {} back, please.",
    "delivery": "Where is my {}? Parcel {} has been on its way for two weeks now.",
    "returns": "The {} broke after three days, how do I send order {} back to you?",
}


@dataclass(frozen=True)
class Case:
    """One file, and what comes of it.

    Attributes:
        name: Of the file.
        content: Its bytes.
        kind, target, text: What must be chosen; the reading columns with commas between.
        labels: Number of labels, 0 where there are none.
        says: Texts that the settings must hold.
        code: The error instead, where one must come.
    """

    name: str
    content: bytes
    kind: str = "classify"
    target: str = "label"
    text: str = "text"
    labels: int = 3
    says: tuple[str, ...] = ()
    code: str = ""
    flags: dict[str, Any] = field(default_factory=dict)


def messages(count: int, labels: Sequence[str] = tuple(ASKS)) -> list[tuple[str, str]]:
    """Different English messages with labels, in turn."""
    asks = list(ASKS.values())
    return [
        (asks[i % len(labels) % 3].format(PRODUCTS[i % len(PRODUCTS)], 1000 + i), labels[i % len(labels)])
        for i in range(count)
    ]


def table(
    head: Sequence[str] | None, rows: Iterable[Sequence[Any]], *, mark: str = ",", encoding: str = "utf-8"
) -> bytes:
    """A delimited table."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=mark)
    writer.writerows([*([head] if head else []), *rows])
    return out.getvalue().encode(encoding)


def lines(rows: Iterable[dict[str, Any]]) -> bytes:
    """JSON lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def relabelled(count: int, labels: Iterable[Any]) -> list[tuple[str, Any]]:
    """Messages under other labels."""
    return [(text, label) for (text, _), label in zip(messages(count), islice(cycle(labels), count), strict=True)]


def german() -> bytes:
    texts = (
        "Die Rechnung für Auftrag {} wurde doppelt abgebucht, bitte überweisen Sie den Betrag zurück.",
        "Wo bleibt mein Paket {}? Es ist seit zwei Wochen unterwegs und niemand weiß etwas darüber.",
    )
    rows = [(f"T-{i}", texts[i % 2].format(i), ("Rechnung", "Lieferung")[i % 2], "3,50") for i in range(30)]
    return table(("Nr", "Beschreibung", "Kategorie", "Preis"), rows, mark=";", encoding="cp1252")


def wide() -> bytes:
    head = ("ticket_id", "created", "customer_email", "amount", "body", "closed", "queue")
    rows = [
        (
            f"TCK-{i:05}",
            f"2024-03-{i % 28 + 1:02}",
            f"c{i}@example.org",
            f"{i}.50",
            f"{text} " * 60,
            "",
            label,
        )
        for i, (text, label) in enumerate(messages(24))
    ]
    return table(head, rows)


def several_labels() -> list[str]:
    return [
        f"{verb} {noun}"
        for verb in ("cancel", "change", "find", "pay", "ask", "send", "stop", "open")
        for noun in PRODUCTS
    ][:80]


MAIL = (
    "<html><head><style>p {{color: red}}</style></head>"
    "<body><p>Hello,</p><p>{}<br>Regards&nbsp;<b>Ada</b></p></body></html>"
)

#: The files of the note in docs/first-hour.md: each is written, drafted, loaded and prepared as it stands.
CASES: tuple[Case, ...] = (
    Case(
        "german.csv",
        german(),
        target="Kategorie",
        text="Beschreibung",
        labels=2,
        says=("cp1252", "separator", "German"),
    ),
    Case("tabs.tsv", table(("text", "label"), messages(30), mark="\t")),
    Case("plain.jsonl", lines({"text": text, "label": label} for text, label in messages(30))),
    Case("integers.csv", table(("text", "label"), relabelled(30, (0, 1, 2))), says=("say what they mean",)),
    Case(
        "yes_no.csv",
        table(("message", "is_complaint"), relabelled(30, ("yes", "no"))),
        target="is_complaint",
        text="message",
        labels=2,
        says=("'yes'",),
    ),
    Case(
        "stars.csv",
        table(("review", "stars"), relabelled(40, (1, 2, 3, 4, 5))),
        target="stars",
        text="review",
        labels=5,
    ),
    Case(
        "codes.csv",
        table(("text", "label"), relabelled(30, ("BILLING_01", "DELIVERY_02", "RETURNS_03"))),
        says=("BILLING_01: billing",),
    ),
    Case("wide.csv", wide(), target="queue", text="body"),
    Case("no_header.csv", table(None, messages(30)), target="column_2", text="column_1", says=("header: false",)),
    Case(
        "subject_body.csv",
        table(("subject", "body", "topic"), [(text[:12], text, label) for text, label in messages(30)]),
        target="topic",
        text="body",
        says=("not read: subject; softprompt init --text-column body --text-column subject reads it, too",),
    ),
    Case(
        "premises.jsonl",
        lines(
            {"premise": text, "hypothesis": f"It is {n}.", "id": n, "label": ("entailment", "neutral")[n % 2]}
            for n, (text, _) in enumerate(messages(30))
        ),
        text="premise,hypothesis",
        labels=2,
        says=("they belong together by their names; softprompt init --text-column premise reads one alone",),
    ),
    Case(
        "questions.csv",
        table(
            ("Question 1", "Question 2", "note", "same"),
            [(text, text[::-1], f"hint {n} of many", n % 2) for n, (text, _) in enumerate(messages(30))],
        ),
        text="Question 1,Question 2",
        target="same",
        labels=2,
        says=("not read: note", "{question_1: Question 1, question_2: Question 2}"),
    ),
    Case(
        "spellings.csv",
        table(("text", "label"), relabelled(40, ("Billing", "billing ", "Delivery", "NaN"))),
        labels=2,
        says=("from: [billing]", "on_bad_row: skip"),
    ),
    Case("eighty.csv", table(("text", "intent"), relabelled(400, several_labels())), target="intent", labels=80),
    Case("one_class.csv", table(("text", "label"), relabelled(30, ("billing",))), code="data.one_label"),
    Case("seven.csv", table(("text", "label"), messages(7))),
    Case(
        "unlabelled.csv",
        table(("id", "text"), [(i, text) for i, (text, _) in enumerate(messages(30))]),
        code="data.no_answers",
    ),
    Case(
        "summaries.jsonl",
        lines(
            {"article": text * 4, "summary": f"About a {text.split()[-5]} and more {i}"}
            for i, (text, _) in enumerate(messages(30))
        ),
        kind="generate",
        target="summary",
        text="article",
        labels=0,
    ),
    Case("mark.csv", b"\xef\xbb\xbf" + table(("text", "label"), messages(30))),
    Case(
        "quoted.csv",
        table(("text", "label"), [(f'She said "no", twice.\n\n{text}', label) for text, label in messages(30)]),
    ),
    Case(
        "mails.csv", table(("mail", "label"), [(MAIL.format(text), label) for text, label in messages(30)]), text="mail"
    ),
    Case("copies.csv", table(("text", "label"), [messages(6)[i % 6] for i in range(60)])),
    Case(
        "emoji.csv",
        table(
            ("text", "label"),
            relabelled(30, ("👍", "👎")),
        ),
        labels=2,
        says=("👍",),
    ),
    Case(
        "odd_names.csv",
        table(
            ("Ticket No.", "Customer.Message Text", "Ticket Category"),
            [(f"N{i}", *row) for i, row in enumerate(messages(30))],
        ),
        target="Ticket Category",
        text="Customer.Message Text",
    ),
    Case(
        "several.csv",
        table(("text", "label"), relabelled(40, ("a", "a;b", "b", ""))),
        kind="multilabel",
        labels=2,
        says=("separator: ;", "it stands in 10 cells"),
    ),
    Case(
        "lists.jsonl",
        lines([{"text": text, "tags": (["a"], ["a", "b"], [])[i % 3]} for i, (text, _) in enumerate(messages(40))]),
        kind="multilabel",
        target="tags",
        labels=2,
    ),
    Case(
        "five_stars.csv",
        table(("text", "stars"), relabelled(40, (1, 2, 3, 4, 5))),
        target="stars",
        labels=5,
        says=("steps of a scale, say --task score",),
    ),
    Case(
        "scale.csv",
        table(("text", "score"), relabelled(40, [n / 8 for n in range(40)])),
        kind="score",
        target="score",
        labels=3,
        says=("{from: 0.0, to: 4.875, anchors: 5}", "write the ends of the real scale"),
        flags={"task": "score"},
    ),
)

#: Files that cannot be understood, or need a flag; what is seen must be said.
UNCLEAR: tuple[Case, ...] = (
    Case(
        "pairs.csv",
        table(
            ("sent_more", "sent_less", "relation"),
            [(text, text[:-9] + f"it {i}.", "ab"[i % 2]) for i, (text, _) in enumerate(messages(30))],
        ),
        code="data.unclear_column",
        says=("sent_more", "sent_less", "--text-column"),
        flags={"target": "relation"},
    ),
    Case(
        "two_targets.csv",
        table(
            ("text", "topic", "sentiment"), [(text, label, "ab"[i % 2]) for i, (text, label) in enumerate(messages(30))]
        ),
        code="data.unclear_column",
        says=("topic", "sentiment", "--target"),
    ),
    Case(
        "numbers.csv",
        table(("text", "score"), relabelled(40, [n / 7 for n in range(40)])),
        code="data.unsupported_task",
        says=("--task score", "--task classify"),
    ),
    Case("nothing.csv", b"", code="data.empty_file"),
    Case("head.csv", b"text,label\n", code="data.no_rows"),
    Case("separators.csv", b"a,b;c\n1,2;3\n4,5;6\n", code="data.unclear_separator", says=("--read separator",)),
)
