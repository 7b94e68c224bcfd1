"""The rules of the house that no other tool holds: names, codes, sizes, weight of an import, the tree in the README."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import pytest
import torch
import yaml

from softprompt.core import errors
from softprompt.core.tensors import Head

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "softprompt"
MODULES = sorted(SOURCE.rglob("*.py"))
ERROR_CLASSES = errors.SoftpromptError.__subclasses__()

# Where the code stands in a call: an error's first argument, the second of a bad row (which becomes an error later).
CODED = {**{kind.__name__: (kind.prefix, 0) for kind in ERROR_CLASSES}, "BadRow": ("data", 1)}

# Paths of somebody's machine, and registries by their host instead of their name.
FORBIDDEN = re.compile(
    r"/home/\w|/root/|/Users/\w|/work/|/tmp/\w|\bpypi\.org|pythonhosted|proxy\.golang|registry\.npmjs", re.I
)
TEXTS = (".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".json", ".svg", "")


def texts() -> Iterator[Path]:
    """Every tracked text file that people read or run."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for line in listed.splitlines():
        path = ROOT / line
        if path.suffix in TEXTS and path.is_file() and path.name != "tokenizer.json" and path != Path(__file__):
            yield path


def raised_codes(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Prefix and code of every error of the tree that is built with its code in place."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            if name in CODED and len(node.args) > CODED[name][1]:
                prefix, position = CODED[name]
                yield from ((prefix, code) for code in literals(node.args[position]))


def literals(node: ast.expr) -> Iterator[str]:
    """The texts that an expression can be, as far as it says so itself."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp(body=body, orelse=orelse):
            yield from literals(body)
            yield from literals(orelse)


def run_python(code: str) -> str:
    """Output of a fresh interpreter."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE.parent), "PYTHONWARNINGS": "error"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_module_is_short_and_says_what_it_is(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 500, "a module this long is two modules"
    assert ast.get_docstring(ast.parse(text)), "no module docstring"


def test_every_raised_code_is_catalogued_and_every_catalogued_code_is_raised() -> None:
    used: set[str] = set()
    for path in MODULES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for prefix, code in raised_codes(tree):
            assert code.startswith(f"{prefix}."), f"{path.name}: {code} is raised by the class of {prefix}.*"
            used.add(code)
        # a code chosen beforehand (`code = "config.a" if ... else ...`) stands in the module as a text of its own
        catalogued = {id(key) for node in ast.walk(tree) if isinstance(node, ast.Dict) for key in node.keys}
        others = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in catalogued]
        used |= {node.value for node in others if isinstance(node.value, str)} & set(errors.CATALOGUE)
    assert sorted(used) == sorted(errors.CATALOGUE)


def test_every_code_belongs_to_one_class() -> None:
    prefixes = [kind.prefix for kind in ERROR_CLASSES]
    statuses = [kind.exit_status for kind in ERROR_CLASSES]
    assert len(set(prefixes)) == len(set(statuses)) == len(ERROR_CLASSES), "a prefix or an exit status stands twice"
    assert {code.split(".")[0] for code in errors.CATALOGUE} <= set(prefixes)


def test_no_machine_and_no_registry_host_is_named() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path in texts()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if FORBIDDEN.search(line)
    ]
    assert not found, "\n".join(found)


#: What is not the same on every system -> the modules that know how to do without.
OF_A_SYSTEM = {
    r"os\.(fsync|rename|replace|link)\b|\.rename\(|winerror": {"core/files.py"},
    r"\bos\.(fchmod|chown|umask|fork|kill|killpg|setsid|mkfifo)\b|\bimport (fcntl|resource|pwd|grp|termios)\b": set(),
    r"\bmultiprocessing\b|\bos\.system\b|\bSIGKILL\b": set(),
    r"\bsched_getaffinity\b|\bpid_exists\b": {"core/machine.py"},
    r"\bproc/|sys/fs/cgroup": {"lab/training/memory.py"},
    r"\bgetuid\b|posix_fallocate|\.from_file\(str": {"model/statefiles.py"},
    r"0o600": {"core/files.py", "model/statefiles.py"},
    r"PosixPath|WindowsPath": set(),
}


@pytest.mark.parametrize("pattern", OF_A_SYSTEM)
def test_what_differs_between_systems_stands_in_one_place(pattern: str) -> None:
    found = {
        path.relative_to(SOURCE).as_posix() for path in MODULES if re.search(pattern, path.read_text(encoding="utf-8"))
    }
    assert found == OF_A_SYSTEM[pattern], "use the module that knows the systems, or teach it"


