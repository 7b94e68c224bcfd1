"""The demonstration behind ``softprompt demo``: one reading, several answers, and an honest comparison."""

from softprompt.app.demo.reading import Answerer
from softprompt.app.demo.result import DemoResult
from softprompt.app.demo.run import run_demo
from softprompt.app.demo.settings import DemoSettings

__all__ = ["Answerer", "DemoResult", "DemoSettings", "run_demo"]
