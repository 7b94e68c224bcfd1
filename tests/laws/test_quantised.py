"""The laws on quantised models: every scheme against plain forwards of the same quantised model.

What a scheme promises stands in ``SCHEMES``; here it is held to it, and what it does not promise is shown to be wrong.
"""

import importlib.util

import pytest
import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from softprompt.core.errors import ModelError
from softprompt.lab.comparison.finetuning.adapters import add_adapters
from softprompt.lab.comparison.settings import LoraSettings
from softprompt.model.backbones.loading import load, wrap
from softprompt.model.backbones.weights.copies import module_of, trainable_copy, unchanged
from softprompt.model.backbones.weights.quantised import EXACT, SCHEMES
from softprompt.testing import tiny_tokenizer
from tests.laws import checks
from tests.laws.examples import MIXED, TEXTS
from tests.laws.roads import gradients, travel
from tests.laws.strategies import prompts_for
from tests.laws.test_masked import MIXED as MASKED
from tests.model.backbones.folders import saved

for library in ("torchao", "bitsandbytes", "accelerate"):
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed: pip install 'softprompt[quantised]'", allow_module_level=True)

#: Family -> schemes that find layers in it; torchao's know no convolutions, of which GPT-2 is made.
FAMILIES = {"llama": tuple(SCHEMES), "gpt2": ("nf4",), "t5": ("int8",), "bert": ("nf4",)}
PAIRS = [(family, scheme) for family, schemes in FAMILIES.items() for scheme in schemes]
EXACT_PAIRS = [(family, scheme) for family, scheme in PAIRS if SCHEMES[scheme].tolerance == EXACT]
TRAINED = [(family, scheme) for family, scheme in PAIRS if SCHEMES[scheme].train]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Family and scheme -> a tiny model, loaded once."""
    folders, loaded = {}, {}

    def get(family, scheme):
        if family not in folders:
            folders[family] = saved(tmp_path_factory.mktemp(family), family)
        if (family, scheme) not in loaded:
            loaded[family, scheme] = load(folders[family], quantise=scheme, dtype="fp32")
        return loaded[family, scheme]

    return get


def rows_for(family):
    return MASKED[:4] if family == "bert" else [*MIXED[:3], MIXED[5]]


@pytest.mark.parametrize(("family", "scheme"), PAIRS)
@pytest.mark.parametrize("law", ["scores", "mates", "roads"])
def test_laws_2_3_4_9_rows_are_their_own_on_every_road(models, family, scheme, law):
    backbone = models(family, scheme)
    check = getattr(checks, f"check_{law}")
    check(backbone, rows_for(family), prompts_for(backbone), tolerance=SCHEMES[scheme].tolerance)


@pytest.mark.parametrize(("family", "scheme"), TRAINED)
def test_law_4_gradients_are_those_of_a_plain_forward(models, family, scheme):
    backbone = models(family, scheme)
    checks.check_gradients(backbone, rows_for(family), prompts_for(backbone))


@pytest.mark.parametrize(("family", "scheme"), TRAINED)
def test_law_1_training_changes_no_bit(models, family, scheme):
    backbone = models(family, scheme)
    checks.check_frozen(backbone, rows_for(family), prompts_for(backbone))


@pytest.mark.parametrize(("family", "scheme"), [pair for pair in EXACT_PAIRS if pair[0] in ("llama", "gpt2")])
def test_decoding_is_transformers_own(models, family, scheme):
    checks.check_decoding(models(family, scheme), TEXTS)
    checks.check_feeding(models(family, scheme))


def test_what_is_not_trained_would_be_trained_wrongly(models):
    """The reason why int8-dynamic only scores: its gradient is far from that of weights that are as coarse."""

    def gradient(scheme):
        backbone = models("llama", scheme)
        prompts = prompts_for(backbone)
        found = gradients(travel(backbone, MIXED, prompts), prompts)
        return torch.cat([tensor.flatten() for tensor in found if tensor is not None])

    coarse, dynamic = gradient("int8"), gradient("int8-dynamic")
    assert torch.nn.functional.cosine_similarity(coarse, dynamic, dim=0) < 0.5
    assert SCHEMES["int8-dynamic"].reason


class Adapted:
    """Low-rank updates over a quantised model, and the loss of one row."""

    def __init__(self, loaded):
        self.model = module_of(trainable_copy(loaded, share=True))
        add_adapters(self.model, LoraSettings(rank=2), seed=0)
        self.trained = [one for one in self.model.parameters() if one.requires_grad]

    def loss(self):
        ids = torch.tensor([[5, 6, 7, 8, 9, 10]])
        return torch.nn.functional.cross_entropy(self.model(input_ids=ids).logits[0, :-1], ids[0, 1:])

    def slopes(self):
        return torch.autograd.grad(self.loss(), self.trained)

    def moved(self, slopes, step):
        """The loss a step along the slopes away."""
        with torch.no_grad():
            for one, slope in zip(self.trained, slopes, strict=True):
                one.add_(slope, alpha=step)
            found = float(self.loss())
            for one, slope in zip(self.trained, slopes, strict=True):
                one.sub_(slope, alpha=step)
        return found


@pytest.mark.parametrize("scheme", ["int8", "nf4", "fp4"])
def test_the_gradient_of_adapters_over_quantised_weights_is_the_slope_of_the_loss(models, scheme):
    loaded = models("llama", scheme)
    with unchanged(loaded, during="LoRA"):
        adapted = Adapted(loaded)
        slopes = adapted.slopes()
        length = float(torch.cat([one.flatten() for one in slopes]).norm())
        step = 1e-2 / length
        assert (adapted.moved(slopes, step) - adapted.moved(slopes, -step)) / 2e-2 == pytest.approx(length, rel=0.01)


def test_adapters_over_rounded_activations_learn_in_the_direction_of_weights_as_coarse(models):
    """LLM.int8() passes the gradient over its rounding, whose steps no small difference sees."""
    with unchanged(models("llama", "llm-int8"), during="LoRA"):
        one, other = (
            torch.cat([slope.flatten() for slope in Adapted(models("llama", scheme)).slopes()])
            for scheme in ("llm-int8", "int8")
        )
    assert torch.nn.functional.cosine_similarity(one, other, dim=0) > 0.9


def test_outliers_of_llm_int8_mix_rows_and_are_refused(tmp_path):
    folder = saved(tmp_path)
    settings = BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=1.0)
    model = AutoModelForCausalLM.from_pretrained(folder, quantization_config=settings)
    embeds = model.get_input_embeddings()(torch.tensor([[5, 6, 7], [8, 9, 10]]))
    with torch.no_grad():
        together, alone = model(inputs_embeds=embeds).logits[:1], model(inputs_embeds=embeds[:1]).logits
    assert float((together - alone).abs().max()) > 1e-3
    with pytest.raises(ModelError, match="company") as caught:
        wrap(model, tiny_tokenizer())
    assert caught.value.code == "model.unsupported_scheme"


def test_four_bit_weights_stay_as_they_are_with_and_without_gradients(models):
    """Else bitsandbytes repacks them in the first forward without gradients, with other scales."""
    backbone = models("llama", "nf4")
    prompts = prompts_for(backbone)
    with torch.no_grad():
        before = travel(backbone, MIXED[:2], prompts)
    after = travel(backbone, MIXED[:2], prompts)
    assert all(torch.equal(before[key], after[key]) for key in before)
