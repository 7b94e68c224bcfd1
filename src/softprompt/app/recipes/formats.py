"""Saved prompts as files for other programs, and files of other programs as saved prompts."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from softprompt.app.config import ModelSettings
from softprompt.app.recipes.prepare import load_backbone
from softprompt.app.recipes.saved import ask_of, backbone_for, identity
from softprompt.app.watch import Watcher
from softprompt.core.answers import AnswerSettings
from softprompt.core.errors import PromptError
from softprompt.core.tasks import Task, parse_task
from softprompt.model.backbones.base import Backbone, Spec
from softprompt.model.prompts.manifest import Manifest, MethodRecord, Origin
from softprompt.model.prompts.prompt import Prompt
from softprompt.model.prompts.storage import require_room, write_folder
from softprompt.model.templates import Described, Template
from softprompt.model.templates.parts import Decoder, Slot
from softprompt.ops.formats.format import Foreign
from softprompt.ops.formats.opening import template_of
from softprompt.ops.formats.table import export, read

__all__ = ["Exported", "export_prompt", "fresh_manifest", "import_prompt", "model_from"]

#: A loaded model, its name, or how it is loaded.
Model = Backbone | ModelSettings | str


@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Attributes:
        format: Its name in the table of formats.
        folder: Where.
        files: Names and sizes in bytes.
        notes: What a user should know.
    """

    format: str
    folder: Path
    files: Mapping[str, int]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        plain = {"format": self.format, "folder": str(self.folder)}
        return {**plain, "files": dict(self.files), "notes": list(self.notes)}


def export_prompt(
    prompt: str | Path | Prompt,
    format: str,
    out: str | Path,
    *,
    kind: str | None = None,
    model: Model | None = None,
    watcher: Watcher | None = None,
) -> Exported:
    """Write a saved prompt for another program, into a folder of its own.

    Args:
        prompt: A path, or a prompt.
        format: ``peft``, ``npy``, ``raw`` or ``vllm``.
        out: A folder that does not exist yet, or is empty.
        kind: With ``peft``: ``PROMPT_TUNING``, ``P_TUNING``, ``CARTRIDGE`` or ``PREFIX_TUNING``; None for what fits.
        model: The prompt's model or where it is, when not where it was; only loaded where the format needs it.
        watcher: Told what happens.

    Raises:
        PromptError: ``prompt.unsupported_export``: what the format cannot express, and what to do; ``prompt.exists``.
        ConfigError: ``config.unknown_name``.
    """
    watcher = watcher or Watcher()
    require_room(Path(out), cure="choose another folder")
    saved = prompt if isinstance(prompt, Prompt) else Prompt.load(prompt)

    def backbone() -> Backbone:
        found = model_from(model, watcher) if model is not None else backbone_for([saved], None, watcher)
        saved.check(identity(found.spec))
        return found

    written = export(saved, format, backbone=backbone, kind=kind)
    write_folder(Path(out), written.files, overwrite=False)
    watcher.done()
    sizes = {name: len(data) for name, data in sorted(written.files.items())}
    return Exported(format, Path(out), sizes, written.notes)


def import_prompt(
    path: str | Path,
    *,
    model: Model | None = None,
    task: Task | Mapping[str, Any] | None = None,
    template: str | None = None,
    name: str | None = None,
    watcher: Watcher | None = None,
) -> Prompt:
    """A saved prompt from what another program wrote: an adapter's folder of PEFT, plain tensors, an export of ours.

    What softprompt exported comes back as it was. Elsewhere nobody says what was asked: ``task`` and ``template`` do,
    and the prompt is marked as not judged yet.

    Args:
        path: A folder, or a .npy file.
        model: Its model; None: the one that the folder names.
        task: What is asked; None: what the folder says, else text is written (``generate``).
        template: What stands where; None: what the folder says, else soft tokens before the text.
        name: Of the prompt; None: that of the folder.
        watcher: Told what happens.

    Raises:
        PromptError: ``prompt.pickled``, ``prompt.incomplete``, ``prompt.unsupported_import``, ``prompt.other_model``,
            and whatever else is wrong with the files.
        ModelError, TemplateError, ConfigError: each with its code.
    """
    watcher, path = watcher or Watcher(), Path(path)
    found = read(path)
    try:
        if found.manifest is not None and task is None and template is None:
            return _returned(found, path, None if model is None else model_from(model, watcher), watcher, name)
        return _new(found, path, model, watcher, task=task, template=template, name=name)
    except PromptError as error:
        raise error.at(str(path)) from None


