"""Law 10: loading executes nothing and is bounded. Each fault has its own code; broken bytes never do anything else."""

import copy
import hashlib
import io
import json
import random
import struct
import time
import zipfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from softprompt.core.errors import CATALOGUE, PromptError
from softprompt.model.prompts.document import decode_document, migrate
from softprompt.model.prompts.prompt import Prompt
from softprompt.model.prompts.tensorfile import decode_tensors

MANIFEST, TENSORS = "manifest.json", "prompt.safetensors"


def refused(code: str, files: dict[str, bytes]) -> str:
    """The one-line message with which these two files are refused."""
    with pytest.raises(PromptError) as caught:
        Prompt._from_files(files)
    assert caught.value.code == code
    assert code in CATALOGUE
    assert caught.value.cure, "what is damaged has a cure"
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 500
    return message


def with_manifest(prompt: Prompt, change: Callable[[dict[str, Any]], object]) -> dict[str, bytes]:
    files = prompt._files()
    document = json.loads(files[MANIFEST])
    change(document)
    return {**files, MANIFEST: json.dumps(document).encode()}


def with_tensors(prompt: Prompt, data: bytes, described: dict[str, Any] | None = None) -> dict[str, bytes]:
    """Other tensors with a manifest that agrees: a forged prompt, not a damaged one."""

    def change(document: dict[str, Any]) -> None:
        entry = document["files"][TENSORS]
        entry["sha256"] = hashlib.sha256(data).hexdigest()
        if described is not None:
            entry["tensors"] = described

    return {**with_manifest(prompt, change), TENSORS: data}


def raw_safetensors(header: Any, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


# ------------------------------------------------------------ the manifest


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"[]", "is a list"),
        (b'{"a": NaN}', "NaN is not a number"),
        (b'{"a": -Infinity}', "-Infinity is not a number"),
        (b'{"a": 1e999}', "1e999 is too large"),
        (b'{"a": 1, "a": 2}', "stands twice"),
        (b'{"a": "\\ud800"}', "surrogates"),
        (b'{"a": ' + b"9" * 5000 + b"}", "integer string"),
    ],
)
def test_broken_manifests(prompt: Prompt, data: bytes, what: str):
    assert what in refused("prompt.bad_manifest", {**prompt._files(), MANIFEST: data})


def test_a_large_manifest_is_refused(prompt: Prompt):
    refused("prompt.too_large", {**prompt._files(), MANIFEST: b" " * (4 * 2**20 + 1)})


GONE = "(gone)"  # a value that no manifest holds; a plain object would name tests by its address
DESCRIBED = ("files", TENSORS, "tensors")


@pytest.mark.parametrize(
    ("code", "path", "value"),
    [
        ("prompt.unknown_schema", ("schema",), GONE),
        ("prompt.unknown_schema", ("schema",), "1"),
        ("prompt.unknown_schema", ("schema",), True),
        ("prompt.unknown_schema", ("schema",), 2),
        ("prompt.unknown_schema", ("schema",), 0),
        ("prompt.unknown_schema", ("schema",), -(10**12)),
        ("prompt.unknown_requirement", ("requires",), ["embed", "telepathy"]),
        ("prompt.unknown_requirement", ("requires",), ["x" * 10_000]),
        ("prompt.bad_manifest", ("requires",), "embed"),
        ("prompt.bad_manifest", ("template",), GONE),
        ("prompt.bad_manifest", ("task",), []),
        ("prompt.bad_manifest", ("model", "fingerprint"), GONE),
        ("prompt.bad_manifest", ("name",), "x" * 201),
        ("prompt.bad_manifest", ("files",), GONE),
        ("prompt.bad_manifest", ("files",), []),
        ("prompt.bad_manifest", ("files", TENSORS, "sha256"), GONE),
        ("prompt.bad_manifest", DESCRIBED, None),
        ("prompt.corrupted", ("files", TENSORS, "sha256"), "0" * 64),
        ("prompt.shape_mismatch", (*DESCRIBED, "head.bias"), GONE),
        ("prompt.shape_mismatch", (*DESCRIBED, "x" * 9999), {}),
        ("prompt.shape_mismatch", (*DESCRIBED, "head.bias"), "F32 [1]"),
        ("prompt.shape_mismatch", (*DESCRIBED, "head.bias"), "F16 [2]"),
    ],
    ids=lambda value: (value if isinstance(value, str) else str(value))[:40],
)
def test_each_fault_of_a_manifest_has_its_code(prompt: Prompt, code: str, path: tuple[str, ...], value: Any):
    def change(document: dict[str, Any]) -> None:
        *folders, name = path
        for folder in folders:
            document = document[folder]
        document[name] = value
        if value is GONE:
            del document[name]

    refused(code, with_manifest(prompt, change))


