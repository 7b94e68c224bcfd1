"""How a contender is written: a word, a text prompt, or a mapping with everything that can be set.

    contenders:
      - tfidf
      - before                            # soft tokens before the text; any method's name, too: residual, deep
      - {kind: few-shot, shots: 8, choose: similar}
      - "{text}\\nTopic of this message: {answer}"     # a text prompt of your own
      - {kind: lora, rank: 16}
      - {kind: api, url: https://api.example.com/v1, model: some-model, key_env: API_KEY, price_in: 1, price_out: 4}

Knows the names of kinds and methods; what may stand in a mapping, :mod:`~softprompt.lab.comparison.settings` says.
"""

from collections.abc import Mapping
from typing import Any

from softprompt.core.errors import ConfigError, nearest
from softprompt.model.methods.table import METHODS

__all__ = ["KINDS", "parse_entrant"]

#: Kinds of contenders.
KINDS = ("majority", "tfidf", "embeddings", "zero-shot", "few-shot", "text", "soft", "ensemble", "lora", "full", "api")

#: Kinds that a word alone does not say enough of, and what to write.
INCOMPLETE: Mapping[str, str] = {
    "api": "a mapping in a settings file: {kind: api, url: https://.../v1, model: NAME}",
    "text": "the text prompt itself, with {answer}",
}

#: Words that stand for more than their kind.
WORDS: Mapping[str, Mapping[str, Any]] = {
    "before": {"kind": "soft", "place": "before"},
    "after": {"kind": "soft", "place": "after"},
    "few-shot-similar": {"kind": "few-shot", "choose": "similar"},
}


def parse_entrant(value: Any) -> Any:
    """A contender's word or mapping as a mapping with ``kind``.

    Raises:
        ConfigError: ``config.unknown_name``; ``config.invalid``: a word that needs more than itself.

    >>> parse_entrant("after"), parse_entrant("residual")
    ({'kind': 'soft', 'place': 'after'}, {'kind': 'soft', 'method': 'residual'})
    >>> parse_entrant("{text} Topic: {answer}")
    {'kind': 'text', 'template': '{text} Topic: {answer}'}
    >>> parse_entrant("lorra")
    Traceback (most recent call last):
    softprompt.core.errors.ConfigError: no contender is called 'lorra'; did you mean 'lora'? ...
    >>> parse_entrant("{text} Topic:")
    Traceback (most recent call last):
    softprompt.core.errors.ConfigError: '{text} Topic:' is neither a contender nor a text prompt: it has no {answer} ...
    >>> parse_entrant("api")
    Traceback (most recent call last):
    softprompt.core.errors.ConfigError: the contender 'api' needs more than its name ...
    """
    if isinstance(value, Mapping) and (kind := value.get("kind")) is not None and kind not in KINDS:
        raise _unknown(str(kind))
    if not isinstance(value, str):
        return value
    if "{answer}" in value:
        return {"kind": "soft" if "<soft" in value else "text", "template": value}
    if value in WORDS:
        return dict(WORDS[value])
    if value in METHODS:
        return {"kind": "soft", "method": value}
    if value not in KINDS:
        raise _unknown(value)
    if value in INCOMPLETE:
        raise ConfigError(
            "config.invalid", f"the contender {value!r} needs more than its name", cure=f"write {INCOMPLETE[value]}"
        )
    return {"kind": value}


def _unknown(value: str) -> ConfigError:
    known = dict.fromkeys((*KINDS, *WORDS, *METHODS))
    if "{" in value:
        message = f"{value!r} is neither a contender nor a text prompt: it has no {{answer}}"
        return ConfigError("config.unknown_name", message, cure="write {answer} where the model is to answer")
    return ConfigError("config.unknown_name", f"no contender is called {value!r}; {nearest(value, known)}")
