"""Records a terminal session from a file of tickets to a served prompt, and draws it as a moving SVG.

    python tools/docs/session.py [--out docs/img/first-hour.svg]

Nothing is staged: the commands run in a terminal of 100 columns on this machine, and what they write there is what the
picture shows. Waiting is shortened in the picture; the true seconds of each step are told on standard output, as the
table of docs/first-hour.md. Needs `pip install pyte` (a terminal emulator) and a system with pseudo-terminals.
"""

import argparse
import csv
import html
import json
import os
import pty
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import pyte

ROOT = Path(__file__).parents[2]
COLUMNS, LINES = 100, 30
CHAR_WIDTH, LINE_HEIGHT, MARGIN, BAR = 8.4, 19, 14, 30
LONGEST_WAIT = 1.2  # seconds of the picture that nothing new is waited for
FRAME_SECONDS = 0.15  # looks at the screen no more often than this
READING_SECONDS, LAST_SECONDS = 3.0, 8.0  # the picture rests after a step, and at the end
COLOURS = {
    "default": "#d8dee9",
    "black": "#5c6773",
    "red": "#ff7a7a",
    "green": "#8fd19e",
    "brown": "#e6c07b",  # the emulator's name for yellow
    "blue": "#7fb4ff",
    "magenta": "#d7a6ff",
    "cyan": "#7fdbda",
    "white": "#ffffff",
}
BACKGROUND, FRAME_COLOUR = "#14181f", "#2a303b"


@dataclass(frozen=True)
class Step:
    """One command of the session.

    Attributes:
        says: What it is for: the row of the table.
        command: As typed; run by a shell.
        ready: A command that stays: go on when this stands in what it wrote, and end it after the last step.
    """

    says: str
    command: str
    ready: str | None = None


SESSION = (
    Step("look at the file, write a config", "softprompt init tickets.csv --target topic"),
    Step("what would be learnt, at what cost", "softprompt check tickets.yaml --rows 1"),
    Step("learn, judged on held-out folds", "softprompt tune tickets.yaml --effort quick"),
    Step("ask it", "softprompt predict runs/tickets --text 'The parcel never came. Send my money back!'"),
    Step("serve it", "softprompt serve runs/tickets --port 8765 &", ready="try: curl"),
    Step(
        "ask over HTTP",
        "curl -s localhost:8765/v1/classify -H 'Content-Type: application/json' -d '{\"input\": \"I cannot log in\"}'",
    ),
)


@dataclass(frozen=True)
class Frame:
    """What the terminal showed, and for how long the picture shows it.

    Attributes:
        lines: Runs of characters of one look a line: (text, colour, bold).
        seconds: How long.
    """

    lines: tuple[tuple[tuple[str, str, bool], ...], ...]
    seconds: float


