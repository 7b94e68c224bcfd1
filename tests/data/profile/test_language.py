"""Languages by their commonest words and scripts."""

import pytest

from softprompt.data.profile.language import LANGUAGES, detect_language

TEXTS = {
    "en": "Where is my parcel? It has been on its way for two weeks and I have not heard from you.",
    "de": "Mein Paket ist seit zwei Wochen unterwegs und niemand kann mir sagen, wo es gerade liegt.",
    "fr": "Mon colis n'est toujours pas arrivé et je ne sais pas ce que vous allez faire pour moi.",
    "es": "Mi paquete lleva dos semanas en camino y nadie sabe decirme dónde está por el momento.",
    "it": "Il mio pacco non è ancora arrivato e nessuno mi sa dire che cosa si può fare per averlo.",
    "pt": "O meu pacote ainda não chegou e ninguém sabe me dizer o que foi feito com ele, mas eu espero.",
    "nl": "Mijn pakket is al twee weken onderweg en niemand kan mij vertellen waar het op dit moment is.",
    "sv": "Mitt paket har varit på väg i två veckor och jag vet inte var det är, men vi kan inte vänta.",
    "pl": "Moja paczka jest w drodze od dwóch tygodni i nie wiem, gdzie się podziała, ale to nie jest dobre.",
    "ja": "荷物がまだ届きません。追跡番号を入力しても何も変わっていません。",
    "zh": "我的包裹已经在路上两个星期了，没有人能告诉我它在哪里。",
    "ko": "소포가 아직 도착하지 않았습니다. 어디에 있는지 알려 주세요.",
    "ru": "Моя посылка в пути уже две недели, и никто не может сказать, где она.",
    "el": "Το δέμα μου δεν έχει φτάσει ακόμα και κανείς δεν ξέρει πού είναι.",
    "ar": "لم يصل طردي بعد ولا أحد يعرف أين هو الآن.",
    "code": "def total(rows):\n    return sum(row[0] for row in rows)\n\nfor (int i = 0; i < n; i++) { f(x); }",
}


@pytest.mark.parametrize("code", TEXTS)
def test_a_column_of_one_language_is_named(code: str) -> None:
    found = detect_language([TEXTS[code]] * 4)
    assert found.code == code
    assert found.name == LANGUAGES[code]


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (["Kettle", "Lamp"], "only 2 words"),
        (["12", "👍"], "no letters"),
        (["SKU kettle black steel", "SKU lamp oak metal"] * 20, "hardly any"),
        ([TEXTS["en"], TEXTS["sv"]] * 10, "fit almost alike"),
    ],
)
def test_what_is_not_sure_is_not_named(texts: list[str], why: str) -> None:
    found = detect_language(texts)
    assert (found.code, found.name) == ("", "not sure which language")
    assert why in found.why