@pytest.mark.parametrize("name", ["task", "template", "answers", "placement"])
def test_what_decides_an_answer_is_under_seal(prompt: Prompt, name: str):
    def change(document: dict[str, Any]) -> None:
        document[name] = "between" if name == "placement" else {**document[name], "more": "by hand"}

    message = refused("prompt.corrupted", with_manifest(prompt, change))
    assert message.startswith("the task, the template or the answers")

    def openly(document: dict[str, Any]) -> None:
        change(document)
        del document["files"][MANIFEST]

    assert name in Prompt._from_files(with_manifest(prompt, openly)).manifest.to_dict()


@pytest.mark.parametrize("seal", [[], {}, {"keys": [[]], "sha256": ""}, {"keys": ["task"], "sha256": 3}, "x"])
def test_a_broken_seal_is_a_damaged_file(prompt: Prompt, seal: Any):
    refused("prompt.corrupted", with_manifest(prompt, lambda document: document["files"].update({MANIFEST: seal})))


def test_names_and_notes_may_be_written_by_hand(prompt: Prompt):
    words = {"name": "tone", "author": "me", "licence": "CC0-1.0", "notes": "for the shop", "colour": "blue"}
    manifest = Prompt._from_files(with_manifest(prompt, lambda document: document.update(words))).manifest.to_dict()
    assert {key: manifest[key] for key in words} == words


def test_migrations_run_in_order_and_only_from_where_they_must():
    steps = {0: lambda old: {"b": old["a"]}, 1: lambda old: {"c": old["b"] + 1}}
    old = {"schema": 0, "a": 1}
    before = copy.deepcopy(old)
    assert migrate(old, migrations=steps, newest=2) == {"c": 2, "schema": 2}
    assert old == before
    assert migrate({"schema": 1, "b": 5}, migrations=steps, newest=2) == {"c": 6, "schema": 2}
    with pytest.raises(PromptError, match=r"no migration from schema 1.*prompt.unknown_schema"):
        migrate({"schema": 0}, migrations={0: lambda old: {}}, newest=2)


def test_a_prompt_of_an_older_schema_loads_through_its_migration(prompt: Prompt, monkeypatch: pytest.MonkeyPatch):
    def older(document: dict[str, Any]) -> None:
        document["schema"] = 0
        document["title"] = document.pop("name")

    files = with_manifest(prompt, older)
    refused("prompt.unknown_schema", files)
    newer = {0: lambda old: {**{k: v for k, v in old.items() if k != "title"}, "name": old["title"]}}
    monkeypatch.setattr("softprompt.model.prompts.prompt.migrate", partial(migrate, migrations=newer))
    assert Prompt._from_files(files).manifest == prompt.manifest


# ------------------------------------------------------------ the tensors

ENTRY = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}


