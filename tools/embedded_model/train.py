"""Packed tokens -> a trained model; killed at any moment, the same command goes on from the last checkpoint.

    python -m tools.embedded_model.train DATA --out RUN [--init MODEL] [--max-minutes 90] [--device cuda] [--compile]

RUN/log.jsonl has a line every few steps, RUN/checkpoint.safetensors is replaced every few minutes,
RUN/stable.safetensors is the state before the decay, RUN/model/ is the result. `touch RUN/DECAY` starts the decay at
once: the run then ends after --decay-steps. SIGTERM and Ctrl-C write a checkpoint first. A paused process (SIGSTOP)
loses nothing: minutes count only while it works.
"""

import argparse
import json
import math
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import LlamaForCausalLM

from .bits import held_out_bits
from .checkpoint import FILE, STABLE_FILE, Checkpoint, Progress, load_checkpoint, refuse_other_settings
from .gist import Gist, gist_loss
from .model import Shape, export_model, load_model, losses, matrices_and_rest, new_model
from .neighbours import neighbour_loss, reading_tokens
from .schedule import ActiveTime, Schedule, decay_asked
from .tokens import Blocks, token_files
from .vectors import load_vectors

CLIP_NORM = 1.0
PINNED = (
    *("seed", "rows", "micro_rows", "lengths", "share", "muon_lr", "adam_lr", "warmup_steps", "neighbours", "gist"),
    *("ask_every", "device", "threads", "compile"),
)
LOG_STEPS, HELD_OUT_BYTES, GIST_BLOCKS = 20, 60_000, 256


