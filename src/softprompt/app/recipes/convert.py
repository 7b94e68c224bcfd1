"""A saved prompt for another model: a starting point for training, marked as not judged."""

from dataclasses import replace
from pathlib import Path

from softprompt.app.recipes.formats import Model, fresh_manifest, model_from
from softprompt.app.recipes.saved import ask_of, backbone_for, identity
from softprompt.app.watch import Watcher
from softprompt.core.answers import AnswerSettings
from softprompt.core.errors import PromptError
from softprompt.core.tasks import parse_task
from softprompt.core.words import percent
from softprompt.model.prompts.manifest import Origin
from softprompt.model.prompts.prompt import Prompt
from softprompt.model.templates import Described, Template
from softprompt.ops.formats.opening import template_of
from softprompt.ops.formats.recycling import carry

__all__ = ["convert_prompt"]


def convert_prompt(
    prompt: str | Path | Prompt,
    to_model: Model,
    *,
    template: str | None = None,
    name: str | None = None,
    model: Model | None = None,
    watcher: Watcher | None = None,
) -> Prompt:
    """Carry a prompt to another model by what the two vocabularies share.

    Vectors and label vectors are mapped by least squares between the models' tables. What comes out is a start for
    training (``start: {kind: prompt}``); its manifest says that nobody has judged it.

    Args:
        prompt: A path, or a prompt.
        to_model: The model to carry it to.
        template: Instead of the prompt's own, with the same slots; needed for one in the chat format of its model.
        name: Of the new prompt; None: that of the old one.
        model: The prompt's own model or where it is, when not where it was.
        watcher: Told what happens.

    Raises:
        PromptError: ``prompt.unsupported_conversion``, ``prompt.little_vocabulary``, ``prompt.other_slots``.
        ModelError, TemplateError: each with its code.
    """
    watcher = watcher or Watcher()
    old = prompt if isinstance(prompt, Prompt) else Prompt.load(prompt)
    if old.members:
        message = f"{old.name!r} is an ensemble; a map between two models is made for one prompt"
        raise PromptError("prompt.unsupported_conversion", message, cure="convert the prompts that it was made of")
    kept = template_of(old) if template is None else _other_words(template, template_of(old))
    if template is None and kept.skeleton is not None:
        message = f"the template of {old.name!r} is in the chat format of {old.manifest.model.id}"
        raise PromptError("prompt.unsupported_conversion", message, cure="write one for the other model: --template")
    source = model_from(model, watcher) if model is not None else backbone_for([old], None, watcher)
    old.check(identity(source.spec))
    target = source if to_model == source.spec.name else model_from(to_model, watcher)
    if target.spec.fingerprint == source.spec.fingerprint:
        message = f"{old.name!r} is for {target.spec.name} already"
        raise PromptError("prompt.unsupported_conversion", message, cure="use it as it is, or name another model")
    if target.spec.kind != source.spec.kind:
        message = f"{source.spec.name} is a {source.spec.kind} model, {target.spec.name} a {target.spec.kind} one"
        raise PromptError("prompt.unsupported_conversion", message, cure="name a model of the same kind")
    watcher.stage("map the vocabularies")
    carried = carry(old.tensors, source, target)
    origin = Origin(
        kind="converted",
        source=old.name,
        model=old.manifest.model.id,
        facts={
            "num_shared": carried.num_shared,
            "explained": round(carried.explained, 4),
            "explained_head": None if carried.explained_head is None else round(carried.explained_head, 4),
            "label_vectors": "mapped" if carried.tensors.head is not None else "none",
        },
    )
    manifest = fresh_manifest(
        target,
        name=name or old.name,
        task=parse_task(old.manifest.task),
        described=replace(Described.from_dict(old.manifest.template), template=kept),
        answers=AnswerSettings.parse(old.manifest.answers, where="answers"),
        origin=origin,
    )
    new = Prompt(carried.tensors, manifest.model_copy(update={"parents": (old.content_hash,)}))
    ask_of(new, target)  # whatever does not go together is refused here
    watcher.note(
        f"{carried.num_shared:,} shared tokens; the map tells {percent(max(0.0, carried.explained))} of the variance "
        "of vectors that it has not seen"
    )
    if carried.explained_head is not None:
        watcher.note(f"label vectors are mapped too ({percent(max(0.0, carried.explained_head))}), their biases kept")
    watcher.note("it is a start: tune from it (start.kind: prompt), or judge it with softprompt evaluate")
    watcher.done()
    return new


def _other_words(text: str, old: Template) -> Template:
    """A template of the user's with the slots of the old one."""
    new = Template.parse(text)
    lengths = [{name: spec.length for name, spec in one.slots.items()} for one in (old, new)]
    if lengths[0] != lengths[1]:
        message = f"the template has the slots {lengths[1]}, the prompt {lengths[0]}"
        raise PromptError("prompt.other_slots", message, cure="give it the same slots, with their names")
    return new
