"""A training checkpoint -> the folder that is shipped (bfloat16 safetensors, config, tokenizer).

    python -m tools.embedded_model.export RUN/checkpoint.safetensors --tokenizer DATA/tokenizer.json --out FOLDER

A run that ends by itself has already done this; for one that still goes on, export its last checkpoint.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from transformers import LlamaConfig, LlamaForCausalLM

from .checkpoint import load_checkpoint, restore_weights
from .model import export_model


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True, help="the tokenizer.json the tokens were packed with")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    saved = load_checkpoint(options.checkpoint)
    model = LlamaForCausalLM(LlamaConfig.from_dict(saved.config))
    restore_weights(model, saved.model)
    export_model(model, options.tokenizer, options.out)
    print(f"{options.out}: step {saved.progress.step}, {saved.progress.tokens / 1e6:.1f}M tokens")


if __name__ == "__main__":
    main()
