"""The first scores of a prompt that came from elsewhere: imported or converted, it was marked as not judged."""

from pathlib import Path

from softprompt.app.recipes.saved import scores_of
from softprompt.core.errors import PromptError
from softprompt.lab.evaluation import Evaluation
from softprompt.model.prompts.prompt import Prompt

__all__ = ["keep_first_scores"]


def keep_first_scores(path: str | Path | Prompt, evaluation: Evaluation, *, split: str) -> str:
    """Write scores into a saved prompt that has none yet.

    Args:
        path: Of the prompt; one that lies nowhere keeps nothing.
        evaluation: With all answers counted.
        split: What the rows are called.

    Returns:
        What to say; empty for a prompt that was judged before.
    """
    if isinstance(path, Prompt):
        return ""
    prompt = Prompt.load(path)
    if not prompt.manifest.unevaluated:
        return ""
    changes = {"unevaluated": False, "scores": scores_of(evaluation, split)}
    try:
        Prompt(prompt.tensors, prompt.manifest.model_copy(update=changes), prompt.members).save(path, overwrite=True)
    except PromptError as error:
        return f"these are its first scores, and they could not be kept: {error.message}"
    return f"these are its first scores; {path} keeps them"