class Recorder:
    """A terminal that remembers its looks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.screen = pyte.Screen(COLUMNS, LINES)
        self.stream = pyte.ByteStream(self.screen)
        self.frames: list[Frame] = []
        self.seconds: dict[str, float] = {}
        self._staying: list[subprocess.Popen[bytes]] = []
        self._unread = 0  # lines since the last rest

    def run(self, step: Step) -> None:
        """Type and run one command; what it writes becomes frames.

        Raises:
            RuntimeError: It failed.
        """
        typed, self._unread = step.command.removesuffix(" &"), 0
        self.stream.feed(f"\x1b[32m$\x1b[0m \x1b[1m{step.command}\x1b[0m\r\n".encode())
        self._look(1.0)
        ours, theirs = pty.openpty()
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        terminal = {"COLUMNS": str(COLUMNS), "LINES": str(LINES), "TERM": "xterm-256color"}
        environment = {**os.environ, **terminal, "PATH": path}
        began = time.monotonic()
        process = subprocess.Popen(
            typed, shell=True, cwd=self.folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        self._follow(ours, process, step.ready)
        self.seconds[step.says] = time.monotonic() - began
        if step.ready is None and process.returncode:
            raise RuntimeError(f"`{typed}` ended with {process.returncode}:\n" + "\n".join(self.screen.display))
        if self.screen.cursor.x:
            self.stream.feed(b"\r\n")
        self._look(READING_SECONDS)

    def close(self) -> None:
        """End what stays."""
        for process in self._staying:
            process.terminate()
            process.wait(timeout=20)

    def _follow(self, terminal: int, process: "subprocess.Popen[bytes]", ready: str | None) -> None:
        wrote, looked, began = b"", time.monotonic(), time.monotonic()
        while True:
            readable, _, _ = select.select([terminal], [], [], 0.1)
            if readable:
                try:
                    chunk = os.read(terminal, 65536)
                except OSError:  # Linux tells so that the other side is closed
                    chunk = b""
                if not chunk:
                    process.wait()
                    break
                wrote += chunk
                self._feed(chunk)
            now = time.monotonic()
            if now - looked >= FRAME_SECONDS:
                self._look(min(now - looked, LONGEST_WAIT))
                looked = now
            if ready and ready.encode() in wrote and now - began > 1:
                self._staying.append(process)
                break
            if process.poll() is not None and not readable:
                break
        self._look(0.3)

    def _feed(self, chunk: bytes) -> None:
        """Let it write; rest where a screenful would run away."""
        for line in chunk.splitlines(keepends=True):
            self.stream.feed(line)
            self._unread += line.endswith(b"\n")
            if self._unread >= LINES - 4:
                self._look(READING_SECONDS)
                self._unread = 0

    def _look(self, seconds: float) -> None:
        lines = tuple(tuple(_runs(self.screen.buffer[row])) for row in range(LINES))
        if self.frames and self.frames[-1].lines == lines:
            before = self.frames.pop()
            seconds = max(before.seconds, min(before.seconds + seconds, max(seconds, LONGEST_WAIT)))
        self.frames.append(Frame(lines, seconds))


def _runs(row: "dict[int, pyte.screens.Char]") -> Iterator[tuple[str, str, bool]]:
    """Neighbouring characters of one look, without what is blank at the end."""
    text, look = "", ("default", False)
    last = max((x for x in range(COLUMNS) if row[x].data.strip()), default=-1)
    for x in range(last + 1):
        char = row[x]
        here = (char.fg, char.bold)
        if here != look and text:
            yield text, *look
            text = ""
        text, look = text + char.data, here
    if text:
        yield text, *look


def draw(frames: Sequence[Frame], *, title: str) -> str:
    """The frames as one SVG: a film of them, moved on by CSS; the last one where motion is not wanted.

    >>> film = draw([Frame(((("hi <b>", "green", True),),), 1.0), Frame(((),), 1.0)], title="two frames")
    >>> "hi &lt;b&gt;" in film, film.count("translateY")
    (True, 4)
    """
    width, height = COLUMNS * CHAR_WIDTH + 2 * MARGIN, LINES * LINE_HEIGHT + MARGIN + BAR
    total, passed, keys, groups, seen = sum(frame.seconds for frame in frames), 0.0, [], [], dict[object, int]()
    definitions: list[str] = []
    for number, frame in enumerate(frames):
        keys.append(f"{100 * passed / total:.3f}% {{ transform: translateY(-{number * height:.0f}px) }}")
        passed += frame.seconds
        uses = []
        for row, line in enumerate(frame.lines):
            if line:
                if line not in seen:
                    seen[line] = len(seen)
                    definitions.append(f'<text id="l{seen[line]}">{_spans(line)}</text>')
                uses.append(f'<use href="#l{seen[line]}" y="{(row + 1) * LINE_HEIGHT}"/>')
        groups.append(f'<g transform="translate(0 {number * height:.0f})">{"".join(uses)}</g>')
    keys.append(f"100% {{ transform: translateY(-{(len(frames) - 1) * height:.0f}px) }}")
    style = (
        "text { font: 14px ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace;"
        f" fill: {COLOURS['default']}; white-space: pre }}"
        f" .film {{ animation: film {total:.1f}s steps(1, end) infinite }}"
        f" @keyframes film {{ {' '.join(keys)} }}"
        " @media (prefers-reduced-motion: reduce) { .film { animation: none;"
        f" transform: translateY(-{(len(frames) - 1) * height:.0f}px) }} }}"
    )
    dots = "".join(
        f'<circle cx="{MARGIN + 6 + 18 * n}" cy="15" r="5" fill="{colour}"/>'
        for n, colour in enumerate(("#ff5f57", "#febc2e", "#28c840"))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}"'
        ' role="img">'
        f"<title>{html.escape(title)}</title><style>{style}</style><defs>{''.join(definitions)}</defs>"
        f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}" stroke="{FRAME_COLOUR}"/>{dots}'
        f'<svg x="{MARGIN}" y="{BAR}" width="{width - 2 * MARGIN:.0f}" height="{height - BAR:.0f}">'
        f'<g class="film">{"".join(groups)}</g></svg></svg>\n'
    )


def _spans(line: Sequence[tuple[str, str, bool]]) -> str:
    spans, x = [], 0
    for text, colour, bold in line:
        fill = COLOURS.get(colour, f"#{colour}" if len(colour) == 6 else COLOURS["default"])
        look = (f' fill="{fill}"' if fill != COLOURS["default"] else "") + (' font-weight="bold"' if bold else "")
        length = f' textLength="{len(text) * CHAR_WIDTH:.1f}"'
        spans.append(f'<tspan x="{x * CHAR_WIDTH:.1f}"{length}{look}>{html.escape(text)}</tspan>')
        x += len(text)
    return "".join(spans)


def write_tickets(path: Path) -> int:
    """The example messages of the package as a user would have them: a CSV of text and topic; returns its rows."""
    source = files("softprompt").joinpath("assets/example/messages.train.jsonl").read_text("utf-8")
    rows = [json.loads(line) for line in source.splitlines()]
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, ["text", "topic"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs/img/first-hour.svg")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        rows = write_tickets(Path(folder) / "tickets.csv")
        recorder = Recorder(Path(folder))
        try:
            for step in SESSION:
                recorder.run(step)
        finally:
            recorder.close()
    last = recorder.frames.pop()
    frames = [*recorder.frames, Frame(last.lines, LAST_SECONDS)]
    options.out.write_text(draw(frames, title=f"From a file of {rows} tickets to a served prompt"), encoding="utf-8")
    print("| step | seconds |\n| --- | ---: |")
    for step in SESSION:
        print(
            f"| {step.says}: `{step.command.split(' -')[0].split(' tickets')[0]}` | {recorder.seconds[step.says]:.1f} |"
        )
    print(f"| all | {sum(recorder.seconds.values()):.0f} |")


if __name__ == "__main__":
    main()
