"""Between a saved prompt and what the floors below work with: identity, manifest, and the way back to an ask."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from softprompt.app.config import ModelSettings
from softprompt.app.recipes.mapping import columns_of
from softprompt.app.recipes.prepare import Prepared, load_backbone
from softprompt.app.watch import Watcher
from softprompt.core.answers import AnswerSettings
from softprompt.core.errors import PromptError
from softprompt.core.tasks import parse_task
from softprompt.core.tensors import PromptTensors
from softprompt.lab.evaluation import Evaluation
from softprompt.model.backbones.base import Backbone, Spec
from softprompt.model.ensemble import Pooling
from softprompt.model.prediction import Ask
from softprompt.model.prompts.manifest import Manifest, MemberRecord, MethodRecord, ModelIdentity, Score
from softprompt.model.prompts.prompt import Prompt
from softprompt.model.templates import Described, RowBuilder

__all__ = ["ask_of", "backbone_for", "identity", "make_prompt", "scores_of", "strips_html"]


def identity(spec: Spec) -> ModelIdentity:
    """What a manifest says of a model."""
    return ModelIdentity(
        id=spec.name,
        revision=spec.revision,
        architecture=spec.family,
        fingerprint=spec.fingerprint,
        tokenizer=spec.tokenizer_hash,
        dtype=str(spec.dtype).removeprefix("torch."),
        kind=spec.kind,
        quantised=spec.quantised,
    )


def scores_of(evaluation: Evaluation, split: str) -> tuple[Score, ...]:
    """Scores as a manifest keeps them."""
    return tuple(
        Score(
            metric=metric,
            split=split,
            value=interval.estimate,
            low=interval.as_dict()["low"],
            high=interval.as_dict()["high"],
            level=interval.level,
            num_items=len(evaluation.items),
        )
        for metric, interval in evaluation.metrics.items()
    )


def make_prompt(
    ready: Prepared,
    tensors: PromptTensors,
    *,
    scores: Sequence[Score] = (),
    facts: Mapping[str, Any] | None = None,
    parents: Sequence[str] = (),
) -> Prompt:
    """A prompt to keep.

    Args:
        ready: The run it comes from.
        tensors: Of the trained prompt.
        scores: What it reached.
        facts: Kept under ``config`` beside the run's settings, e.g. the seed and the rate.
        parents: Content hashes of the prompts that it continues.
    """
    config = ready.config
    manifest = Manifest(
        name=config.name,
        task=ready.task.model_dump(mode="json", by_alias=True),
        template=Described(ready.template, ready.builder.max_tokens, ready.strip_html).to_dict(),
        answers=ready.answers.model_dump(mode="json"),
        method=MethodRecord(name=config.method.name, config=config.method.model_dump(mode="json")),
        placement=ready.template.placement,
        model=identity(ready.backbone.spec),
        data_hash=ready.splits["train"].hash,
        config={**config.model_dump(mode="json"), **(facts or {})},
        scores=tuple(scores),
        licence=config.licence,
        author=config.author,
        parents=tuple(parents),
        notes=config.notes,
    )
    return Prompt(tensors.to(device="cpu"), manifest)


def backbone_for(
    prompts: Sequence[Prompt], model: ModelSettings | None = None, watcher: Watcher | None = None
) -> Backbone:
    """The model that the prompts were made for, loaded once.

    Args:
        prompts: All of one model.
        model: Where it is, when not where it was.
        watcher: Told what happens.

    Raises:
        PromptError: ``prompt.other_model`` when the prompts belong to different models.
        ModelError: The model cannot be loaded.
    """
    first = prompts[0].manifest.model
    for prompt in prompts[1:]:
        if prompt.manifest.model.fingerprint != first.fingerprint:
            raise PromptError(
                "prompt.other_model",
                f"{prompt.name!r} belongs to {prompt.manifest.model.id}, {prompts[0].name!r} to {first.id}: "
                "one reading needs one model",
                cure="use them in two calls",
            )
    own = ModelSettings.parse(
        {"name": first.id, "revision": first.revision, "quantise": first.quantised}, where="manifest"
    )
    return load_backbone(model or own, watcher or Watcher())


def ask_of(prompt: Prompt, backbone: Backbone) -> tuple[Ask, tuple[str, ...]]:
    """A saved prompt as an ask, and what to note about the pair; an ensemble asks its members.

    Raises:
        PromptError: ``prompt.other_model``, ``prompt.other_tokenizer``, ``prompt.bad_manifest``.
    """
    notes = prompt.check(identity(backbone.spec))
    manifest = prompt.manifest
    learnt = {"group": _group_of(manifest.config), "columns": columns_of(manifest.config)}
    if manifest.ensemble is None:
        return _ask(manifest, prompt.tensors, backbone, learnt), notes
    pooling = Pooling.parse(manifest.ensemble.model_dump(include=set(Pooling.model_fields)), where="ensemble")
    records = zip(manifest.ensemble.members, prompt.members, strict=True)
    members = tuple(_ask(record, tensors, backbone, learnt) for record, tensors in records)
    whole = _ask(manifest, PromptTensors(), backbone, learnt)
    return replace(whole, members=members, pooling=pooling), notes


def _ask(record: Manifest | MemberRecord, tensors: PromptTensors, backbone: Backbone, learnt: Mapping[str, Any]) -> Ask:
    """What a manifest describes, with its numbers and what is known of the rows that it learnt from."""
    described = Described.from_dict(record.template)
    answers = AnswerSettings.parse(record.answers, where="answers")
    builder = RowBuilder(
        described.template,
        parse_task(record.task),
        backbone.tokenizer,
        max_tokens=described.room(backbone.spec.max_positions),
        answers="vectors" if answers.form == "vectors" else "words",
    )
    placed = tensors.to(device=backbone.spec.device)
    return Ask(builder, placed, answers, name=record.name, strip_html=described.strip_html, **learnt)


def _group_of(config: Mapping[str, Any]) -> str | None:
    """The column that grouped the rows of a run, where its settings say so."""
    roles = data.get("roles") if isinstance(data := config.get("data"), Mapping) else None
    group = roles.get("group") if isinstance(roles, Mapping) else None
    return group if isinstance(group, str) else None


def strips_html(asks: Sequence[Ask]) -> bool:
    """Whether HTML in texts becomes plain text before these prompts read them, as it did when they learnt.

    Raises:
        PromptError: ``prompt.other_reading`` when some want that and others do not.
    """
    wanted = {ask.strip_html for ask in asks}
    if len(wanted) > 1:
        names = ", ".join(repr(ask.name) for ask in asks if ask.strip_html)
        message = f"{names} learnt from texts without their HTML, the others with it: one reading cannot be both"
        raise PromptError("prompt.other_reading", message, cure="use them in two calls")
    return wanted == {True}
