"""One tree of errors with stable codes, the same in Python, on the command line and in the docs.

A message says what is wrong, what came and what is allowed; the cure says what to do. Context (file, line, row, step)
is added once, at the seam that knows it, with :meth:`SoftpromptError.at`.

    SoftpromptError
    ├── ConfigError      config.*     a run's settings
    ├── DataError        data.*       rows, columns, labels, files
    ├── TemplateError    template.*   the text around the soft tokens
    ├── ModelError       model.*      loading and driving the frozen model
    ├── PromptError      prompt.*     saved prompts
    ├── TrainingError    training.*   a run that cannot go on
    ├── ResourceError    resource.*   memory, disk, APIs
    ├── ExtraError       extra.*      an optional dependency is not installed
    └── ServingError     serving.*    a server that cannot start, or a request that it cannot answer
"""

import difflib
from collections.abc import Iterable
from typing import ClassVar, Self

__all__ = [
    "CATALOGUE",
    "ConfigError",
    "DataError",
    "ExtraError",
    "ModelError",
    "PromptError",
    "ResourceError",
    "ServingError",
    "SoftpromptError",
    "TemplateError",
    "TrainingError",
    "nearest",
]

#: Every code and what it means; the error reference in docs/ is generated from it.
CATALOGUE: dict[str, str] = {
    "config.run_exists": "The run folder holds another or a finished run.",
    "config.teacher_labels": "A teacher that is for another kind of task, or does not know all labels.",
    "config.unknown_key": "A key that no setting has.",
    "config.file_exists": "A settings file stands where one should be written.",
    "config.invalid": "One or more settings have a wrong type or value.",
    "config.unreadable": "The configuration file cannot be read or is not YAML.",
    "config.usage": "A command line that cannot be understood: an option, an argument or its form.",
    "config.unknown_name": "A name (method, metric, preset, ...) that is not in its table.",
    "config.unsupported_method": "A method that is not offered, with the reason and what to use instead.",
    "config.bad_plugin": "A plug-in that cannot be imported, or is not what its table needs.",
    "config.name_taken": "A name for a plug-in that is one of softprompt's own.",
    "config.unsupported_task": "A kind of task that is not for prompts, with what to use instead.",
    "data.bad_csv": "A row that is no valid CSV, or a quote that never closes.",
    "data.bad_encoding": "A text file that is neither UTF-8 nor plainly something else, or not what it is said to be.",
    "data.bad_export": "A row that is not what an export of its kind holds, or holds spans instead of labels.",
    "data.bad_header": "Two columns of a table have the same name.",
    "data.bad_json": "A line or file that is no valid JSON, or holds something else than objects.",
    "data.bad_rows": "Rows that cannot be used, for several reasons.",
    "data.bad_source": "In-memory data that is neither dicts nor examples nor a data frame.",
    "data.bad_value": "A cell without a text form, or a weight that is no number from 0.",
    "data.binary_file": "A file that is no text.",
    "data.class_too_small": "A label has fewer rows than were asked of each.",
    "data.empty_file": "A file without rows.",
    "data.leaked_answer": "The template reads the column of the answer.",
    "data.missing_column": "A column that the settings name and the data does not have.",
    "data.missing_file": "No file of that name.",
    "data.no_answers": "A file in which no column looks like the answers, or none like the texts.",
    "data.no_report": "Nothing that a report could be made of.",
    "data.no_rows_there": "A JSON document whose rows do not stand where they are said to, or in several places.",
    "data.no_rows": "A source without rows, or without one that can be used.",
    "data.not_on_hub": "A data set of the hub that cannot be had: its name, the access, or offline and not kept here.",
    "data.not_a_file": "A folder or a device where a file is needed.",
    "data.off_scale": "A number that lies outside the scale of a score task.",
    "data.nothing_unlabelled": "Every unlabelled row repeats a labelled one.",
    "data.one_label": "Every row has the same label: there is nothing to learn.",
    "data.ragged_row": "A table row with more or fewer cells than the header.",
    "data.same_candidates": "Two candidates of a row are the same.",
    "data.test_in_train": "Rows of the test file that also stand in the training file.",
    "data.too_few_rows": "Not enough rows, groups or different texts for the parts asked for.",
    "data.too_many_labels": "A column of labels that looks like free text.",
    "data.unclear_separator": "A table whose cells two characters separate equally well.",
    "data.unclear_column": "Several columns could equally be the answer, or the text.",
    "data.unknown_field": "A field of the template that no column gives.",
    "data.unknown_format": "A file format that cannot be read.",
    "data.unknown_schema": "A report or a table that another version wrote.",
    "data.unknown_sheet": "A workbook without the sheet that was named, or with several and none named.",
    "data.unknown_split": "A data set of the hub without the split that was named.",
    "data.unsupported_task": "A file whose answers ask for a kind of task that there is not.",
    "data.unreadable": "A file that exists and cannot be read.",
    "data.not_in_schema": "An answer that is no object of the task's schema.",
    "data.no_candidates": "A row of a choose task has fewer than two candidates.",
    "data.no_text": "No training row has any text in the fields that are read.",
    "data.no_target": "A row has no answer where one is needed.",
    "data.invalid_statistic": "A count or p-value outside its range.",
    "data.lengths_differ": "Lists that must run in parallel differ in length.",
    "data.not_probabilities": "A metric of probabilities got something else.",
    "data.nothing_to_score": "A score was asked of no items.",
    "data.unknown_label": "A label that the task does not list.",
    "model.changed": "The loaded model is not what it was: something that was to work on a copy changed it.",
    "model.bad_device_map": "A map of a model's parts to devices that names no device, or no way to choose.",
    "model.cannot_compile": "Compiling is asked for without a C compiler, or of a model without blocks for it.",
    "model.cannot_train": "A quantised model that gives no right gradient, or weights that cannot be trained.",
    "model.cannot_write": "Written text is asked of a model that fills in masks.",
    "model.empty_answer": "A masked model is given an answer without tokens.",
    "model.no_mask_head": "Answers in words are asked of an encoder without a trained mask head.",
    "model.empty_row": "A row without a token for an answer to follow.",
    "model.gated": "A model on the hub that needs access first.",
    "model.no_device": "A device that this machine does not have.",
    "model.no_safetensors": "A model whose weights are not safetensors.",
    "model.no_tokenizer": "A model without a usable tokenizer.",
    "model.not_finite": "The model answers with nan: fp16 overflowed, or its weights are damaged.",
    "model.not_found": "No folder and no hub model of that name.",
    "model.remote_code": "A model that would need code from its repository.",
    "model.spread": "A model lies on several devices, and what is asked needs it on one.",
    "model.too_long": "A row is longer than the model's context.",
    "model.unknown_dtype": "A precision that is none of those softprompt knows.",
    "model.unknown_scheme": "A way to quantise that is none of those softprompt knows.",
    "model.unreadable": "A model folder that cannot be read.",
    "model.unsupported": "A kind of model that softprompt cannot drive, with the reason.",
    "model.unsupported_scheme": "Weights quantised in a way that was not compared, or not the one that was asked for.",
    "model.unsupported_prompt": "Prompt tensors that this model cannot take.",
    "model.no_chat_template": "A chat template is asked of a model that has none.",
    "model.chat_template": "The model's chat template refuses the turns, most often a system part.",
    "prompt.no_route": "The prompt keeps no threshold for the precision that is asked for.",
    "prompt.not_found": "There is no saved prompt at the path, or one of its two files is missing.",
    "prompt.unreadable": "A file of the saved prompt cannot be read.",
    "prompt.unwritable": "The prompt cannot be written; what stood at the path is untouched.",
    "prompt.exists": "Something stands where the prompt should be saved.",
    "prompt.too_large": "A saved prompt, or a part of it, is larger than what is read.",
    "prompt.bad_archive": "The file is not a zip archive, or it is damaged.",
    "prompt.bad_entry": "A saved prompt holds a link, a folder, or a file that does not belong to it.",
    "prompt.bad_manifest": "The manifest is not valid: broken JSON, or a key that is missing or has a wrong type.",
    "prompt.unknown_schema": "The manifest's layout is newer than this version, or too old to be migrated.",
    "prompt.unknown_requirement": "The prompt requires something that this version does not understand.",
    "prompt.corrupted": "The tensors, or what decides an answer in the manifest, are not what was saved.",
    "prompt.bad_tensors": "The tensor file is damaged, or holds something that is no part of a prompt.",
    "prompt.bad_dtype": "A tensor is neither fp32, fp16 nor bf16.",
    "prompt.shape_mismatch": "The manifest and the tensor file disagree about names, shapes or dtypes.",
    "prompt.not_finite": "A tensor holds NaN or infinity.",
    "prompt.other_model": "The prompt was trained with another model.",
    "prompt.other_members": "No ensemble: of other tasks or fields, one of them twice, or an ensemble already.",
    "prompt.other_reading": "Prompts in one call read texts differently: some without their HTML.",
    "prompt.other_tokenizer": "The prompt was trained with another tokenizer.",
    "prompt.other_slots": "The saved prompt to start from has other slots, another length or another width.",
    "prompt.incomplete": "A folder to import lacks a part: it was not written or copied whole.",
    "prompt.little_vocabulary": "Two models share too few tokens to carry a prompt from one to the other.",
    "prompt.no_model": "What is imported does not say which model it belongs to.",
    "prompt.pickled": "Numbers to import are pickled, which can run code.",
    "prompt.unknown_format": "A folder or file to import is in no format that is known.",
    "prompt.unsupported_conversion": "A prompt that cannot be carried to another model, with the reason.",
    "prompt.unsupported_export": "A prompt that another format cannot express, with the reason.",
    "prompt.unsupported_import": "Something of another format that is no prompt, or no whole one, with the reason.",
    "template.answer_not_last": "Something stands after {answer}, or {answer} stands where it cannot.",
    "template.bos_not_first": "{bos} stands elsewhere than at the start.",
    "template.changed": "The frozen chat skeleton of a saved template is not the one that was saved.",
    "template.chat": "A chat template that cannot be frozen around the given turns.",
    "template.decoder": "<decoder> twice, with nothing before it, in a chat, or for a model without such a side.",
    "template.invalid": "A setting of a template has a wrong value.",
    "template.missing_field": "A row lacks a field that the template needs.",
    "template.no_answer": "The template has no {answer}.",
    "template.no_context": "A row has nothing before its answer.",
    "template.no_labels": "Label vectors are asked of a task without fixed labels.",
    "template.optional": "An optional part without a field, or with more than words and fields.",
    "template.same_answer": "Two answers are the same tokens to the model.",
    "template.slot": "A soft slot that is written wrongly or disagrees with another of its name.",
    "template.syntax": "Braces in a template that name no field.",
    "template.too_long": "Words, soft tokens and answer alone are longer than a row may be.",
    "template.unclosed": "A brace, quote or slot of a template is never closed, or closes nothing.",
    "template.unknown_field": "A setting names a field that the template does not have.",
    "template.windows": "Windows that cannot be: of several fields, of none, or for a task without scores to pool.",
    "extra.missing": "An optional dependency is needed and not installed.",
    "resource.budget": "The next request to an API could cost more than is allowed.",
    "resource.cache_folder": "The folder for cached states cannot be made.",
    "resource.cluster": "A Ray cluster that cannot be reached, has no place, has other versions, or lost a worker.",
    "resource.disk_full": "The disk is full; what was there before is untouched.",
    "resource.endpoint": "An API that cannot be reached, refuses, or answers in another form.",
    "resource.out_of_memory": "One row of one prompt does not fit into the device's memory.",
    "resource.write_failed": "A file cannot be written; what was there before is untouched.",
    "serving.bad_input": "A request whose texts are neither texts nor objects with fields, or cannot be read.",
    "serving.busy": "So many requests wait that no more are taken.",
    "serving.missing_field": "A request lacks a field of the template.",
    "serving.no_port": "The server cannot listen there: the port is in use, or not allowed, or no such host.",
    "serving.same_name": "Two prompts to serve have the same name.",
    "serving.stopping": "The server stops and takes no more requests.",
    "serving.too_large": "A request, or one of its texts, is larger than what is read.",
    "serving.unknown_field": "A request names a field that no prompt reads.",
    "serving.unknown_path": "Nothing answers there, or not to this method.",
    "serving.unknown_prompt": "No prompt of that name is served.",
    "serving.unreachable": "A server that is asked does not answer, or refuses.",
    "serving.unsupported": "A request for something that is not done here.",
    "serving.wrong_task": "Labels are asked of a prompt that writes text, or text of one that has labels.",
    "training.bad_checkpoint": "A checkpoint that cannot be read.",
    "training.resume_mismatch": "A checkpoint of another run.",
    "training.diverged": "Every prompt of a run came to numbers that are not finite.",
    "training.nothing_to_learn": "No soft slot, and answers in words: there is no number to learn.",
    "training.no_rows": "No row is left to learn from or to judge by.",
}