def model_from(model: Model, watcher: Watcher) -> Backbone:
    """The model itself, loaded where it is a name."""
    if isinstance(model, Backbone):
        return model
    return load_backbone(ModelSettings(name=model) if isinstance(model, str) else model, watcher)


def fresh_manifest(
    backbone: Backbone,
    *,
    name: str,
    task: Task,
    described: Described,
    answers: AnswerSettings,
    origin: Origin,
) -> Manifest:
    """The manifest of a prompt that nobody has judged with this model.

    Args:
        backbone: Its model.
        name: Of the prompt.
        task, described, answers: What is asked, and how.
        origin: Where it comes from.
    """
    spec = backbone.spec
    return Manifest(
        name=name,
        task=task.model_dump(mode="json", by_alias=True),
        template=replace(described, max_tokens=described.room(spec.max_positions)).to_dict(),
        answers=answers.model_dump(mode="json"),
        method=MethodRecord(name=origin.kind),
        placement=described.template.placement,
        model=identity(spec),
        origin=origin,
        unevaluated=True,
    )


def _returned(found: Foreign, path: Path, backbone: Backbone | None, watcher: Watcher, name: str | None) -> Prompt:
    """What softprompt exported, as it was; without its scores where the numbers were changed since."""
    assert found.manifest is not None
    updates: dict[str, Any] = {"origin": _origin(found, path), **({} if name is None else {"name": name})}
    if found.changed:
        watcher.note("its numbers were changed since softprompt wrote them: the scores of those before are left out")
        updates |= {"scores": (), "routes": (), "unevaluated": True}
    prompt = Prompt(found.tensors, found.manifest.model_copy(update=updates))
    expected = {slot: spec.length for slot, spec in template_of(prompt).slots.items()}
    if found.lengths != expected:
        message = f"the numbers hold the slots {found.lengths}, the template has {expected}"
        raise PromptError("prompt.shape_mismatch", message, cure="export again")
    if backbone is not None:
        for note in prompt.check(identity(backbone.spec)):
            watcher.note(note)
        _require_fit(found, backbone, template_of(prompt))
    return prompt


def _new(
    found: Foreign,
    path: Path,
    model: Model | None,
    watcher: Watcher,
    *,
    task: Task | Mapping[str, Any] | None,
    template: str | None,
    name: str | None,
) -> Prompt:
    """A prompt around numbers of which only the shape is known."""
    if model is None and not found.model:
        raise PromptError("prompt.no_model", "nothing says which model this is for", cure="name it: --model MODEL")
    backbone = model_from(model or ModelSettings(name=found.model, revision=found.revision), watcher)
    if found.manifest is not None:
        Prompt(found.tensors, found.manifest).check(identity(backbone.spec))
    elif found.model and found.model != backbone.spec.name:
        watcher.note(f"it names the model {found.model}, you name {backbone.spec.name}: only the shapes were compared")
    asked = _task(task, found.manifest)
    length = sum(found.lengths.values())
    text = template or (str(template_of(Prompt(found.tensors, found.manifest))) if found.manifest else None)
    preset = f"<soft {length}>{{text}}" + ("<decoder>{answer}" if found.kind == "seq2seq" else " {answer}")
    if found.opens_decoder:
        preset = f"{{text}}<decoder><soft {length}>{{answer}}"
    parsed = Template.parse(text or preset)
    _require_fit(found, backbone, parsed)
    found = _in_place(found, parsed)
    manifest = fresh_manifest(
        backbone,
        name=name or path.stem,
        task=asked,
        described=Described(parsed),
        answers=AnswerSettings(form="words" if found.tensors.head is None else "vectors"),
        origin=_origin(found, path),
    )
    prompt = Prompt(found.tensors, manifest)
    ask_of(prompt, backbone)  # whatever does not go together is refused here
    watcher.note("nobody has judged it yet: softprompt evaluate does")
    return prompt


