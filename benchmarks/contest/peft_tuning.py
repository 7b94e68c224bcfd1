"""PEFT's prompt tuning as its users write it: a loop over a shuffled loader, AdamW, a linear schedule, label words.

The 20 vectors stand before everything; the loss is the model's own over the answer and its terminator (``labels`` are
-100 elsewhere); rows are padded on the right to the longest of their batch. Two ways of use:

* *as documented*: random start, rate 3e-2 (PEFT's prompt tuning example), the vectors after the last step;
* *at its best*: the start and rate of a grid that do best on the validation rows with one seed, and for each seed the
  vectors of its best look at them, as the HF trainer's ``load_best_model_at_end`` keeps them.

Source: https://huggingface.co/docs/peft (prompt-based methods); Lester et al., EMNLP 2021, 3045-3059.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoTokenizer, get_linear_schedule_with_warmup

from softprompt.core.records import Answer, Row, Text
from softprompt.core.tensors import PromptTensors, SlotTensors
from softprompt.model.backbones.base import Backbone
from softprompt.model.backbones.loading import embedded_folder
from softprompt.model.templates import RowBuilder, Template

from .answering import marks, rows_of, scores_of, targets_of
from .outcomes import Clock, Cost, Outcome, Work
from .plan import DOCUMENTED, GRID, Recipe
from .problems import Problem

__all__ = ["PeftTuning", "Setting"]

#: Rows on which PEFT's own forward is compared with ours after each training.
COMPARED_ROWS = 4

#: What is kept of one training.
Run = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """How long and how wide."""

    steps: int
    batch_size: int
    vectors: int = 20
    looks: int = 5


class PeftTuning:
    """PEFT on one problem; every training is kept in the work folder.

    Args:
        backbone: The frozen model.
        problem: The rows.
        setting: How long and how wide.
        work: Keeps results.
    """

    def __init__(self, backbone: Backbone, problem: Problem, *, setting: Setting, work: Work) -> None:
        self.backbone, self.problem, self.setting, self.work = backbone, problem, setting, work
        name = backbone.spec.name
        self.tokenizer_name = str(embedded_folder()) if name == "embedded" else name
        begins = _adds_bos(self.tokenizer_name, backbone.tokenizer.bos_id)
        text = str(Template.preset("classify", fields=problem.fields, length=0)).removeprefix("{bos}")
        template = Template.parse(f"<soft {setting.vectors}>{'{bos}' if begins else ''}{text}")
        self.builder = RowBuilder(template, problem.task, backbone.tokenizer, max_tokens=backbone.spec.max_positions)
        self.train_rows = rows_of(self.builder, problem.train.rows)
        self.validation_rows = rows_of(self.builder, problem.validation.rows)

    # --- the two contenders

    def documented(self, seeds: Sequence[int]) -> Outcome:
        """As the documentation has it."""
        runs = [self.run(DOCUMENTED, seed) for seed in seeds]
        return self._outcome("peft", runs, "final", search=Cost(), recipe=DOCUMENTED, grid={})

    def best(self, seeds: Sequence[int], *, grid: Sequence[Recipe] = GRID) -> Outcome:
        """The best of the grid by the first seed's best look, then all seeds."""
        tried = {recipe: self.run(recipe, seeds[0]) for recipe in grid}
        chosen = max(grid, key=lambda recipe: (tried[recipe]["validation"], -tried[recipe]["validation_loss"]))
        runs = [tried[chosen], *(self.run(chosen, seed) for seed in seeds[1:])]
        search = sum((_cost(one, "best") for recipe, one in tried.items() if recipe != chosen), Cost())
        scores = {str(recipe): one["validation"] for recipe, one in tried.items()}
        return self._outcome("peft_best", runs, "best", search=search, recipe=chosen, grid=scores)

    def _outcome(
        self, name: str, runs: Sequence[Run], which: str, *, search: Cost, recipe: Recipe, grid: Mapping[str, float]
    ) -> Outcome:
        looks = "final_validation" if which == "final" else "validation"
        return Outcome(
            contender=name,
            seeds=tuple(run["seed"] for run in runs),
            right=tuple(self._judged(run, which) for run in runs),
            validation=tuple(run[looks] for run in runs),
            search=search,
            train=sum((_cost(run, which) for run in runs), Cost()),
            num_trained=self.setting.vectors * self.backbone.spec.embed_dim,
            details={
                "recipe": str(recipe),
                "grid": dict(grid),
                "engine_differs_by": max(run["engine_differs_by"] for run in runs),
            },
        )

    # --- one training

    def run(self, recipe: Recipe, seed: int) -> Run:
        """Train once; what was kept before is not trained again."""
        names = (self.problem.name, "peft", f"{recipe}-seed{seed}")
        return self.work.once(*names, setting=self._setting(recipe, seed), make=lambda: self._train(recipe, seed))

    def _train(self, recipe: Recipe, seed: int) -> Run:
        torch.manual_seed(seed)
        model = self._model(recipe)
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimiser = torch.optim.AdamW(parameters, lr=recipe.rate)
        schedule = get_linear_schedule_with_warmup(optimiser, 0, self.setting.steps)
        looks: list[tuple[int, float, float]] = []
        kept: dict[str, Tensor] = {}
        clock, learning, looking = Clock(), Cost(), Cost()
        for step, batch in zip(range(1, self.setting.steps + 1), self._batches(seed), strict=False):
            model.train()
            model(**batch).loss.backward()
            optimiser.step()
            schedule.step()
            optimiser.zero_grad()
            if step % max(1, self.setting.steps // self.setting.looks) == 0 or step == self.setting.steps:
                learning += clock.lap()
                vectors = parameters[0].detach().clone()
                score, loss = self._look(vectors)
                if not looks or (score, -loss) > max((s, -l) for _, s, l in looks):
                    kept["best"] = vectors
                looks.append((step, score, loss))
                looking += clock.lap()
        kept["final"] = parameters[0].detach().clone()
        differs = self._differs(model, kept["final"])
        self.backbone.model.eval()  # type: ignore[attr-defined]
        path = self._vectors_path(recipe, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: vectors.cpu().contiguous() for name, vectors in kept.items()}, path)
        best = max(looks, key=lambda look: (look[1], -look[2]))
        return {
            "recipe": asdict(recipe),
            "seed": seed,
            "looks": looks,
            "validation": best[1],
            "validation_loss": best[2],
            "final_validation": looks[-1][1],
            "learning": asdict(learning),
            "looking": asdict(looking),
            "engine_differs_by": differs,
        }

    def _model(self, recipe: Recipe) -> PeftModel:
        options: dict[str, Any] = {}
        if recipe.init == "TEXT":
            words = ", ".join(self.problem.task.says)
            options = {
                "prompt_tuning_init_text": f"Classify the text. The answer is one of: {words}.",
                "tokenizer_name_or_path": self.tokenizer_name,
            }
        config = PromptTuningConfig(
            task_type="CAUSAL_LM",
            num_virtual_tokens=self.setting.vectors,
            prompt_tuning_init=recipe.init,
            **options,
        )
        return get_peft_model(self.backbone.model, config)  # type: ignore[attr-defined]

    def _batches(self, seed: int) -> Iterator[dict[str, Tensor]]:
        """Shuffled epochs without end."""
        generator = torch.Generator().manual_seed(seed)
        rows: Any = [_ids(row) for row in self.train_rows]
        loader: Any = torch.utils.data.DataLoader(
            rows, batch_size=self.setting.batch_size, shuffle=True, generator=generator, collate_fn=self._padded
        )
        while True:
            yield from loader

    def _padded(self, rows: Sequence[tuple[tuple[int, ...], int]]) -> dict[str, Tensor]:
        """Ids, mask and labels, padded on the right; the number of answer tokens stands beside the ids."""
        width = max(len(ids) for ids, _ in rows)
        shape, device = (len(rows), width), self.backbone.spec.device
        ids = torch.full(shape, self.backbone.tokenizer.eos_id)
        mask, labels = torch.zeros(shape, dtype=torch.long), torch.full(shape, -100)
        for n, (row, num_answer) in enumerate(rows):
            ids[n, : len(row)] = torch.tensor(row)
            mask[n, : len(row)] = 1
            labels[n, len(row) - num_answer : len(row)] = ids[n, len(row) - num_answer : len(row)]
        return {"input_ids": ids.to(device), "attention_mask": mask.to(device), "labels": labels.to(device)}

    # --- judging

    def _look(self, vectors: Tensor) -> tuple[float, float]:
        """Score on the validation rows, and mean loss of their right answers."""
        self.backbone.model.eval()  # type: ignore[attr-defined]
        rows = self.validation_rows
        (scores,), targets = scores_of(self.backbone, rows, [_prompt(vectors)]), targets_of(rows)
        right = scores.argmax(1) == targets
        return round(float(right.double().mean()), 6), -float(scores[torch.arange(len(rows)), targets].mean())

    def _judged(self, run: Run, which: str) -> str:
        recipe = Recipe(**run["recipe"])
        names = (self.problem.name, "peft", f"{recipe}-seed{run['seed']}-{which}-judged")

        def make() -> dict[str, Any]:
            vectors = load_file(self._vectors_path(recipe, run["seed"]))[which].to(self.backbone.spec.device)
            rows = rows_of(self.builder, self.problem.judged.rows)
            (scores,) = scores_of(self.backbone, rows, [_prompt(vectors)])
            return {"right": marks(scores, targets_of(rows))}

        setting = self._setting(recipe, run["seed"]) | {"judged": self.problem.judged.hash, "looks": run["looks"]}
        return str(self.work.once(*names, setting=setting, make=make)["right"])

    def _differs(self, model: PeftModel, vectors: Tensor) -> float:
        """Largest difference between PEFT's own log-probability of a right answer and that of the judging code."""
        model.eval()
        rows = self.train_rows[:COMPARED_ROWS]
        (scores,) = scores_of(self.backbone, rows, [_prompt(vectors)])
        ours = scores[torch.arange(len(rows)), targets_of(rows)]
        theirs = []
        with torch.no_grad():
            for row in rows:
                batch = self._padded([_ids(row)])
                count = int((batch["labels"] >= 0).sum())
                theirs.append(-float(model(**batch).loss) * count)
        return float((ours - torch.tensor(theirs)).abs().max())

    def _setting(self, recipe: Recipe, seed: int) -> dict[str, Any]:
        spec, problem = self.backbone.spec, self.problem
        return {
            "model": spec.fingerprint,
            "dtype": str(spec.dtype),
            "device": spec.device.type,
            "rows": [problem.train.hash, problem.validation.hash],
            "template": str(self.builder.template),
            "recipe": asdict(recipe),
            "seed": seed,
            **asdict(self.setting),
        }

    def _vectors_path(self, recipe: Recipe, seed: int) -> Path:
        return self.work.path(self.problem.name, "peft", f"{recipe}-seed{seed}", ending=".safetensors")


def _cost(run: Run, which: str) -> Cost:
    """Looks at the validation rows count only where they choose."""
    learning = Cost(**run["learning"])
    return learning + Cost(**run["looking"]) if which == "best" else learning


def _prompt(vectors: Tensor) -> PromptTensors:
    return PromptTensors({"soft": SlotTensors(embed=vectors)})


def _ids(row: Row) -> tuple[tuple[int, ...], int]:
    """Text and right answer as ids, and the number of answer tokens."""
    text = [i for node in row.nodes if isinstance(node.segment, Text) for i in node.segment.ids]
    answer = next(
        node.segment.ids
        for node in row.nodes
        if isinstance(node.segment, Answer) and node.segment.candidate == row.target[0]
    )
    return (*text, *answer), len(answer)


def _adds_bos(name: str, bos: int | None) -> bool:
    """Whether the model's tokenizer begins a text with the beginning token when a user just calls it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tokenizer = AutoTokenizer.from_pretrained(name)
    ids = tokenizer("text")["input_ids"]
    return bos is not None and bool(ids) and ids[0] == bos
