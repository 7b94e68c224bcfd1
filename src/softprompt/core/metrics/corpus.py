"""Corpus metrics of generated text, BLEU and chrF, from n-gram counts that add up over items.

Tokens and n-grams come from sacrebleu (extra ``metrics``), so the scores are the published ones. Knows nothing of
single answers (see ``answers``); a single item's BLEU is not meant to be read.
"""

from collections import Counter
from collections.abc import Sequence
from types import ModuleType

import numpy as np
from jaxtyping import Float

from softprompt.core.errors import ExtraError
from softprompt.core.metrics.protocol import reference_texts

__all__ = ["Bleu", "ChrF"]

_ORDER = 4
_CHAR_ORDER = 6
_BETA = 2


class Bleu:
    """BLEU in percent: 4-grams, tokens ``13a``, smoothing ``exp``; equals sacrebleu's corpus score.

    BLEU = 100 min(1, exp(1 - r/h)) (prod_n c_n / t_n)^(1/4), with h and r the lengths of predictions and references,
    c_n and t_n matched and all n-grams. An item is (h, r, c_1..c_4, t_1..t_4), [10]. An abstention (None) is an empty
    text.

    Source: Papineni et al., ACL 2002, 311-318; Post, WMT 2018, 186-191.

    Raises:
        ExtraError: ``extra.missing`` without sacrebleu.

    >>> Bleu().item("the cat sat", "the cat sat down").astype(int).tolist()
    [3, 4, 3, 2, 1, 0, 3, 2, 1, 0]
    """

    name = "bleu"
    higher_is_better = True
    proportion = False
    bounds = (0.0, 100.0)

    def __init__(self) -> None:
        # force: no advice about tokenised text, which sacrebleu would log
        self._bleu = _sacrebleu("BLEU").BLEU(force=True)

    def item(self, prediction: str | None, reference: str | Sequence[str]) -> Float[np.ndarray, "d"]:
        """(h, r, c_1..c_4, t_1..t_4); r is the nearest length and c_n clipped by the largest count of any reference."""
        score = self._bleu.corpus_score([prediction or ""], [[text] for text in reference_texts(reference)])
        return np.array([score.sys_len, score.ref_len, *score.counts, *score.totals], dtype=np.float64)

    def total(self, sums: Float[np.ndarray, "d"]) -> float:
        """BLEU in percent."""
        lengths, counts, totals = sums[:2], sums[2 : 2 + _ORDER].tolist(), sums[2 + _ORDER :].tolist()
        score = self._bleu.compute_bleu(counts, totals, int(lengths[0]), int(lengths[1]), smooth_method="exp")
        return float(score.score)


class ChrF:
    """chrF2 in percent: F-score (beta 2) of character 1- to 6-grams without blanks; equals sacrebleu's corpus score.

    With P and R the means over the orders of precision and recall: chrF = 100 (1 + 4) P R / (4 P + R). An item is
    (prediction's n-grams, reference's, shared) by order, [18]; of several references the nearest counts. It needs no
    words, so it suits every language. An abstention (None) is an empty text.

    Source: Popović, WMT 2015, 392-395.

    Raises:
        ExtraError: ``extra.missing`` without sacrebleu.

    >>> metric = ChrF()
    >>> round(metric.total(metric.item("größer", "grösser")), 1)
    24.3
    """

    name = "chrf"
    higher_is_better = True
    proportion = False
    bounds = (0.0, 100.0)

    def __init__(self) -> None:
        self._helpers = _sacrebleu("chrF").helpers

    def item(self, prediction: str | None, reference: str | Sequence[str]) -> Float[np.ndarray, "d"]:
        """(in prediction, in reference, shared) for orders 1 to 6, of the reference with the highest chrF."""
        ours = self._ngrams(prediction or "")
        candidates = [_matches(ours, self._ngrams(text)) for text in reference_texts(reference)]
        return max(candidates, key=self.total)

    def total(self, sums: Float[np.ndarray, "d"]) -> float:
        """chrF2 in percent; an order that one side has no n-gram of is left out."""
        ours, theirs, shared = sums.reshape(_CHAR_ORDER, 3).T
        there = (ours > 0) & (theirs > 0)
        if not shared.any():
            return 0.0
        precision, recall = np.mean(shared[there] / ours[there]), np.mean(shared[there] / theirs[there])
        return float(100 * (1 + _BETA**2) * precision * recall / (_BETA**2 * precision + recall))

    def _ngrams(self, text: str) -> list[Counter[str]]:
        found: list[Counter[str]] = self._helpers.extract_all_char_ngrams(text, _CHAR_ORDER)
        return found


def _matches(ours: list[Counter[str]], theirs: list[Counter[str]]) -> Float[np.ndarray, "d"]:
    # sacrebleu counts no n-grams of the prediction at an order the reference is too short for
    rows = [(a.total() if b else 0, b.total(), (a & b).total()) for a, b in zip(ours, theirs, strict=True)]
    return np.array(rows, dtype=np.float64).reshape(-1)


def _sacrebleu(purpose: str) -> ModuleType:
    try:
        import sacrebleu.metrics
    except ImportError:
        raise ExtraError.needs("sacrebleu", extra="metrics", purpose=purpose) from None
    module: ModuleType = sacrebleu.metrics
    return module