def _task(task: Task | Mapping[str, Any] | None, manifest: Manifest | None) -> Task:
    if isinstance(task, Task):
        return task
    if task is None:
        return parse_task({"kind": "generate"} if manifest is None else manifest.task)
    return parse_task(task)


def _in_place(found: Foreign, template: Template) -> Foreign:
    """The numbers under the names of the template's slots.

    Raises:
        PromptError: ``prompt.other_slots``, ``prompt.unsupported_import`` for a template that has them elsewhere.
    """
    expected = {name: spec.length for name, spec in template.slots.items()}
    if len(expected) == 1 and len(found.lengths) == 1:
        found = found.named(next(iter(expected)))
    if found.lengths != expected:
        message = f"the template has the slots {expected}, what is imported holds {found.lengths}"
        slots = "".join(f"<soft {length} {name}>" for name, length in found.lengths.items())
        raise PromptError("prompt.other_slots", message, cure=f"write {slots.replace(' soft>', '>')} in the template")
    if found.opens_decoder and "<decoder><soft" not in str(template.for_kind("seq2seq")):
        message = f"{found.format} puts keys and values in front of what the decoder reads, {template} does not"
        cure = "write the soft slot right behind <decoder>; to learn another place, tune from this prompt"
        raise PromptError("prompt.unsupported_import", message, cure=cure)
    if found.first and not found.opens_decoder and not str(template).startswith("<soft"):
        message = f"{found.format} puts the soft tokens in front of everything, the template {template} does not"
        cure = "begin the template with the soft slot; to learn another place, tune from this prompt"
        raise PromptError("prompt.unsupported_import", message, cure=cure)
    return found


def _written(template: Template, kind: str) -> set[str]:
    """Slots on the decoder's side."""
    parts = template.for_kind(kind).parts
    mark = next((n for n, part in enumerate(parts) if isinstance(part, Decoder)), len(parts))
    last = sum(isinstance(part, Slot) for part in parts[mark:])
    return {spec.name for spec in template.slots_in_place[len(template.slots_in_place) - last :]}


def _require_fit(found: Foreign, backbone: Backbone, template: Template) -> None:
    """Compare shapes with a model: all that can be compared where no fingerprint is told.

    Raises:
        PromptError: ``prompt.other_model``.
    """
    spec = backbone.spec
    if found.kind not in (None, spec.kind):
        raise _other(found, spec, f"a prompt of a {found.kind} model", f"another kind ({spec.kind})")
    written = _written(template, spec.kind) if spec.kind == "seq2seq" else set()
    for name, slot in found.tensors.slots.items():
        if slot.embed is not None and slot.embed.shape[1] != spec.embed_dim:
            raise _other(found, spec, f"vectors of {slot.embed.shape[1]} numbers", f"of {spec.embed_dim}")
        shapes = backbone.slot_shapes(decoder=name in written or found.opens_decoder)
        if slot.kv and len(slot.kv) != len(shapes) and found.first:
            raise _other(found, spec, f"keys and values for {len(slot.kv)} layers", f"{len(shapes)} layers")
        for layer, (keys, values) in slot.kv.items():
            came = (keys.shape[0], keys.shape[2], values.shape[2])
            own = shapes[layer] if layer < len(shapes) else None
            if came != own:
                said = "none there" if own is None else f"{own[0]} of {own[1]}"
                raise _other(found, spec, f"{came[0]} heads of {came[1]} in layer {layer}", said)


def _other(found: Foreign, spec: Spec, came: str, own: str) -> PromptError:
    named = f" (it names {found.model})" if found.model else ""
    message = f"what is imported has {came}{named}, {spec.name} has {own}: it is for another model"
    return PromptError("prompt.other_model", message, cure="name the model that it was trained with: --model MODEL")


def _origin(found: Foreign, path: Path) -> Origin:
    return Origin(kind="imported", format=found.format, source=path.name, model=found.model, facts=dict(found.facts))
