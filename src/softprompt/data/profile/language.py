"""Which language texts are in: by script, and among Latin scripts by their commonest words.

A language is named when its function words (articles, prepositions, pronouns: a twentieth to a half of running text)
are clearly more frequent than any other language's. Short, mixed or listed texts stay unnamed rather than guessed. The
word lists are the most frequent function words of each language, written down for this module; words that stand in
several lists count for each. Program code is told by its punctuation.

Not a classifier of dialects, and not for single sentences: it looks at a sample of a column.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["LANGUAGES", "Language", "detect_language"]

#: Code -> name, of what can be found.
LANGUAGES: dict[str, str] = {
    "en": "English",
    "de": "German",
    "fr": "French",
    "es": "Spanish",
    "it": "Italian",
    "pt": "Portuguese",
    "nl": "Dutch",
    "sv": "Swedish",
    "da": "Danish or Norwegian",
    "fi": "Finnish",
    "pl": "Polish",
    "cs": "Czech",
    "tr": "Turkish",
    "ja": "Japanese",
    "zh": "Chinese",
    "ko": "Korean",
    "ru": "a language in Cyrillic script",
    "el": "Greek",
    "ar": "a language in Arabic script",
    "he": "Hebrew",
    "hi": "a language in Devanagari script",
    "th": "Thai",
    "code": "program code",
}

_WORDS: dict[str, str] = {
    "en": "the and is to of it that was for you have with not this but are on they be i my we can what will your when "
    "in a an at by from his her there has how",
    "de": "der die und das ist nicht ich es ein eine zu den mit von auf für sich dem auch wird bei ihr wir habe aber",
    "fr": "le la les des et est une dans pour que qui pas sur avec je vous au du ce il elle nous mais mon par être",
    "es": "el la los las y es una en que no por con para del se lo un mi me pero su muy como está fue ha al",
    "it": "il la di che è un una per non sono con del della le i gli in mi ma ho si da nel anche come questo alla",
    "pt": "o a os as e é um uma não que para com do da em no na por mas eu meu minha está foi se ao como muito",
    "nl": "de het een en van is niet ik op te dat voor met zijn er aan maar ook bij naar heb wordt mijn wij",
    "sv": "och att det är en som på jag inte för med har den av till om ett men var vi kan från min så",
    "da": "og det er en at jeg ikke til på med har den af for som et men vi kan fra min var så der",
    "fi": "ja on ei se että en hän oli ovat mutta niin kuin myös kun tai minun ole sen joka nyt vain",
    "pl": "i nie to się na w jest że z do jak o ale po za co od są przez moje mam już był tak czy",
    "cs": "a je se na to že v ne s jsem do za ale jak pro tak po by jsou mi už který není když",
    "tr": "ve bir bu da de için çok ne ama ile gibi daha var ben değil mi olarak en kadar sonra o",
}
_OF_WORD: dict[str, list[str]] = {}
for _code, _words in _WORDS.items():
    for _word in _words.split():
        _OF_WORD.setdefault(_word, []).append(_code)

_SCRIPTS: tuple[tuple[str, str], ...] = (
    ("ja", "\u3040-\u30ff"),
    ("ko", "\uac00-\ud7af\u1100-\u11ff"),
    ("zh", "\u4e00-\u9fff"),
    ("ru", "\u0400-\u04ff"),
    ("el", "\u0370-\u03ff"),
    ("ar", "\u0600-\u06ff"),
    ("he", "\u0590-\u05ff"),
    ("hi", "\u0900-\u097f"),
    ("th", "\u0e00-\u0e7f"),
)
_SCRIPT_OF = [(code, re.compile(f"[{letters}]")) for code, letters in _SCRIPTS]
_WORD = re.compile(r"[^\W\d_]+")
_CODE = re.compile(r"[{};=<>]|\(\)|\w\(|==|->|::|^\s*(?:def|class|import|return|#include|function|const|var)\b", re.M)

SAMPLE_CHARS = 60_000
FEW_WORDS = 40  #: fewer tell nothing
LEAST = 0.08  #: share of function words below which no language is named; English lists of products have 0.02
CLEAR = 1.3  #: times the runner-up's
CODE_MARKS = 0.03  #: marks of code a character: the modules of this package have 0.05, JSON 0.03, messages 0.000
JAPANESE = 0.1  #: share of kana among its letters: Chinese has none


@dataclass(frozen=True, slots=True)
class Language:
    """A language that was found.

    Attributes:
        code: A key of :data:`LANGUAGES`; ``""`` when none can be named.
        why: What speaks for it, or why none is named.
    """

    code: str
    why: str

    @property
    def name(self) -> str:
        """For people."""
        return LANGUAGES.get(self.code, "not sure which language")


def detect_language(texts: Sequence[str]) -> Language:
    """The language of most of the texts.

    >>> detect_language(["Where is my parcel? It was sent on Monday and I have not got it."] * 5)
    Language(code='en', why='67 % of its words are the commonest English ones')
    >>> detect_language(["Kettle 2l", "Router X5"]).why
    'only 4 words'
    """
    sample = "\n".join(texts)[:SAMPLE_CHARS]
    letters = sum(mark.isalpha() for mark in sample)
    if letters == 0:
        return Language("", "no letters")
    script, share = _script(sample, letters)
    if script:
        return Language(script, f"{share:.0%} of its letters".replace("%", " %"))
    if len(_CODE.findall(sample)) / len(sample) >= CODE_MARKS:
        return Language("code", "braces, semicolons, calls and assignments")
    words = [word.lower() for word in _WORD.findall(sample)]
    if len(words) < FEW_WORDS and len(texts) < FEW_WORDS:
        return Language("", f"only {len(words)} words")
    hits = Counter(code for word in words for code in _OF_WORD.get(word, ()))
    ranked = hits.most_common(2)
    if not ranked or ranked[0][1] / len(words) < LEAST:
        return Language("", "hardly any of the commonest words of a language that is known here")
    best, count = ranked[0]
    if len(ranked) > 1 and count < CLEAR * ranked[1][1]:
        return Language("", f"{LANGUAGES[best]} and {LANGUAGES[ranked[1][0]]} fit almost alike")
    return Language(best, f"{100 * count / len(words):.0f} % of its words are the commonest {LANGUAGES[best]} ones")


def _script(sample: str, letters: int) -> tuple[str, float]:
    """A script that is not Latin, where it has most of the letters."""
    shares = {code: len(pattern.findall(sample)) / letters for code, pattern in _SCRIPT_OF}
    han = shares["zh"] + shares["ja"]
    if han > 0.5:
        return ("ja" if shares["ja"] > JAPANESE * han else "zh"), min(1.0, han)
    code = max(shares, key=shares.__getitem__)
    return (code, min(1.0, shares[code])) if shares[code] > 0.5 else ("", 0.0)
