"""Plain tensors: there and back is the identity for everything a prompt can hold; damaged files are refused."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from softprompt.app.recipes.formats import import_prompt
from softprompt.core.errors import PromptError
from softprompt.core.tensors import Head, PromptTensors, SlotTensors
from softprompt.model.prompts.prompt import Prompt
from softprompt.ops.formats.arrays import from_npy, from_raw, to_npy, to_raw
from softprompt.testing import tiny
from tests.ops.formats.samples import BARE, TASK, build, close, exported, noise, our_logits, same


@settings(max_examples=20)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.sampled_from([torch.float32, torch.float16, torch.bfloat16]),
    st.integers(0, 99),
)
def test_numbers_there_and_back_are_the_same(shape: list[int], dtype: torch.dtype, seed: int) -> None:
    tensor = noise(seed, *shape).to(dtype)
    assert torch.from_numpy(from_npy(to_npy(tensor), shape)).to(dtype).equal(tensor)
    assert torch.from_numpy(from_raw(to_raw(tensor), shape)).to(dtype).equal(tensor)


def test_bytes_are_little_endian_row_by_row_on_every_machine() -> None:
    tensor = torch.tensor([[1.0, -2.0], [0.5, 3.0]]).t()  # a view by column
    assert to_raw(tensor).hex() == "0000803f" + "0000003f" + "000000c0" + "00004040"
    assert b"'descr': '<f4', 'fortran_order': False, 'shape': (2, 2)" in to_npy(tensor)


def test_numpy_reads_and_writes_it_in_any_order() -> None:
    array = np.arange(6, dtype="<f4").reshape(2, 3)
    assert np.array_equal(np.load(io.BytesIO(to_npy(torch.from_numpy(array)))), array)
    for other in (array.astype(">f4"), np.asfortranarray(array), array.astype("<f8"), array.astype("<f2")):
        buffer = io.BytesIO()
        np.save(buffer, other)
        assert np.array_equal(from_npy(buffer.getvalue()), array)


@pytest.mark.parametrize("format", ["npy", "raw"])
def test_everything_that_a_prompt_holds_there_and_back(format: str, tmp_path: Path) -> None:
    backbone = tiny()
    whole = build(backbone, "{text}<soft 3 tone>{?{more}?}<soft 2> It was {answer}", head=True)
    slots = {
        "tone": SlotTensors(embed=noise(1, 3, 32).half()),
        "soft": SlotTensors(hidden={1: noise(2, 2, 32).bfloat16()}, kv={0: (noise(3, 2, 2, 8), noise(4, 2, 2, 8))}),
    }
    prompt = Prompt(PromptTensors(slots, Head(noise(5, 2, 32), noise(6, 2))), whole.manifest)
    back = import_prompt(exported(prompt, format, tmp_path / "out", backbone), model=backbone)
    assert same(back.tensors, prompt.tensors)
    assert back.manifest.model_copy(update={"origin": None}) == prompt.manifest


def test_numbers_that_were_changed_lose_the_scores_of_those_before(tmp_path: Path) -> None:
    backbone = tiny()
    prompt = build(backbone, BARE)
    folder = exported(prompt, "npy", tmp_path / "out", backbone)
    np.save(folder / "slots.soft.embed.npy", np.zeros((4, 32), dtype="<f4"))
    back = import_prompt(folder)
    assert (back.manifest.unevaluated, back.manifest.scores) == (True, ())
    assert not back.tensors.slots["soft"].embed.any()
    assert prompt.manifest.scores


def test_one_matrix_is_a_prompt_with_a_model_and_words(tmp_path: Path) -> None:
    backbone = tiny()
    vectors = noise(1, 4, 32)
    np.save(tmp_path / "tone.npy", vectors.numpy())
    prompt = import_prompt(tmp_path / "tone.npy", model=backbone, task=TASK, template="{text}<soft 4 tone>, {answer}")
    assert (prompt.name, prompt.manifest.placement) == ("tone", "after")
    assert prompt.tensors.slots["tone"].embed.equal(vectors)
    with pytest.raises(PromptError, match="which model") as caught:
        import_prompt(tmp_path / "tone.npy")
    assert caught.value.code == "prompt.no_model"


@pytest.mark.parametrize("format", ["npy", "raw"])
def test_the_same_prompt_answers_alike(format: str, tmp_path: Path) -> None:
    backbone = tiny()
    prompt = build(backbone)
    back = import_prompt(exported(prompt, format, tmp_path / "out", backbone))
    assert close(our_logits(back, backbone), our_logits(prompt, backbone))


def npy(array: np.ndarray, **options: bool) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (npy(np.array([{"a": 1}], dtype=object), allow_pickle=True), "prompt.pickled"),
        (npy(np.zeros((4, 32), dtype=np.int64)), "prompt.bad_dtype"),
        (npy(np.zeros((4, 32), dtype=np.complex64)), "prompt.bad_dtype"),
        (npy(np.zeros(128, dtype=np.float32)), "prompt.shape_mismatch"),
        (npy(np.zeros((4, 32), dtype=np.float32))[:-4], "prompt.bad_tensors"),
        (npy(np.zeros((4, 32), dtype=np.float32)).replace(b"(4, 32)", b"(9**9,)"), "prompt.bad_tensors"),
        (b"\x93NUMPY", "prompt.bad_tensors"),
        (b"", "prompt.bad_tensors"),
        (npy(np.full((4, 32), np.inf, dtype=np.float32)), "prompt.not_finite"),
        (npy(np.zeros((4, 31), dtype=np.float32)), "prompt.other_model"),
    ],
)
def test_bad_matrices_are_one_line(data: bytes, code: str, tmp_path: Path) -> None:
    (tmp_path / "tone.npy").write_bytes(data)
    with pytest.raises(PromptError) as caught:
        import_prompt(tmp_path / "tone.npy", model=tiny())
    assert caught.value.code == code


def edit(folder: Path, *path: str, value: object) -> None:
    document = json.loads((folder / "softprompt.json").read_text("utf-8"))
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (folder / "softprompt.json").write_text(json.dumps(document), encoding="utf-8")


NAME = "slots.soft.embed"


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        (("softprompt_export",), 2, "prompt.unknown_schema"),
        (("manifest", "requires"), ["magic"], "prompt.unknown_requirement"),
        (("manifest",), 1, "prompt.bad_manifest"),
        (("tensors", NAME, "file"), "../secret", "prompt.bad_manifest"),
        (("tensors", NAME, "file"), "other.f32", "prompt.incomplete"),
        (("tensors", NAME, "dtype"), "I64", "prompt.bad_dtype"),
        (("tensors", NAME, "shape"), [4, 33], "prompt.shape_mismatch"),
        (("tensors", NAME, "shape"), [-4, -32], "prompt.bad_manifest"),
        (("tensors",), {"weights": {"file": f"{NAME}.f32", "dtype": "F32", "shape": [4, 32]}}, "prompt.bad_tensors"),
        (("tensors",), {}, "prompt.shape_mismatch"),
    ],
)
def test_a_bad_page_is_one_line(path: tuple[str, ...], value: object, code: str, tmp_path: Path) -> None:
    backbone = tiny()
    folder = exported(build(backbone, BARE), "raw", tmp_path / "out", backbone)
    edit(folder, *path, value=value)
    with pytest.raises(PromptError) as caught:
        import_prompt(folder)
    assert caught.value.code == code
