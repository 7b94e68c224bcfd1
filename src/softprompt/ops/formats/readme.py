"""README.md of an export: what it is, and which text goes with the numbers. For people; nothing reads it back."""

from softprompt.model.prompts.prompt import Prompt
from softprompt.model.templates.parts import Bos
from softprompt.model.templates.segments import SlotSpec, TextPiece
from softprompt.ops.formats.opening import Opening, template_of

__all__ = ["peft_page", "vllm_page"]


def peft_page(prompt: Prompt, opening: Opening, *, kind: str, num_vectors: int) -> str:
    """How an adapter is loaded with PEFT, and the text that it was trained with."""
    model = prompt.manifest.model
    spoken = [_said(piece) for piece in opening.before]
    if model.kind == "seq2seq":
        return _encoder_page(prompt, opening, kind=kind, num_vectors=num_vectors)
    return f"""# {prompt.name or "A soft prompt"}

A soft prompt for `{model.id}` (fingerprint `{model.fingerprint[:12]}`), exported by softprompt for PEFT as {kind}.
Its {num_vectors} virtual tokens stand for: {", ".join(spoken)}.

PEFT puts them in front of the text. It was trained with this template, so give the model exactly

    {_block(opening.rest)}

with your text in place of the names in braces, and read the answer behind it. {_answers(prompt, opening)}
Tokenise without special tokens (`add_special_tokens=False`); what the template needs of them is in the virtual tokens.
For the very numbers of softprompt tokenise each part by itself: {_parts(opening)}.

```python
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{model.id}")
model = AutoModelForCausalLM.from_pretrained("{model.id}")
model = PeftModel.from_pretrained(model, "THIS FOLDER").eval()
ids = tokenizer("...", add_special_tokens=False, return_tensors="pt").input_ids
logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
```

Use one row at a time, or rows of one length: PEFT gives padded rows wrong positions with several model families.

`softprompt import` makes a saved prompt of this folder again.{_embedded(model.id)}
"""


def _encoder_page(prompt: Prompt, opening: Opening, *, kind: str, num_vectors: int) -> str:
    """The same for an encoder-decoder: its encoder reads the text, its decoder writes the answer."""
    model = prompt.manifest.model
    place = "in front of the encoder's text"
    if kind in ("PREFIX_TUNING", "CARTRIDGE"):
        place = "in front of what the decoder begins with, as keys and values"
    written = f" It begins with `{opening.written!r}`, behind what a decoder begins with." if opening.written else ""
    return f"""# {prompt.name or "A soft prompt"}

A soft prompt for `{model.id}` (fingerprint `{model.fingerprint[:12]}`), exported by softprompt for PEFT as {kind}.
Its {num_vectors} virtual tokens stand {place}.

It was trained with this template, so let the encoder read exactly

    {_block(opening.rest)}

with your text in place of the names in braces, as the model's own tokenizer writes a text (its mark at the end
included); the decoder writes the answer.{written} {_answers(prompt, opening)}

```python
import torch
from peft import PeftModel
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{model.id}")
model = AutoModelForSeq2SeqLM.from_pretrained("{model.id}")
model = PeftModel.from_pretrained(model, "THIS FOLDER").eval()
ids = tokenizer("...", return_tensors="pt").input_ids
begin = [model.config.decoder_start_token_id]
if (first := model.generation_config.forced_bos_token_id) is not None:  # BART's decoder always writes it first
    begin.append(first)
mask = torch.ones_like(ids)
logits = model(input_ids=ids, attention_mask=mask, decoder_input_ids=torch.tensor([begin])).logits
```

`softprompt import` makes a saved prompt of this folder again.
"""


def vllm_page(prompt: Prompt) -> str:
    """How the vectors are sent to vLLM."""
    model, template = prompt.manifest.model, template_of(prompt)
    slots = ", ".join(f"`{name}` ({spec.length} vectors)" for name, spec in template.slots.items())
    return f"""# {prompt.name or "A soft prompt"}

Soft tokens for `{model.id}` (fingerprint `{model.fingerprint[:12]}`), exported by softprompt for vLLM: {slots}.

Template (each part is tokenised by itself, without special tokens):

    {_block(str(template))}

Start the server with embeddings allowed:

    vllm serve {model.id} --enable-prompt-embeds

and send the whole row as embeddings, the model's own for the words and these for the soft tokens:

```python
from softprompt.ops.formats.vllm_client import VllmClient
import softprompt as sp

prompt = sp.load("THE SAVED PROMPT")
client = VllmClient(prompt, sp.load_model("{model.id}"), url="http://127.0.0.1:8000", model="{model.id}")
print(client.complete({{{", ".join(f'"{name}": "..."' for name in template.fields)}}}).text)
```
"""


def _embedded(name: str) -> str:
    """Where the model is that comes with the package and has no name elsewhere."""
    if name != "embedded":
        return ""
    place = "`softprompt.model.backbones.loading.embedded_folder()`"
    return f"\n`embedded` is the model that comes with softprompt: put the folder {place} in place of that name."


def _said(piece: object) -> str:
    match piece:
        case SlotSpec(name=name, length=length):
            return f"{length} trained vectors (`{name}`)"
        case TextPiece(text=text):
            return f"the words `{text!r}`"
        case Bos():
            return "the beginning of sequence"
    return ""


def _parts(opening: Opening) -> str:
    parts = [f"`{piece.text!r}`" for piece in opening.after if isinstance(piece, TextPiece)]
    return ", ".join([*parts, f"the answer with `{opening.lead!r}` before it"])


def _answers(prompt: Prompt, opening: Opening) -> str:
    labels = prompt.manifest.task.get("labels")
    if not isinstance(labels, dict) or not labels:
        return "Answers end with the model's end of sequence."
    says = [str(one.get("say", name)) if isinstance(one, dict) else str(one) for name, one in labels.items()]
    listed = ", ".join(f"`{opening.lead + say!r}`" for say in says[:20])
    return f"The answers are {listed}, each with the end of sequence behind it."


def _block(text: str) -> str:
    return text.replace("\n", "\n    ")
