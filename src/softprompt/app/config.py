"""One run's settings: the same from YAML, from flags and from Python.

Each part stands beside the code that it sets; this module only joins them and says where files lie.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from softprompt.app.yaml import parse_yaml, read_yaml
from softprompt.core.answers import AnswerSettings
from softprompt.core.config import Settings
from softprompt.core.decoding import Decoding
from softprompt.core.files import portable_name
from softprompt.core.tasks import KINDS, Task, parse_task, require_known
from softprompt.data.dialect import ReadSettings
from softprompt.lab.comparison.settings import CompareSettings
from softprompt.lab.distillation import Distillation
from softprompt.lab.second import SecondSettings, TeacherSettings
from softprompt.lab.sweep.space import SweepSettings
from softprompt.lab.training.settings import TrainingSettings
from softprompt.model.methods.plain import PlainSettings
from softprompt.model.methods.starts import FROM_SAVED, StartSettings
from softprompt.model.methods.table import AnyMethodSettings
from softprompt.model.templates.settings import TemplateSettings

__all__ = ["DataSettings", "ModelSettings", "RunConfig", "SplitSettings", "TaskSettings"]


class ModelSettings(Settings):
    """Which frozen model, and how it is held."""

    name: str = Field("embedded", description="embedded, a folder, or a hub id")
    dtype: Literal["auto", "bf16", "fp16", "fp32"] = Field("auto", description="auto takes the fastest here")
    device: str = Field("auto", description="cpu, cuda, cuda:1, mps, or auto")
    revision: str | None = Field(None, description="branch, tag or commit of a hub id")
    attention: Literal["sdpa", "eager"] | None = Field(None, description="None leaves the choice to transformers")
    quantise: Literal["int8", "int8-dynamic", "llm-int8", "nf4", "fp4"] | None = Field(
        None, description="hold the weights in few bits; None: as the files are"
    )
    device_map: str | dict[str, int | str] | None = Field(
        None, description="auto, or parts of the model -> devices, cpu or disk; instead of device"
    )
    compile: bool = Field(False, description="compile the feed-forward blocks of a causal model; see docs/models.md")


class SplitSettings(Settings):
    """How rows are divided where files are missing."""

    validation: float | None = Field(
        None, gt=0, lt=1, description="share of train, instead of folds; None: 0.2 where nothing is folded"
    )
    test: float = Field(0.0, ge=0, lt=1, description="share of train, where no test file is given")
    seed: int = Field(0, description="of the division")
    k_shot: int | None = Field(None, ge=1, description="learn from this many rows a label only")


class DataSettings(Settings):
    """Where the rows are."""

    train: str = Field(description="file (csv, tsv, jsonl, json, xlsx, parquet), - for stdin, or hub:OWNER/NAME:SPLIT")
    validation: str | None = Field(None, description="file; without it a part of train")
    test: str | None = Field(None, description="file; touched once, at the end")
    unlabelled: str | None = Field(None, description="file of rows without answers, for a second round of training")
    columns: dict[str, str] = Field({}, description="template field -> column, where the names differ")
    roles: dict[Literal["id", "group", "weight"], str] = Field({}, description="columns with another part")
    read: ReadSettings = ReadSettings()
    on_bad_row: Literal["error", "skip"] = Field(
        "error", description="stop, or leave bad rows out and keep them in a file"
    )
    folds: Literal["auto", "none"] | Annotated[int, Field(ge=2)] = Field(
        "auto", description="cross-validation; auto: 5 for under 1,000 labelled rows without a validation file"
    )
    split: SplitSettings = SplitSettings()


class TaskSettings(Settings):
    """What is asked; see docs/data.md."""

    model_config = ConfigDict(serialize_by_alias=True, populate_by_name=True)

    kind: Literal["classify", "choose", "generate", "multilabel", "score", "extract", "dialogue"] = Field(
        "classify", description="kind of task"
    )
    target: str = Field("label", description="column of the right answer")
    targets: dict[str, dict[str, Any]] | None = Field(
        None,
        description="several tasks about the same texts, trained in one run: their columns, or column -> what differs "
        "in it from the rest of task (kind, labels, scale, ...); see docs/methods/multitask.md",
    )
    labels: dict[str, Any] | tuple[str, ...] | None = Field(
        None,
        description="classify, multilabel: names, or name -> {say: text, from: [other spellings]}; "
        "without them those of the train file",
    )
    written: Literal["cell", "flags", "columns"] | dict[str, str] | None = Field(
        None,
        description="multilabel: cell (the default) names the labels, flags is a list of 0 and 1, "
        "columns are one of yes and no a label; extract: cell holds the object, columns are one a field, "
        "or field -> column",
    )
    schema_: dict[str, Any] | None = Field(
        None, alias="schema", description="extract: the fields, as JSON Schema or field -> type; or a file of it"
    )
    separator: str | None = Field(None, min_length=1, description="multilabel: between labels in a cell of text")
    thresholds: tuple[float, ...] | None = Field(
        None, description="multilabel: probability from which on each label is given; None: chosen on validation rows"
    )
    affirm: str | None = Field(None, description="multilabel, answers in words: a label is given; yes where left out")
    deny: str | None = Field(None, description="multilabel, answers in words: a label is not given; no where left out")
    scale: Any = Field(
        None,
        description="score: numbers, number -> text of the answer, or {from, to, anchors}; "
        "without it the whole numbers of the train file",
    )
    learn: Literal["last", "every"] | None = Field(
        None, description="dialogue: from the assistant's last turn (the default), or from every one"
    )
    candidates: str | tuple[str, ...] | None = Field(None, description="choose: list column, or columns")
    max_new_tokens: int | None = Field(None, ge=1, description="written answers: longest one in tokens")
    decoding: Decoding | None = Field(
        None, description="written answers: greedy (the default), sampled or by beams; see docs/generation.md"
    )
    metrics: tuple[str, ...] | None = Field(None, description="names of metrics; the first decides")

    @field_validator("schema_", mode="before")
    @classmethod
    def _schema(cls, value: Any) -> Any:
        if isinstance(value, Path) or (isinstance(value, str) and not value.lstrip().startswith("{")):
            return read_yaml(value)
        return parse_yaml(value, where="schema") if isinstance(value, str) else value

    @field_validator("targets", mode="before")
    @classmethod
    def _columns(cls, value: Any) -> Any:
        names = value.split(",") if isinstance(value, str) else value
        if isinstance(names, (list, tuple)):
            names = {str(name).strip(): {} for name in names}
        if isinstance(names, Mapping):
            names = {str(name): changes or {} for name, changes in names.items()}
            if len(names) < 2:
                raise ValueError("several columns are needed; one is task.target")
        return names

    @field_validator("kind", mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        require_known(value)
        return value

    @field_validator("labels", mode="before")
    @classmethod
    def _texts(cls, value: Any) -> Any:
        return [str(name) for name in value] if isinstance(value, (list, tuple)) else value

    @model_validator(mode="after")
    def _writes(self) -> Self:
        """What is said of writing is for tasks that write; of several tasks each is asked by itself."""
        said = {"max_new_tokens": self.max_new_tokens, "decoding": self.decoding}
        named = " and ".join(name for name, value in said.items() if value is not None)
        if named and self.targets is None and KINDS[self.kind].objective != "likelihood":
            raise ValueError(f"{named}: for answers that are written; a {self.kind} task chooses its answers")
        return self

    def of(self, target: str) -> "TaskSettings":
        """One of several tasks by itself.

        Raises:
            ConfigError: ``config.unknown_key``, ``config.invalid``.

        >>> tasks = TaskSettings(targets={"topic": {}, "urgent": {"labels": ["no", "yes"]}})
        >>> tasks.of("urgent").target, tasks.of("urgent").labels, tasks.of("topic").labels
        ('urgent', ('no', 'yes'), None)
        """
        assert self.targets is not None, "asked of several tasks"
        common = {key: value for key, value in self.model_dump(exclude_unset=True).items() if key != "targets"}
        return self.parse({**common, **self.targets[target], "target": target}, where=f"task.targets.{target}")

    @property
    def open(self) -> str | None:
        """The setting that the training rows are asked for, because it was left out; None: there is none."""
        name = {"classify": "labels", "multilabel": "labels", "score": "scale"}.get(self.kind)
        by_cell = self.kind != "multilabel" or self.written in {None, "cell"}
        return name if name is not None and by_cell and getattr(self, name) is None else None

    def build(self, found: Sequence[Any] = ()) -> Task:
        """The task; ``found`` are the labels or the numbers of the training rows, where they are left open.

        >>> TaskSettings(target="topic").build(("billing", "delivery")).names
        ('billing', 'delivery')
        """
        given = self.model_dump(exclude_none=True)
        return parse_task(given if self.open is None else {**given, self.open: found})


class RunConfig(Settings):
    """Everything that decides a run."""

    name: str = Field("run", min_length=1, max_length=200, description="of the run and of its prompt")
    model: ModelSettings = ModelSettings()
    data: DataSettings
    task: TaskSettings = TaskSettings()
    template: TemplateSettings = Field(default_factory=TemplateSettings)
    max_tokens: int | None = Field(None, ge=8, description="longest row; None: the model's context")
    answers: AnswerSettings = AnswerSettings()
    method: AnyMethodSettings = PlainSettings()
    start: StartSettings = StartSettings()
    start_from: Path | None = Field(
        None, description="saved prompt to continue (start.kind: prompt) or to stand in front of (in_front)"
    )
    training: TrainingSettings = TrainingSettings()
    second: SecondSettings = SecondSettings()
    distil: Distillation | None = Field(
        None, description="with task.targets: train a prompt for each task first, which teaches the tasks together"
    )
    sweep: SweepSettings | None = Field(None, description="how softprompt sweep searches; see docs/sweep.md")
    teacher: TeacherSettings | None = Field(None, description="a model whose answers are learnt from; a name will do")
    baselines: bool = Field(True, description="also score majority, TF-IDF and the text prompt")
    compare: CompareSettings = Field(default_factory=CompareSettings)
    output: Path | None = Field(None, description="run folder; None: runs/<name>")
    track: tuple[Literal["mlflow", "tensorboard", "wandb"], ...] = Field((), description="also tell these of the run")
    licence: str = Field("", description="of the prompt")
    author: str = Field("", description="of the prompt")
    notes: str = Field("", description="kept in the prompt")

    @model_validator(mode="after")
    def _continues(self) -> Self:
        kind = self.start.or_else(self.method.start_kind).kind
        if (kind in FROM_SAVED) != (self.start_from is not None):
            needs = "start_from names the saved prompt for start.kind: prompt or in_front; one needs the other"
            raise ValueError(f"{needs}; it is {kind} here")
        return self

    @model_validator(mode="after")
    def _several(self) -> Self:
        if self.task.targets is None:
            if self.distil is not None:
                raise ValueError("distil teaches several tasks together: it needs task.targets")
            return self
        data = self.data
        alone: dict[str, Any] = {"data.unlabelled": data.unlabelled, "teacher": self.teacher, "sweep": self.sweep}
        alone |= {"data.folds": data.folds if isinstance(data.folds, int) else None}
        if wrong := [name for name, value in alone.items() if value is not None]:
            raise ValueError(f"{', '.join(wrong)}: for one task a run, not for several (task.targets)")
        for target in self.task.targets:
            if self.task.of(target).kind == "dialogue":
                raise ValueError("task.targets: a dialogue has one task")
        return self

    @field_validator("model", "method", "teacher", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @field_validator("track", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @property
    def folder(self) -> Path:
        """Where the run writes."""
        return self.output or Path("runs") / portable_name(self.name)

    def beside(self, what: str) -> Path:
        """Where a comparison, a curve or a sweep of this run writes: beside the run that ``softprompt tune`` makes.

        >>> RunConfig.parse({"name": "topic", "data": {"train": "rows.csv"}}).beside("curve").as_posix()
        'runs/topic-curve'
        """
        return self.output or self.folder.with_name(f"{self.folder.name}-{what}")

    def with_(self, changes: Mapping[str, Any]) -> Self:
        """The same with some keys changed; dots go down.

        >>> config = RunConfig.parse({"data": {"train": "rows.csv"}})
        >>> config.with_({"training.steps": 7}).training.steps
        7
        """
        data = self.model_dump(exclude_unset=True)
        for path, value in changes.items():
            place = data
            *parents, last = path.split(".")
            for parent in parents:
                below = place.get(parent)
                place[parent] = below if isinstance(below, dict) else {"name": below} if isinstance(below, str) else {}
                place = place[parent]
            place[last] = value
        return self.parse(data)