class Run:
    """One training run: the model, its two optimisers and where they stand.

    The settings that decide the result bit by bit travel with the checkpoint and must not change on resume.
    """

    def __init__(self, model: LlamaForCausalLM, blocks: Blocks, options: argparse.Namespace) -> None:
        self.options = options
        self.device = torch.device(options.device)
        self.model = model.to(self.device).train()
        self.blocks = blocks
        self.progress = Progress()
        self.clock = ActiveTime()
        self.schedule = Schedule(
            warmup_steps=options.warmup_steps,
            decay_steps=options.decay_steps,
            total_steps=options.steps,
            max_minutes=options.max_minutes,
        )
        matrices, rest = matrices_and_rest(self.model)
        self.optimisers: list[torch.optim.Optimizer] = [
            torch.optim.Muon(matrices, lr=options.muon_lr, weight_decay=0.05, adjust_lr_fn="original"),
            torch.optim.AdamW(rest, lr=options.adam_lr, betas=(0.9, 0.95), weight_decay=0.0),
        ]
        self.base_rates = [options.muon_lr, options.adam_lr]
        self.losses: Callable[[LlamaForCausalLM, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]] = (
            torch.compile(losses) if options.compile else losses
        )
        self.gist = self._make_gist() if options.gist else None
        self.stop_asked = False

    @property
    def settings(self) -> dict[str, Any]:
        """Those of `PINNED` as given."""
        return {key: getattr(self.options, key) for key in PINNED}

    def step(self) -> dict[str, float]:
        """One optimiser step over `rows` blocks; returns the mean losses: nats a token, nats a stretch, 1 - cosine."""
        progress, options = self.progress, self.options
        scale = self.schedule.scale(progress.step, progress.decay_start)
        for optimiser, rate in zip(self.optimisers, self.base_rates, strict=True):
            for group in optimiser.param_groups:
                group["lr"] = rate * scale
        length = options.lengths[progress.step % len(options.lengths)]
        ids = self.blocks.batch(progress.blocks, options.rows).view(-1, length)
        parts = max(options.lengths) // length
        asked, reading = self._draw(len(ids), length)
        told, size = dict[str, float](), options.micro_rows * parts
        for texts, behind in zip(ids.split(size), reading.split(size), strict=True):
            texts = texts.to(self.device)
            with torch.autocast(self.device.type, torch.bfloat16):
                summed, states = self.losses(self.model, texts, behind.to(self.device), asked.to(self.device))
            part = len(texts) / len(ids)
            found = {"loss": (1.0, summed / (len(texts) * len(asked)))}
            if options.neighbours and parts > 1:
                found["neighbours"] = (options.neighbours, neighbour_loss(states[:, -1], parts))
            if self.gist:
                found["gist"] = (options.gist, gist_loss(states, self.gist(texts)))
            for name, (_, loss) in found.items():
                told[name] = told.get(name, 0.0) + part * loss.item()
            torch.stack([part * weight * loss for weight, loss in found.values()]).sum().backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP_NORM)
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        progress.step += 1
        progress.blocks += self.options.rows
        progress.tokens += ids.numel()
        return told

    def _make_gist(self) -> Gist:
        """Centred on stretches of the first blocks of the run, as long as most that are asked."""
        length = min(self.options.lengths)
        sample = self.blocks.batch(0, GIST_BLOCKS).view(-1, length).to(self.device)
        directions, weights = (torch.from_numpy(array).to(self.device) for array in load_vectors(self.options.data))
        return Gist.of(directions, weights, sample)

    def _draw(self, count: int, length: int) -> tuple[Tensor, Tensor]:
        """The positions asked for their next token, and the tokens behind each text, of this step.

        Functions of seed and step, so that nothing has to be saved.
        """
        options = self.options
        generator = torch.Generator().manual_seed(options.seed * 1_000_003 + self.progress.step)
        asked = (
            torch.randperm(length - 1, generator=generator)[: math.ceil((length - 1) / options.ask_every)].sort().values
        )
        if not (options.neighbours or options.gist):
            return asked, torch.empty(count, 0, dtype=torch.long)
        return asked, reading_tokens(count, vocab_size=self.model.config.vocab_size, generator=generator)

    def save(self, name: str = FILE) -> None:
        """Write a checkpoint into the run folder."""
        self.progress.active_seconds = self.clock.seconds
        config = self.model.config.to_dict()
        state = Checkpoint.of(
            self.model, self.optimisers, progress=self.progress, settings=self.settings, config=config
        )
        state.save(self.options.out / name)

    def resume(self, saved: Checkpoint) -> None:
        """Go on where a checkpoint stands."""
        refuse_other_settings(saved.settings, self.settings)
        saved.restore(self.model, self.optimisers)
        self.progress = saved.progress
        self.clock.seconds = saved.progress.active_seconds

    def start_decay_if_due(self) -> None:
        if self.progress.decay_start is None and self.schedule.decay_is_due(
            self.progress.step,
            minutes=self.clock.seconds / 60,
            minutes_per_step=self.clock.per_step / 60,
            asked=decay_asked(self.options.out),
        ):
            self.save(STABLE_FILE)
            self.progress.decay_start = self.progress.step


def train(run: Run, tokenizer: Tokenizer, log: Callable[..., None]) -> bool:
    """Step until the schedule ends (True) or a signal asks to stop (False); a checkpoint stands in both cases."""
    options, told = run.options, list[dict[str, float]]()
    saved_at = time.monotonic()
    run.clock.tick(saved_at)
    while not run.stop_asked:
        run.start_decay_if_due()
        if run.schedule.is_over(run.progress.step, run.progress.decay_start):
            break
        told.append(run.step())
        now = time.monotonic()
        run.clock.tick(now)
        if run.progress.step % LOG_STEPS == 0:
            rate = options.rows * max(options.lengths) / max(run.clock.per_step, 1e-9)
            scale = run.schedule.scale(run.progress.step - 1, run.progress.decay_start)
            log(**_means(told), rate_scale=round(scale, 3), tokens_per_second=round(rate))
            told.clear()
        if run.progress.step % options.judge_steps == 0:
            log(held_out=_judge(run, tokenizer))
        if now - saved_at > 60 * options.save_minutes:
            run.save()
            saved_at = now
    run.save()
    return not run.stop_asked


def _means(told: Sequence[dict[str, float]]) -> dict[str, float]:
    """Mean of each loss over the steps that have it."""
    names = dict.fromkeys(name for one in told for name in one)
    values = {name: [one[name] for one in told if name in one] for name in names}
    return {name: round(sum(found) / len(found), 4) for name, found in values.items()}