@pytest.mark.parametrize(
    ("code", "data"),
    [
        ("prompt.bad_tensors", b""),
        ("prompt.bad_tensors", b"\x01\x00\x00"),
        ("prompt.bad_tensors", b"\xff" * 8 + b"{}"),
        ("prompt.bad_tensors", struct.pack("<Q", 2**20 + 1) + b" " * (2**20 + 1)),
        ("prompt.bad_tensors", raw_safetensors(b"{")),
        ("prompt.bad_tensors", raw_safetensors(b"\xff\xff")),
        ("prompt.bad_tensors", raw_safetensors(b"[" * 100_000)),
        ("prompt.bad_tensors", raw_safetensors([])),
        ("prompt.bad_tensors", raw_safetensors({f"head.{i}": ENTRY for i in range(5000)})),
        ("prompt.bad_tensors", raw_safetensors({"head.weight": 3})),
        ("prompt.bad_tensors", raw_safetensors({"head.weight": {**ENTRY, "shape": [2, 3]}}, bytes(16))),
        ("prompt.bad_tensors", raw_safetensors({"head.weight": {**ENTRY, "shape": [-2, -2]}}, bytes(16))),
        ("prompt.bad_tensors", raw_safetensors({"head.weight": {**ENTRY, "shape": [2**62, 2**62]}}, bytes(16))),
        ("prompt.bad_tensors", raw_safetensors({"head.weight": {**ENTRY, "shape": [2.0, 2]}}, bytes(16))),
        ("prompt.bad_tensors", raw_safetensors({"head.weight": {**ENTRY, "shape": [0, 2]}}, bytes(16))),
        ("prompt.bad_tensors", raw_safetensors({"head.weight": ENTRY}, bytes(15))),
        ("prompt.bad_tensors", raw_safetensors({"head.weight": {**ENTRY, "data_offsets": [-16, 0]}}, bytes(16))),
        ("prompt.bad_dtype", raw_safetensors({"head.weight": {**ENTRY, "dtype": "F64"}}, bytes(32))),
        ("prompt.bad_dtype", raw_safetensors({"head.weight": {**ENTRY, "dtype": "x" * 9999}}, bytes(32))),
    ],
)
def test_broken_tensor_files(prompt: Prompt, code: str, data: bytes):
    refused(code, with_tensors(prompt, data))


@pytest.mark.parametrize(
    "tensors",
    [
        {"weights": torch.zeros(1)},
        {"slots.soft.embed": torch.zeros(3)},
        {"slots.a.b.embed": torch.zeros(2, 2)},
        {"slots..embed": torch.zeros(2, 2)},
        {"slots.soft.hidden.01": torch.zeros(2, 2)},
        {"slots.soft.hidden.-1": torch.zeros(2, 2)},
        {"slots.soft.hidden.x": torch.zeros(2, 2)},
        {"slots.../../etc/passwd.embed": torch.zeros(2, 2)},
        {"slots.soft.keys.1": torch.zeros(1, 2, 2)},
        {"slots.keys.values.1": torch.zeros(1, 2, 2)},
        {"slots.soft.keys.1": torch.zeros(1, 2, 2), "slots.soft.values.2": torch.zeros(1, 2, 2)},
        {"slots.soft.keys.1": torch.zeros(1, 2, 2), "slots.soft.values.1": torch.zeros(1, 3, 2)},
        {"slots.soft.embed": torch.zeros(2, 2), "slots.soft.hidden.1": torch.zeros(3, 2)},
        {"head.weight": torch.zeros(2, 2)},
        {"head.bias": torch.zeros(2)},
        {"head.weight": torch.zeros(2, 2), "head.bias": torch.zeros(3)},
    ],
    ids=lambda tensors: " ".join(tensors),
)
def test_tensors_that_are_no_prompt(prompt: Prompt, tensors: dict[str, torch.Tensor]):
    described = {name: f"F32 {list(tensor.shape)}" for name, tensor in tensors.items()}
    refused("prompt.bad_tensors", with_tensors(prompt, safetensors.torch.save(tensors), described))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_numbers_that_are_not_finite(prompt: Prompt, value: float, dtype: str):
    tensor = torch.zeros(2, 2, dtype=getattr(torch, dtype))
    tensor[1, 1] = value
    name = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}[dtype]
    described = {"slots.soft.embed": f"{name} [2, 2]"}
    refused("prompt.not_finite", with_tensors(prompt, safetensors.torch.save({"slots.soft.embed": tensor}), described))