def test_every_text_file_is_opened_in_an_encoding() -> None:
    without = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and opens_text(node) and "encoding" not in {word.arg for word in node.keywords}
    ]
    assert not without, f"the encoding of the system is another one on Windows: {without}"


def opens_text(call: ast.Call) -> bool:
    """Whether a call reads or writes text in an encoding that no argument without a name says."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    given = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
    if name in {"read_text", "write_text"}:
        return "utf-8" not in given
    return name in {"open", "fdopen"} and any(re.fullmatch(r"[rwaxt+]+", str(mode)) for mode in given)


def test_import_is_light() -> None:
    heavy = "{'torch', 'transformers', 'scipy', 'pandas', 'sklearn'}"
    assert run_python(f"import softprompt, sys; print({heavy} & set(sys.modules))") == "set()\n"


def test_words_and_data_need_no_torch() -> None:
    names = [
        ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")
        for floor in ("core", "data")
        for path in sorted((SOURCE / floor).rglob("*.py"))
        if path != SOURCE / "core" / "tensors.py"
    ]
    lines = ["importlib.import_module(name)", "assert 'torch' not in sys.modules, name"]
    run_python("\n    ".join([f"import importlib, sys\nfor name in {names}:", *lines]))


def test_shape_annotations_are_executed_here() -> None:
    with pytest.raises(jaxtyping.TypeCheckError):
        Head(torch.zeros(3, 4), torch.zeros(2))


def tree_entries(readme: str) -> Iterator[tuple[Path, str]]:
    """Path and phrase of every line of the file tree in the README."""
    block = re.search(r"^softprompt/\n(.*?)^```", readme, re.M | re.S)
    assert block, "the README has no file tree"
    parents: list[str] = []
    for line in block[1].splitlines():
        entry = re.fullmatch(r"([│ ]*)(?:├──|└──) (\S+)\s+(\S.*)", line)
        if entry is None:
            assert re.fullmatch(r"[│ ]+\S.*|[│ ]*", line), f"not a line of a tree: {line!r}"
            continue
        depth = len(entry[1]) // 4
        parents[depth:] = [entry[2].rstrip("/")]
        yield Path(*parents), entry[3]


def test_file_tree_in_the_readme_is_true() -> None:
    entries = dict(tree_entries((ROOT / "README.md").read_text(encoding="utf-8")))
    missing = [str(path) for path in entries if not (ROOT / path).exists()]
    assert not missing, f"the README names what is not there: {missing}"
    folders = {path for path in entries if (ROOT / path).is_dir()}
    packages = {path.relative_to(ROOT) for path in SOURCE.glob("*/") if (path / "__init__.py").exists()}
    packages |= {path.relative_to(ROOT) for path in (SOURCE / "model").glob("*/") if (path / "__init__.py").exists()}
    assert packages <= folders, f"the README leaves out {sorted(map(str, packages - folders))}"


def test_every_benchmark_stands_in_their_table() -> None:
    folder = ROOT / "benchmarks"
    told = re.findall(r"^\| `(\w+\.py)` \|", (folder / "README.md").read_text("utf-8"), re.M)
    assert sorted(told) == sorted(path.name for path in folder.glob("*.py"))


def test_ci_runs_what_the_package_says_it_supports() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))["jobs"]
    matrix = jobs["test"]["strategy"]["matrix"]
    assert {name.partition("-")[0] for name in matrix["os"]} == {"ubuntu", "macos", "windows"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f">={min(matrix['python'])}" == project["requires-python"]
    said = {name.rpartition(" ")[2] for name in project["classifiers"] if re.search(r":: 3\.\d+$", name)}
    assert said <= set(matrix["python"]), "a version that is classified and not tested"
    commands = " ".join(step.get("run", "") for step in jobs["test"]["steps"])
    assert "make check" in commands
    assert "pytest" in commands


def anchors(page: str) -> set[str]:
    """The anchors that headings of a Markdown page get."""
    headings = re.findall(r"^#+ (.+)$", page, re.M)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "page", [path for path in texts() if path.suffix == ".md"], ids=lambda path: str(path.relative_to(ROOT))
)
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"^```.*?^```|^    .*?$|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), f"{target}: no such file"
        assert not anchor or anchor in anchors(linked.read_text(encoding="utf-8")), f"{target}: no such heading"
