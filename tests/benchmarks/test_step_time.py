"""The step-time benchmark runs on a tiny shape, and what it computes from its measurements is right."""

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from benchmarks.rig import charts, epochs, pages, report, timing
from benchmarks.rig.contenders import CONTENDERS, Contender, Ours, Step
from benchmarks.rig.setting import SHAPES, Setting, backbone_of

TINY = ["--shape", "tiny", "--tokens", "8", "--batch", "4", "--threads", "1", "--dtype", "fp32"]


def run(repository: Path, *arguments: str) -> str:
    """Standard output of the script, run as a user runs it."""
    script = repository / "benchmarks" / "step_time.py"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, str(script), *TINY, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def result(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    out = tmp_path_factory.mktemp("out")
    sizes = ["--repeats", "1", "--sample-texts", "2", "--check-rows", "4", "--rows", "10", "--budget-gb", "0.00001"]
    text = run(repository, "--json", "--only", "epochs", "--out", str(out), *sizes)
    assert {path.name for path in out.iterdir()} == {"step_time.json", "step_time.md", "step_time.svg"}
    assert json.loads((out / "step_time.json").read_text()) == json.loads(text)
    return json.loads(text)


def test_every_contender_is_timed(result: dict) -> None:
    steps = result["by_tokens"]["8"]["steps"]
    assert list(steps) == list(CONTENDERS)
    assert all(one["median"] > 0 for one in steps.values())


def test_before_computes_what_peft_computes(result: dict) -> None:
    for pair in ("before = peft", "peft_best = peft", "after_no_cache = after"):
        assert result["by_tokens"]["8"]["agreement"][pair]["gradient"] < 1e-3


def test_wall_times_are_the_sum_of_their_parts(result: dict) -> None:
    lines = result["by_tokens"]["8"]["epochs"]["table"]
    assert {line["policy"] for line in lines} >= {"peft", "before", "after: rest read again"}
    for line in lines:
        # 10 rows in batches of 4 are 3 steps an epoch; times are rounded to 0.1 s, steps to 0.001 s.
        for count, seconds in line["seconds"].items():
            expected = line["reading_s"] + int(count) * 3 * line["step_s"]
            assert seconds == pytest.approx(expected, abs=0.2 + int(count) * 3 * 0.0005)


def test_states_beyond_the_budget_are_not_counted_as_cached(result: dict) -> None:
    # 8 tokens x 2 layers x (keys + values) x 32 numbers x 4 bytes = 4,096 bytes: two of ten texts fit 10 kB.
    line = next(line for line in result["by_tokens"]["8"]["epochs"]["table"] if line["policy"].startswith("after"))
    assert line["share_in_ram"] == 0.2


def test_memory_is_measured_in_a_process_of_its_own(repository: Path) -> None:
    setting = json.dumps({"tokens": 8, "batch": 4, "shape": "tiny", "dtype": "fp32", "threads": 1})
    found = json.loads(run(repository, "--child", "after", "--setting", setting).splitlines()[-1])
    assert found["peak"] == max(found["reading"], found["steps"]) >= found["baseline"] > 0


class Fake(Contender):
    """Takes a given time, and gives a given gradient."""

    def __init__(self, name: str, seconds: list[float], gradient: float = 1.0) -> None:
        self.name, self.seconds, self.slope, self.calls = name, iter(seconds), gradient, []

    def step(self) -> Step:
        ORDER.append(self.name)
        return Step(next(self.seconds), 0.0, 0.0)

    def gradient(self) -> tuple[float, torch.Tensor]:
        return 1.0, torch.full((2,), self.slope)


ORDER: list[str] = []


def test_repeats_are_interleaved_and_the_warm_up_does_not_count() -> None:
    ORDER.clear()
    found = timing.interleaved([Fake("peft", [99.0, 4.0, 5.0, 60.0]), Fake("after", [99.0, 1.0, 1.0, 1.0])], repeats=3)
    assert ORDER == ["peft", "after", "peft", "after", "after", "peft", "peft", "after"]
    assert timing.summary(found)["after"]["times_faster"] == 5.0


def test_contenders_that_compute_something_else_are_seen() -> None:
    found = timing.agree({"before": Fake("before", [], gradient=1.5), "peft": Fake("peft", [])})
    assert found["before = peft"]["gradient"] == pytest.approx(0.5)


def test_placement_before_and_after_are_different_functions() -> None:
    setting = Setting(tokens=8, batch=2, shape="tiny", dtype="fp32")
    backbone = backbone_of(setting)
    gradients = [Ours(setting, backbone, name="", after=after).gradient()[1] for after in (False, True)]
    assert float((gradients[0] - gradients[1]).norm()) > 0.1 * float(gradients[0].norm())


def test_a_run_within_the_budget_reads_every_text_once() -> None:
    measured = {
        "read_seconds_a_text": {"memory": 0.5, "file": 1.0},
        "steps": {name: {"median": 2.0} for name in epochs.SOURCES},
    }
    lines = epochs.table(
        Setting(tokens=10), measured, {"peft": 8.0}, rows=[32], epochs=[1, 3], budget_bytes=1e9, state_bytes=100
    )
    assert [(line["policy"], line["seconds"]) for line in lines] == [
        ("peft", {"1": 16.0, "3": 48.0}),
        ("after: all in RAM", {"1": 20.0, "3": 28.0}),
    ]


def test_a_missed_target_is_called_missed() -> None:
    def result(faster: float, peak: float) -> dict:
        one = {
            "steps": {"before": {"times_faster": 2.5}, "after": {"times_faster": faster}},
            "memory": {"peft": {"peak": 5.0}, "before": {"peak": 2.5}, "after": {"peak": peak}},
        }
        return {"by_tokens": {"256": one}, "setting": {"shape": "small"}}

    assert [line.rsplit(" ", 1)[1] for line in report.verdicts(result(11.9, 1.6))] == ["met", "met", "MISSED", "MISSED"]
    assert all(line.endswith("met") for line in report.verdicts(result(12.0, 1.5)))


def test_the_chart_is_well_formed_and_bars_are_proportional() -> None:
    chart = charts.bars(
        {"256 <tokens>": {"peft": 4.0, "after": 1.0}}, title="a & b", unit="s", labels={"peft": "P"}, ours=["after"]
    )
    found = [one for one in ElementTree.fromstring(chart).iter() if one.tag.endswith("rect")]
    widths = [float(one.attrib["width"]) for one in found]
    assert widths[0] == pytest.approx(4 * widths[1], rel=0.01)
    assert "prefers-color-scheme: dark" in chart


def test_dropped_pages_are_read_from_the_disk_again(tmp_path: Path) -> None:
    path = tmp_path / "x.states"
    path.write_bytes(bytes(range(256)) * 4096)
    mapped = torch.from_file(str(path), shared=True, size=1 << 20, dtype=torch.uint8)
    mapped[0] = 7
    pages.drop(path)
    assert resident(mapped) < 0.1
    assert int(mapped[0]) == 7
    assert int(mapped[255]) == 255


def resident(tensor: torch.Tensor) -> float:
    """Share of a mapped tensor's bytes that are in this process's page tables."""
    blocks = Path("/proc/self/smaps").read_text().split("VmFlags")
    first = f"{tensor.data_ptr():x}-"
    block = next(block for block in blocks if any(line.startswith(first) for line in block.splitlines()))
    sizes = {line.split(":")[0]: int(line.split()[1]) for line in block.splitlines() if line.endswith(" kB")}
    return sizes["Rss"] / sizes["Size"]


def test_the_full_shape_is_the_one_that_is_promised() -> None:
    shape = SHAPES["small"]
    assert (shape.layers, shape.hidden, shape.heads) == (12, 768, 12)
    assert shape.vocabulary > 50_000
