"""One frozen model and several saved prompts that answer requests: the engine behind a server, without the server.

Knows prompts, texts and the model; nothing of HTTP. ``records`` says what is asked and answered, ``inputs`` makes
examples of what came, ``working`` asks the model, ``engine`` is the queue before it.
"""

from softprompt.ops.serving.engine import Engine
from softprompt.ops.serving.inputs import examples_of
from softprompt.ops.serving.records import Answers, Completion, Completions, Judge, Limits, Served, Write

__all__ = ["Answers", "Completion", "Completions", "Engine", "Judge", "Limits", "Served", "Write", "examples_of"]