def _judge(run: Run, tokenizer: Tokenizer, most_bytes: int | None = HELD_OUT_BYTES) -> dict[str, float]:
    bits = held_out_bits(
        run.model, tokenizer, run.options.data / "heldout", most_bytes=most_bytes, length=max(run.options.lengths)
    )
    return {name: round(value, 4) for name, value in bits.items()}


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line of this script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder written by prepare.py")
    parser.add_argument("--out", type=Path, required=True, help="the run folder")
    parser.add_argument("--init", type=Path, help="start from this model folder instead of fresh weights")
    parser.add_argument("--hidden", type=int, default=Shape.hidden, help="these three are ignored with --init")
    parser.add_argument("--layers", type=int, default=Shape.layers)
    parser.add_argument("--intermediate", type=int, default=Shape.intermediate)
    parser.add_argument("--steps", type=int, help="end after so many steps, the decay included")
    parser.add_argument("--max-minutes", type=float, help="end after about so many working minutes, the decay included")
    parser.add_argument("--warmup-steps", type=int, default=Schedule.warmup_steps)
    parser.add_argument("--decay-steps", type=int, default=Schedule.decay_steps)
    parser.add_argument("--muon-lr", type=float, default=0.02, help="peak rate of the matrices")
    parser.add_argument("--adam-lr", type=float, default=0.003, help="peak rate of embeddings and norms")
    parser.add_argument("--rows", type=int, default=32, help="blocks an optimiser step")
    parser.add_argument("--micro-rows", type=int, default=16, help="blocks a forward pass (gradients are accumulated)")
    parser.add_argument(
        "--lengths",
        type=int,
        nargs="+",
        default=[512],
        help="sequence lengths, taken in turn; each divides the longest, the block",
    )
    parser.add_argument(
        "--share", nargs="*", default=[], metavar="NAME=PART", help="read only this part of a corpus in a pass"
    )
    parser.add_argument(
        "--neighbours", type=float, default=0.0, help="weight of the neighbour objective on shorter lengths; 0 for none"
    )
    parser.add_argument(
        "--gist", type=float, default=0.0, help="weight of the gist objective (needs vectors.py); 0 for none"
    )
    parser.add_argument(
        "--ask-every",
        type=int,
        default=1,
        help="predict one in so many tokens, drawn anew each step: a large vocabulary is dear",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--save-minutes", type=float, default=3.0)
    parser.add_argument("--judge-steps", type=int, default=400, help="held-out bits per byte every so many steps")
    options = parser.parse_args(arguments)
    if any(max(options.lengths) % length for length in options.lengths):
        parser.error(f"--lengths {options.lengths}: each must divide the longest")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    options = parse_options(arguments)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    shares = {name: float(part) for name, part in (item.split("=") for item in options.share)}
    blocks = Blocks(token_files(options.data), length=max(options.lengths), shares=shares, seed=options.seed)
    tokenizer = Tokenizer.from_file(str(options.data / "tokenizer.json"))
    shape = Shape(options.hidden, options.layers, options.intermediate, tokenizer.get_vocab_size())
    run = Run(load_model(options.init) if options.init else new_model(shape), blocks, options)
    if (options.out / FILE).exists():
        run.resume(load_checkpoint(options.out / FILE))

    def log(**values: Any) -> None:
        p = run.progress
        line = json.dumps({"step": p.step, "tokens": p.tokens, "minutes": round(run.clock.seconds / 60, 2), **values})
        print(line, flush=True)
        with (options.out / "log.jsonl").open("a") as out:
            out.write(line + "\n")

    def ask_to_stop(*_: object) -> None:
        run.stop_asked = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask_to_stop)
    log(start=blocks.describe(), parameters=run.model.num_parameters(), settings=run.settings)
    if train(run, tokenizer, log):
        export_model(run.model, options.data / "tokenizer.json", options.out / "model")
        log(done=str(options.out / "model"), held_out=_judge(run, tokenizer, None))
    else:
        log(stopped="the same command goes on from here")


if __name__ == "__main__":
    main()