#: What to do about damaged files where whoever found the damage knows no better.
_CURES: dict[str, str] = {
    "data.unreadable": "check the file and the right to read it",
    "model.unreadable": "check the folder, or get the model again",
    "prompt.bad_archive": "restore the file from a copy, or save the prompt again",
    "prompt.bad_dtype": "save its tensors in fp32, fp16 or bf16",
    "prompt.bad_entry": "zip or copy the two files themselves, as they were saved",
    "prompt.bad_manifest": "restore manifest.json from a copy, or save the prompt again",
    "prompt.bad_tensors": "restore prompt.safetensors from a copy, or save the prompt again",
    "prompt.too_large": "check where the prompt comes from",
    "prompt.unknown_schema": "restore manifest.json from a copy, or use the version of softprompt that wrote it",
    "prompt.unreadable": "check the file and the right to read it",
    "prompt.unwritable": "check the folder, the right to write there and the room on the disk",
}


class SoftpromptError(Exception):
    """Base of all errors that are the user's to know.

    Args:
        code: Stable, dotted, listed in :data:`CATALOGUE`; its first part is the class's ``prefix``.
        message: What is wrong, what came, what is allowed; one line.
        cure: What to do about it; without one that of the code, where damaged files have one in common.

    >>> error = DataError("data.empty_file", "rows.csv has no rows", cure="check the path").at("rows.csv")
    >>> print(error)
    rows.csv: rows.csv has no rows [data.empty_file]; check the path
    """

    prefix: ClassVar[str] = ""
    exit_status: ClassVar[int] = 1

    def __init__(self, code: str, message: str, *, cure: str | None = None) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.cure = _CURES.get(code) if cure is None else cure
        self.context: tuple[str, ...] = ()

    def at(self, *context: str) -> Self:
        """Say where it happened (outermost first); returns the same error, to be raised again."""
        self.context = (*context, *self.context)
        return self

    def __str__(self) -> str:
        where = "".join(f"{part}: " for part in self.context)
        cure = f"; {self.cure}" if self.cure else ""
        return f"{where}{self.message} [{self.code}]{cure}"


