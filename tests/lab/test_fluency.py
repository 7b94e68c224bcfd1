"""Bits per byte: against the definition, and on languages that the embedded model knows and does not know."""

import math
from pathlib import Path

import pytest
import torch

from softprompt.core.errors import ModelError
from softprompt.core.records import Batch, Node, Row, Text
from softprompt.lab.fluency import FOREIGN, Reference, read_reference, reading_cost
from softprompt.model.backbones.base import Backbone, Want
from softprompt.model.backbones.loading import embedded_folder, load
from softprompt.testing import tiny

ENGLISH = (
    "My parcel has been on its way for two weeks and nobody can tell me where it is.",
    "I was charged twice for the same order, please refund the amount.",
    "I would like to change my password but the link in the mail does not work.",
    "The kettle broke after three days and I want a new one.",
    "Thank you very much for the quick answer, everything works again.",
    "How long does it take until the money is back on my account?",
    "The colour is not the one in the picture and I want to send it back.",
)
FOREIGN_TEXTS = {
    "German": (
        "Mein Paket ist seit zwei Wochen unterwegs und niemand kann mir sagen, wo es gerade liegt.",
        "Die Rechnung wurde doppelt abgebucht, bitte erstatten Sie mir den Betrag zurück.",
        "Ich möchte mein Passwort ändern, aber der Link in der E-Mail funktioniert nicht.",
        "Der Wasserkocher ist nach drei Tagen kaputt gegangen, ich hätte gern einen neuen.",
        "Vielen Dank für die schnelle Antwort, jetzt läuft alles wieder wie es soll.",
    ),
    "French": (
        "Mon colis n'est toujours pas arrivé et le suivi n'a pas changé depuis dix jours.",
        "J'ai été débité deux fois pour la même commande, pouvez-vous me rembourser ?",
        "Je voudrais changer mon mot de passe mais le lien reçu par courriel ne fonctionne pas.",
        "La bouilloire est tombée en panne après trois jours, je souhaite un échange.",
        "Merci beaucoup pour votre réponse rapide, tout fonctionne à nouveau depuis ce matin.",
    ),
    "Japanese": (
        "荷物がまだ届きません。追跡番号を入力しても二週間前から何も変わっていません。",
        "同じ注文で二回請求されました。返金をお願いします。",
        "パスワードを変更したいのですが、メールのリンクが開きません。",
        "電気ケトルが三日で壊れてしまいました。交換してください。",
        "早速のご返信ありがとうございました。無事に使えるようになりました。",
    ),
    "Russian": (
        "Моя посылка в пути уже две недели, и никто не может сказать, где она сейчас.",
        "С меня дважды списали деньги за один заказ, верните, пожалуйста, сумму.",
        "Я хочу сменить пароль, но ссылка из письма не работает.",
        "Чайник сломался через три дня, и я хочу получить новый.",
    ),
    "program code": tuple((Path(__file__).parent.parent / "shapes.py").read_text("utf-8").split("\n\n")),
}


@pytest.fixture(scope="module")
def embedded() -> Backbone:
    return load("embedded")


def test_bits_are_those_of_the_definition() -> None:
    model = tiny("llama")
    text = "It broke again."
    ids = model.tokenizer.encode(text)
    first = model.tokenizer.bos_id
    assert first is not None
    nats = 0.0
    for place, token in enumerate(ids):
        row = Row((Node(Text((first, *ids[:place]))),))
        logits = model.forward(Batch((row,)), want=Want(last=True)).last
        assert logits is not None
        nats -= float(torch.log_softmax(logits[0].double(), -1)[token])
    found = reading_cost(model, [text])
    assert found.num_bytes == len(text)
    assert found.bits_per_byte == pytest.approx(nats / math.log(2) / len(text), rel=1e-5)
    assert (found.times, found.foreign) == (None, None)


def test_english_is_known(embedded: Backbone) -> None:
    found = reading_cost(embedded, ENGLISH, reference=read_reference(embedded_folder()))
    assert found.foreign is False
    assert found.times is not None
    assert found.times < 0.8 * FOREIGN


@pytest.mark.parametrize("language", FOREIGN_TEXTS)
def test_other_languages_are_named(embedded: Backbone, language: str) -> None:
    found = reading_cost(embedded, FOREIGN_TEXTS[language], reference=read_reference(embedded_folder()))
    assert found.foreign is True, found


def test_little_text_is_not_judged(embedded: Backbone) -> None:
    reference = read_reference(embedded_folder())
    assert reading_cost(embedded, ["Wo ist mein Paket?"], reference=reference).foreign is None
    assert reading_cost(embedded, ["", " "], reference=reference).num_bytes == 0


def test_reference_is_that_of_the_card() -> None:
    reference = read_reference(embedded_folder())
    card = (embedded_folder() / "MODEL_CARD.md").read_text("utf-8")
    assert reference is not None
    (head,) = (line for line in card.splitlines() if line.startswith("| bits per byte"))
    (row,) = (line for line in card.splitlines() if line.startswith("| generation 2 "))
    told = dict(zip(head.split(" | ")[1:], row.split(" | ")[1:], strict=True))
    assert {name: f"{bits:.3f}" for name, bits in reference.bits_per_byte.items()} == {
        name.removesuffix(" |"): bits.removesuffix(" |") for name, bits in told.items()
    }


def test_a_broken_reference_is_an_error(tmp_path: Path) -> None:
    assert read_reference(tmp_path) is None
    for content in ("{", "[]", '{"bits_per_byte": {}, "language": "x", "source": "y"}'):
        (tmp_path / "reference.json").write_text(content)
        with pytest.raises(ModelError, match=r"reference\.json") as caught:
            read_reference(tmp_path)
        assert caught.value.code == "model.unreadable"


def test_the_sample_is_spread_and_bounded() -> None:
    model = tiny("llama")
    found = reading_cost(model, [f"text {n} " * 400 for n in range(500)], reference=Reference({"x": 1.0}, "y", "z"))
    assert found.num_texts == 32
    assert found.num_bytes <= 32 * 600
