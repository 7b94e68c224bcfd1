"""What a classifier reads from the frozen model's states, beside what it reads from the words alone.

Both classifiers are logistic regressions whose regularisation is chosen by cross-validation on the training rows; the
test rows are used once. Knows nothing of files.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from .tokens import END_OF_TEXT

MOST_TOKENS = 256
FOLDS, ITERATIONS = 5, 500
STATE_STRENGTHS, WORD_STRENGTHS = (0.001, 0.01, 0.1), (1.0, 10.0, 100.0)  # grids of C


@torch.no_grad()
def text_states(
    model: LlamaForCausalLM, tokenizer: Tokenizer, texts: Sequence[str], *, batch_rows: int = 16
) -> np.ndarray:
    """A frozen vector for each text: mean and last of the final states, float32 [texts, 2 x hidden].

    A text is read behind an end-of-text token, cut to its first `MOST_TOKENS` tokens.
    """
    encoded = [encoding.ids[:MOST_TOKENS] for encoding in tokenizer.encode_batch(list(texts), add_special_tokens=False)]
    by_length = sorted(range(len(encoded)), key=lambda row: len(encoded[row]))
    states = np.zeros((len(texts), 2 * model.config.hidden_size), dtype=np.float32)
    device = next(model.parameters()).device
    for start in range(0, len(by_length), batch_rows):
        rows = by_length[start : start + batch_rows]
        lengths = torch.tensor([len(encoded[row]) + 1 for row in rows], device=device)
        width = int(lengths.max())
        padded = [[END_OF_TEXT, *encoded[row], *[END_OF_TEXT] * (width - 1 - len(encoded[row]))] for row in rows]
        # padding stands on the right, where a causal model's states of the text cannot see it
        hidden = model.model(torch.tensor(padded, device=device), use_cache=False).last_hidden_state.float()
        inside = (torch.arange(width, device=device) < lengths[:, None]).float()
        mean = torch.einsum("bth,bt->bh", hidden, inside / lengths[:, None])
        last = hidden[torch.arange(len(rows), device=device), lengths - 1]
        states[rows] = torch.cat([mean, last], dim=1).cpu().numpy()
    return states


@torch.no_grad()
def encoder_states(model: Any, tokenizer: Any, texts: Sequence[str], *, batch_rows: int = 16) -> np.ndarray:
    """A frozen vector for each text from a sentence encoder: the mean of its final states, float32 [texts, hidden]."""
    means = []
    for start in range(0, len(texts), batch_rows):
        part = list(texts[start : start + batch_rows])
        encoded = tokenizer(part, padding=True, truncation=True, max_length=MOST_TOKENS, return_tensors="pt")
        hidden = model(**encoded).last_hidden_state
        inside = encoded["attention_mask"][..., None].to(hidden)
        means.append(((hidden * inside).sum(1) / inside.sum(1)).numpy())
    return np.concatenate(means)


def fit_states(states: np.ndarray, labels: Sequence[str]) -> GridSearchCV:
    """A linear probe on standardised states."""
    return _choose(make_pipeline(StandardScaler(), LogisticRegression(max_iter=ITERATIONS)), STATE_STRENGTHS).fit(
        states, labels
    )


def fit_words(texts: Sequence[str], labels: Sequence[str]) -> GridSearchCV:
    """TF-IDF of words and word pairs with logistic regression."""
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    return _choose(make_pipeline(vectorizer, LogisticRegression(max_iter=ITERATIONS)), WORD_STRENGTHS).fit(
        list(texts), labels
    )


def _choose(pipeline: Any, strengths: Sequence[float]) -> GridSearchCV:
    return GridSearchCV(pipeline, {"logisticregression__C": list(strengths)}, cv=FOLDS)