class ConfigError(SoftpromptError):
    """A run's settings are wrong."""

    prefix = "config"
    exit_status = 2


class DataError(SoftpromptError):
    """Rows, columns, labels or files are wrong."""

    prefix = "data"
    exit_status = 3


class TemplateError(SoftpromptError):
    """The template is wrong; the message points with a caret where it can."""

    prefix = "template"
    exit_status = 4


class ModelError(SoftpromptError):
    """The frozen model cannot be loaded or driven."""

    prefix = "model"
    exit_status = 5


class PromptError(SoftpromptError):
    """A saved prompt is broken or made for something else."""

    prefix = "prompt"
    exit_status = 6


class TrainingError(SoftpromptError):
    """A training cannot go on."""

    prefix = "training"
    exit_status = 7


class ResourceError(SoftpromptError):
    """Memory or disk does not suffice."""

    prefix = "resource"
    exit_status = 8


class ExtraError(SoftpromptError):
    """An optional dependency is not installed."""

    prefix = "extra"
    exit_status = 9

    @classmethod
    def needs(cls, package: str, *, extra: str, purpose: str) -> Self:
        """The one sentence with the cure.

        >>> print(ExtraError.needs("sklearn", extra="compare", purpose="the TF-IDF baseline"))
        the TF-IDF baseline needs sklearn [extra.missing]; pip install 'softprompt[compare]'
        """
        return cls("extra.missing", f"{purpose} needs {package}", cure=f"pip install 'softprompt[{extra}]'")


class ServingError(SoftpromptError):
    """A server cannot start, or a request to it cannot be answered."""

    prefix = "serving"
    exit_status = 11


def nearest(name: str, known: Iterable[str]) -> str:
    """A clause that lists what is known, the nearest spelling first.

    >>> nearest("acuracy", ["accuracy", "macro_f1"])
    "did you mean 'accuracy'? known: accuracy, macro_f1"
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}known: {', '.join(names)}"
