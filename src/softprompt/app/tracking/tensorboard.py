"""TensorBoard: event files in the run folder, written without TensorFlow and without torch.

    runs/topic/tensorboard/train    curves; probe beside it
    runs/topic/tensorboard          settings, scores, where the prompt lies

One file a process; one that goes on from a checkpoint says at which step, and TensorBoard drops what the earlier one
wrote beyond it. TensorBoard keeps no files: the prompt and the pages are named, not copied.
"""

import time
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.summary.writer.record_writer import RecordWriter

from softprompt.app.tracking.tracker import Numbers, Result, Start

__all__ = ["TensorboardTracker"]

FOLDER = "tensorboard"


class TensorboardTracker:
    """Event files."""

    def begin(self, start: Start, known: str | None) -> str:
        self._start, self._resumed = start, known is not None
        self._folder = start.folder / FOLDER
        self._writers: dict[str, _Writer] = {}
        self._told = {"": -1}
        self._writer("")
        return FOLDER

    def numbers(self, several: Sequence[Numbers]) -> None:
        for one in several:
            new = one.stage not in self._writers
            writer = self._writer(one.stage)
            if new and self._resumed:
                writer.write(Event(session_log=SessionLog(status=SessionLog.START)), step=one.step)
            values = [Summary.Value(tag=name, simple_value=value) for name, value in one.values.items()]
            writer.write(Event(summary=Summary(value=values)), step=one.step, at=one.time)
        for writer in self._writers.values():
            writer.flush()

    def end(self, result: Result) -> None:
        writer = self._writer("")
        settings = {**self._start.params, **{f"tag.{name}": value for name, value in self._start.tags.items()}}
        writer.write(Event(summary=hparams_pb(settings)))
        values = [Summary.Value(tag=name, simple_value=value) for name, value in result.scores.items()]
        writer.write(Event(summary=Summary(value=values)))
        writer.write(Event(summary=Summary(value=[_text("settings", _listed(settings))])))
        kept = {"state": result.state, **{path.name: str(path.absolute()) for path in result.files}}
        writer.write(Event(summary=Summary(value=[_text("kept", _listed(kept))])))
        writer.flush()

    def _writer(self, stage: str) -> "_Writer":
        if stage not in self._writers:
            self._writers[stage] = _Writer(self._folder / stage)
        return self._writers[stage]


class _Writer:
    """One event file: open only while something is written, so that a run that is killed leaves nothing half open."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        number = sum(1 for _ in folder.glob("events.out.tfevents.*"))
        self.path = folder / f"events.out.tfevents.{int(time.time()):010d}.softprompt.{number}"
        self._kept = BytesIO()
        self.write(Event(file_version="brain.Event:2"))
        self.flush()

    def write(self, event: Event, *, step: int = 0, at: float | None = None) -> None:
        event.step, event.wall_time = step, time.time() if at is None else at
        RecordWriter(self._kept).write(event.SerializeToString())

    def flush(self) -> None:
        with self.path.open("ab") as file:
            file.write(self._kept.getbuffer())
        self._kept = BytesIO()


def _text(tag: str, text: str) -> Summary.Value:
    """A page of Markdown."""
    plugin = SummaryMetadata.PluginData(plugin_name="text")
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    tensor = TensorProto(dtype=DT_STRING, string_val=[text.encode()], tensor_shape=shape)
    return Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=plugin), tensor=tensor)


def _listed(facts: dict[str, str]) -> str:
    """Facts as a Markdown table."""
    cells = [(name, " ".join(value.split()).replace("|", "\\|")) for name, value in facts.items()]
    return "\n".join(["| name | value |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in cells)])
