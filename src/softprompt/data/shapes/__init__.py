"""Exports of other tools, turned into plain fields: one table, each with how it is recognised and what it becomes.

chats         OpenAI, ShareGPT                 system, history, prompt, answer
pairs         Alpaca, prompt/completion        prompt, answer
questions     SQuAD                            title, context, question, answer
annotations   Label Studio, doccano, Prodigy   their columns, and the label
"""

from softprompt.data.shapes.shape import Shape, Values
from softprompt.data.shapes.table import SHAPES, choose, detect, reshaped

__all__ = ["SHAPES", "Shape", "Values", "choose", "detect", "reshaped"]