def test_overlapping_tensors_are_refused():
    header = {"slots.a.embed": ENTRY, "slots.b.embed": ENTRY}
    described = dict.fromkeys(header, "F32 [2, 2]")
    with pytest.raises(PromptError, match=r"cannot be read.*prompt.bad_tensors"):
        decode_tensors(raw_safetensors(header, bytes(16)), described)


# ------------------------------------------------------------ archives


def archive(*entries: tuple[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, data in entries:
            file.writestr(name, data)
    return buffer.getvalue()


def refused_archive(code: str, data: bytes, **options: int) -> None:
    with pytest.raises(PromptError) as caught:
        Prompt.from_bytes(data, **options)
    assert caught.value.code == code
    assert "\n" not in str(caught.value)


def test_a_deflated_archive_is_read(prompt: Prompt):
    data = archive(*prompt._files().items(), compression=zipfile.ZIP_DEFLATED)
    assert Prompt.from_bytes(data).content_hash == prompt.content_hash


@pytest.mark.parametrize("name", ["../manifest.json", "/etc/passwd", "a\\b", "manifest.json/", "topics/manifest.json"])
def test_other_names_are_refused(prompt: Prompt, name: str):
    files = prompt._files()
    refused_archive("prompt.bad_entry", archive((name, files[MANIFEST]), (TENSORS, files[TENSORS])))
    refused_archive("prompt.bad_entry", archive(*files.items(), (name, b"")))


def test_missing_repeated_and_many_entries_are_refused(prompt: Prompt):
    files = prompt._files()
    refused_archive("prompt.bad_entry", archive((MANIFEST, files[MANIFEST])))
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = archive(*files.items(), (MANIFEST, b"{}"))
    refused_archive("prompt.bad_entry", twice)
    refused_archive("prompt.bad_entry", archive(*((str(i), b"") for i in range(9))))
    refused_archive("prompt.bad_entry", archive(*((str(i), b"") for i in range(50_000))))


def test_links_in_an_archive_are_refused(prompt: Prompt):
    link = zipfile.ZipInfo(MANIFEST)
    link.create_system, link.external_attr = 3, 0o120777 << 16
    refused_archive("prompt.bad_entry", archive((link, b"/etc/passwd"), (TENSORS, prompt._files()[TENSORS])))


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_unusual_packing_is_refused(prompt: Prompt, compression: int):
    refused_archive("prompt.bad_entry", archive(*prompt._files().items(), compression=compression))


def test_bombs_are_not_unpacked(prompt: Prompt):
    zeros = bytes(200 * 2**20)
    bomb = archive((MANIFEST, prompt._files()[MANIFEST]), (TENSORS, zeros), compression=zipfile.ZIP_DEFLATED)
    del zeros
    assert len(bomb) < 300_000
    began = time.perf_counter()
    refused_archive("prompt.too_large", bomb, max_bytes=2**20)
    # the same with a directory that lies about the size
    true_size, lie = struct.pack("<L", 200 * 2**20), struct.pack("<L", 1000)
    assert bomb.count(true_size) == 2
    refused_archive("prompt.bad_archive", bomb.replace(true_size, lie), max_bytes=2**20)
    assert time.perf_counter() - began < 1.0


def test_what_is_no_archive(prompt: Prompt, tmp_path: Path):
    for data in (
        b"",
        b"PK",
        b"hello world, this is a text and no archive",
        prompt.to_bytes()[:-1],
        prompt.to_bytes() + b"x",
    ):
        refused_archive("prompt.bad_archive", data)


# ------------------------------------------------------------ broken bytes


@cache
def golden() -> tuple[bytes, tuple[tuple[str, bytes], ...], dict[str, torch.Tensor]]:
    data = (Path(__file__).parents[2] / "data/prompts/schema-1.zip").read_bytes()
    prompt = Prompt.from_bytes(data)
    return data, tuple(prompt._files().items()), dict(prompt.tensors.tensors())


def damage(data: bytes, rng: random.Random) -> bytes:
    """One to four faults: flipped bits, other bytes, a part cut out, doubled, zeroed or the end lost."""
    broken = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        if not broken:
            break
        at = rng.randrange(len(broken))
        end = min(len(broken), at + rng.choice((1, 2, 4, 8, 64, 512)))
        match rng.randrange(7):
            case 0:
                broken[at] ^= 1 << rng.randrange(8)
            case 1:
                broken[at] = rng.choice((0, 1, 0x20, 0x22, 0x30, 0x39, 0x5B, 0x7B, 0x7F, 0x80, 0xFF))
            case 2:
                del broken[at:end]
            case 3:
                broken[at:at] = broken[at:end]
            case 4:
                broken[at:end] = bytes(end - at)
            case 5:
                broken[at:end] = rng.randbytes(end - at)
            case _:
                del broken[at:]
    return bytes(broken)


def equal_or_refused(load: Callable[[], Prompt]) -> bool:
    """True when refused; anything but equal tensors that answer the same question, or a PromptError, fails."""
    fault = None
    try:
        prompt = load()
        loaded = dict(prompt.tensors.tensors())
    except PromptError as error:
        fault = error
    if fault is not None:
        assert fault.code in CATALOGUE
        assert "\n" not in str(fault)
        return True
    original = golden()[2]
    assert loaded.keys() == original.keys()
    assert all(torch.equal(loaded[name], original[name]) for name in original)
    manifest, saved = prompt.manifest.to_dict(), decode_document(dict(golden()[1])[MANIFEST])
    assert all(manifest[name] == saved[name] for name in ("requires", "task", "template", "answers", "placement"))
    return False


@settings(max_examples=400)
@given(st.integers(0, 2**64 - 1))
def test_broken_archives_load_the_same_or_are_refused(seed: int):
    broken = damage(golden()[0], random.Random(seed))
    equal_or_refused(lambda: Prompt.from_bytes(broken))


@settings(max_examples=400)
@given(st.integers(0, 2**64 - 1), st.sampled_from([MANIFEST, TENSORS]))
def test_broken_files_load_the_same_or_are_refused(seed: int, name: str):
    files = dict(golden()[1])
    files[name] = damage(files[name], random.Random(seed))
    equal_or_refused(lambda: Prompt._from_files(files))


@settings(max_examples=200)
@given(st.integers(0, 2**64 - 1))
def test_forged_tensor_files_are_refused_or_are_prompts(seed: int):
    """Damage whose author also knew how to write the check sum: what loads is finite and fits the manifest."""
    files = dict(golden()[1])
    data = damage(files[TENSORS], random.Random(seed))
    described = decode_document(files[MANIFEST])["files"][TENSORS]["tensors"]
    try:
        tensors = dict(decode_tensors(data, described)[0].tensors())
    except PromptError:
        return
    assert {name: list(tensor.shape) for name, tensor in tensors.items()} == {
        name: json.loads(entry.split(" ", 1)[1]) for name, entry in described.items()
    }
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())


def test_a_flipped_bit_anywhere_in_the_tensors_is_noticed():
    files = dict(golden()[1])
    for at in range(len(files[TENSORS])):
        broken = bytearray(files[TENSORS])
        broken[at] ^= 1
        assert equal_or_refused(lambda broken=broken: Prompt._from_files({**files, TENSORS: bytes(broken)}))


def test_a_file_cut_anywhere_is_noticed():
    data, files, _ = golden()
    for end in range(0, len(data), 7):
        assert equal_or_refused(lambda end=end: Prompt.from_bytes(data[:end]))
    manifest, tensors = dict(files)[MANIFEST], dict(files)[TENSORS]
    for end in range(0, len(manifest) - 2, 7):
        assert equal_or_refused(lambda end=end: Prompt._from_files({MANIFEST: manifest[:end], TENSORS: tensors}))
