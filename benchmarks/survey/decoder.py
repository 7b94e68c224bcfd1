"""An encoder-decoder to measure on, where none is at hand: a sentence encoder becomes a BART with a young decoder.

    python benchmarks/survey/decoder.py --encoder FOLDER --texts FILE ... --minutes 30 --output FOLDER

BART's encoder layers compute what BERT's do, so the encoder's weights are carried over and its output stays the same
(up to BART's larger constant in the norms). Decoder layers begin as copies of encoder layers, their attention to the
text too, and learn with everything else frozen: to restore texts of 44 tokens of which 15 to 60 % are masked in spans,
against the batch's own words and 2,500 drawn ones. Texts are lines of plain or zstd files.

Source: Lewis et al. 2020 (BART), https://arxiv.org/abs/1910.13461, section 2.2 (text infilling).
"""

import argparse
import itertools
import random
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModel, AutoTokenizer, BartConfig, BartForConditionalGeneration, BertModel

__all__ = ["bart_of", "main"]

LAYERS, TOKENS, ROWS, DRAWN, RATE = 3, 44, 48, 2500, 4e-4


def bart_of(bert: BertModel, *, begin: int, end: int, layers: int = LAYERS) -> BartForConditionalGeneration:
    """A BART with this encoder, and a decoder of ``layers`` copies of its layers.

    Args:
        bert: Absolute positions.
        begin: Id of ``[CLS]``.
        end: Id of ``[SEP]``, with which the decoder begins, too.
        layers: Of the decoder.
    """
    c, e = bert.config, bert.embeddings
    shape = {f"{side}_attention_heads": c.num_attention_heads for side in ("encoder", "decoder")}
    shape |= {f"{side}_ffn_dim": c.intermediate_size for side in ("encoder", "decoder")}
    shape |= {"encoder_layers": c.num_hidden_layers, "decoder_layers": layers, "d_model": c.hidden_size}
    marks = {"pad_token_id": c.pad_token_id, "bos_token_id": begin, "eos_token_id": end, "decoder_start_token_id": end}
    config = BartConfig(
        vocab_size=c.vocab_size, max_position_embeddings=c.max_position_embeddings, forced_eos_token_id=None,
        dropout=0.0, **shape, **marks,
    )  # fmt: skip
    made = BartForConditionalGeneration(config).eval()
    with torch.no_grad():
        made.model.shared.weight.copy_(e.word_embeddings.weight)
        places = e.position_embeddings.weight + e.token_type_embeddings.weight[0]
        for half in (made.model.encoder, made.model.decoder):
            half.embed_positions.weight[half.embed_positions.offset :].copy_(places)
            half.layernorm_embedding.load_state_dict(e.LayerNorm.state_dict())
    of_encoder = list(bert.encoder.layer)
    for to, of in zip(made.model.encoder.layers, of_encoder, strict=True):
        _carry(to, of)
    stride = max(1, len(of_encoder) // layers)
    for to, of in zip(made.model.decoder.layers, itertools.cycle(of_encoder[stride - 1 :: stride]), strict=False):
        _carry(to, of)
        _attention(to.encoder_attn, of.attention)
    made.tie_weights()
    return made


def _carry(to: nn.Module, of: Any) -> None:
    """One layer of BERT into one of BART."""
    _attention(to.self_attn, of.attention)
    pairs = {"self_attn_layer_norm": of.attention.output.LayerNorm, "fc1": of.intermediate.dense}
    for name, source in (pairs | {"fc2": of.output.dense, "final_layer_norm": of.output.LayerNorm}).items():
        getattr(to, name).load_state_dict(source.state_dict())


def _attention(to: Any, of: Any) -> None:
    for name, source in (("q", of.self.query), ("k", of.self.key), ("v", of.self.value), ("out", of.output.dense)):
        getattr(to, f"{name}_proj").load_state_dict(source.state_dict())


def train(model: BartForConditionalGeneration, texts: Iterator[list[int]], *, mask: int, minutes: float) -> None:
    """Let the decoder restore masked texts, for so long.

    Args:
        model: Its decoder learns.
        texts: Ids without marks.
        mask: Id of the mask.
        minutes: On the clock.
    """
    words, decoder = model.model.shared.weight, model.model.decoder
    model.requires_grad_(False)
    learnt = [*decoder.layers.parameters(), *decoder.layernorm_embedding.parameters()]
    learnt = [one.requires_grad_() for one in (*learnt, decoder.embed_positions.weight)]
    bias = nn.Parameter(torch.zeros(len(words)))
    groups = [{"params": learnt, "lr": RATE}, {"params": [bias], "lr": 25 * RATE, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.98))
    begun, left = time.monotonic(), 1.0
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: min(1.0, (step + 1) / 100) * left)
    while left > 0.02:
        ids, labels = _batch([next(texts) for _ in range(ROWS)], model.config, mask=mask)
        seen, there = ids != model.config.pad_token_id, labels >= 0
        start = torch.full((len(labels), 1), model.config.decoder_start_token_id)
        given = torch.cat([start, labels[:, :-1].clamp(min=0)], dim=1)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            read = model.model.encoder(input_ids=ids, attention_mask=seen)[0]
            states = decoder(input_ids=given, encoder_hidden_states=read, encoder_attention_mask=seen)[0][there]
            drawn = torch.randint(len(words), (DRAWN,))
            among = torch.unique(torch.cat([labels[there], drawn]))
            logits = states @ words[among].T + bias[among]
        functional.cross_entropy(logits.float(), torch.searchsorted(among, labels[there])).backward()
        nn.utils.clip_grad_norm_(learnt, 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        left = 1 - (time.monotonic() - begun) / (60 * minutes)
    model.final_logits_bias.copy_(bias.detach()[None])


def _batch(texts: Sequence[list[int]], config: BartConfig, *, mask: int) -> tuple[Tensor, Tensor]:
    """Masked texts with their marks [B, L], and what they were with a terminator [B, T], -100 behind it."""
    masked = [torch.tensor([config.bos_token_id, *_masked(text, mask), config.eos_token_id]) for text in texts]
    whole = [torch.tensor([*text, config.eos_token_id]) for text in texts]
    ids = nn.utils.rnn.pad_sequence(masked, batch_first=True, padding_value=config.pad_token_id)
    return ids, nn.utils.rnn.pad_sequence(whole, batch_first=True, padding_value=-100)


def _masked(text: Sequence[int], mask: int) -> list[int]:
    """Spans of three tokens on average become one mask each."""
    found, place, share = [], 0, random.uniform(0.15, 0.6)
    while place < len(text):
        hidden = random.random() < share / 2.5
        found.append(mask if hidden else text[place])
        place += 1 + int(random.expovariate(0.5)) if hidden else 1
    return found


def texts_of(files: Sequence[Path], tokenizer: Any) -> Iterator[list[int]]:
    """Pieces of the files' lines in turn, mixed a little."""
    pool: list[list[int]] = []
    for line in itertools.chain.from_iterable(zip(*map(_lines, files), strict=False)):
        ids = tokenizer(line[:2000], add_special_tokens=False)["input_ids"]
        pool += [ids[at : at + TOKENS] for at in range(0, max(1, len(ids) - 12), TOKENS)]
        if len(pool) > 4096:
            random.shuffle(pool)
            while len(pool) > 1024:
                yield pool.pop()
    raise SystemExit("decoder.py: the texts came to an end before the time did; name more of them")


def _lines(path: Path) -> Iterator[str]:
    """Lines of more than a few words."""
    command = ["zstd", "-dc", str(path)] if path.suffix == ".zst" else ["cat", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8", errors="ignore") as run:
        assert run.stdout is not None
        yield from (line.strip() for line in run.stdout if len(line.strip()) > 60)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make, train and save."""
    parser = argparse.ArgumentParser(description="A sentence encoder becomes a BART with a young decoder.")
    parser.add_argument("--encoder", required=True, help="folder or hub id of a BERT")
    parser.add_argument("--texts", required=True, nargs="+", type=Path, help="files of plain text, or zstd")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--output", required=True, type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    random.seed(0)
    tokenizer: Any = AutoTokenizer.from_pretrained(options.encoder)
    tokenizer.bos_token, tokenizer.eos_token = tokenizer.cls_token, tokenizer.sep_token
    bert = AutoModel.from_pretrained(options.encoder, dtype=torch.float32)
    model = bart_of(bert, begin=tokenizer.bos_token_id, end=tokenizer.eos_token_id)
    train(model, texts_of(options.texts, tokenizer), mask=tokenizer.mask_token_id, minutes=options.minutes)
    model.to(torch.bfloat16).save_pretrained(options.output)
    tokenizer.save_pretrained(options.output)


if __name__ == "__main__":
    main()
