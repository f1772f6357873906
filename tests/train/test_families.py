"""Every family in training: the loss reads what the rollout sampled from, hears, sees, and its weights load again."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl", reason="training is not installed (make setup-train installs it)")

from avcurate.engines.base import ListSource, Reply, Request, Sampling  # noqa: E402
from avcurate.engines.checkpoint import Checkpoint  # noqa: E402
from avcurate.engines.transformers_engine import TransformersEngine  # noqa: E402
from avcurate.train.frozen import freeze  # noqa: E402
from avcurate.train.omni import Omni, log_probabilities  # noqa: E402
from avcurate.train.parts import lora  # noqa: E402
from avcurate.train.recipe import TrainRecipe  # noqa: E402
from avcurate.train.saving import save_adapter, save_model  # noqa: E402
from tests.families.conftest import BUILDERS  # noqa: E402

pytestmark = pytest.mark.slow
GREEDY = Sampling(temperature=0.0, max_tokens=8)


@pytest.fixture(scope="module", params=list(BUILDERS))
def engine(request, tmp_path_factory):
    folder = BUILDERS[request.param].build(request.param, tmp_path_factory.mktemp(request.param) / "model")
    engine = TransformersEngine(Checkpoint(str(folder)))
    engine.setup()
    return engine


def requests_of(family, count=3, n=1, seconds=3.1):
    rng = np.random.default_rng(4)
    requests = []
    for i in range(count):
        audio = rng.uniform(-0.5, 0.5, int(16_000 * (seconds + i))).astype(np.float32)
        frames = rng.integers(0, 255, (4 + 2 * i, 80, 64 + 32 * i, 3), np.uint8) if family.sees else None
        requests.append(Request(f"q{i}", "what makes this sound", audio, frames, 2.0, n, 5, GREEDY))
    return requests


def completions(written):
    longest = max(map(len, written))
    ids, mask = torch.zeros(len(written), longest, dtype=torch.long), torch.zeros(len(written), longest)
    for i, response in enumerate(written):
        ids[i, : len(response)], mask[i, : len(response)] = torch.tensor(response), 1
    return ids, mask


def test_the_loss_reads_what_the_rollout_sampled_from(engine):
    omni, requests = Omni(engine), requests_of(engine.family)
    ids, mask = completions(omni.rollouts(requests))
    with torch.no_grad():
        logits, _ = omni.forward(engine.model, requests, ids, mask)
        watched, mass = omni.forward(engine.model, requests, ids, mask, ("audio", frozenset({0, 1})))
    logits[..., engine.banned] = -torch.inf
    assert ((logits.argmax(-1) == ids) | ~mask.bool()).all()
    watched[..., engine.banned] = -torch.inf
    assert torch.allclose(watched.softmax(-1), logits.softmax(-1), atol=1e-5)
    assert (mass[mask.bool()] > 0).all() and (mass[mask.bool()] < 1).all()


def test_attention_mass_is_that_of_eager_attention(engine):
    omni, requests, own = Omni(engine), requests_of(engine.family, 1), engine.text_config._attn_implementation
    ids, mask = completions(omni.rollouts(requests))
    with torch.no_grad():
        _, mass = omni.forward(engine.model, requests, ids, mask, ("audio", frozenset({1})))
        batch = omni.batch(requests, ids, mask)
        engine.text_config._attn_implementation = "eager"
        out = engine.model(**engine.family.encoded(engine.model, batch), use_cache=False, output_attentions=True)
    engine.text_config._attn_implementation = own
    heard = omni.tokens.where(batch["input_ids"], "audio")[0]
    expected = out.attentions[1][0][:, -len(ids[0]) - 1 : -1][..., heard].sum(-1).amax(0)
    assert torch.allclose(mass[0], expected, atol=1e-5)


def test_media_that_are_lost_are_an_error(engine, monkeypatch):
    omni, requests = Omni(engine), requests_of(engine.family, 1)
    inputs = engine.inputs

    def without_features(batch):
        return {k: v for k, v in inputs(batch).items() if not k.startswith("input_features")}

    monkeypatch.setattr(engine, "inputs", without_features)
    with pytest.raises(RuntimeError, match="audio tokens, but its features are missing"):
        omni.batch(requests, torch.tensor([[5, 6]]), torch.ones(1, 2))


def test_rollouts_of_one_question_share_its_media(engine):
    """A batch whose questions are repeated equals one in which each was processed on its own."""
    omni, requests = Omni(engine), requests_of(engine.family, 2)
    owner = [1, 0, 1]
    ids = torch.tensor([[5, 6, 7], [8, 9, 10], [11, 12, 13]])
    with torch.no_grad():
        together, _ = omni.forward(engine.model, [requests[i] for i in owner], ids, torch.ones(3, 3))
        for row, i in enumerate(owner):
            alone, _ = omni.forward(engine.model, [requests[i]], ids[row : row + 1], torch.ones(1, 3))
            assert torch.allclose(together[row].log_softmax(-1), alone[0].log_softmax(-1), atol=2e-3), (row, i)


def test_lora_trains_the_decoder_and_the_loss_hears(engine):
    from peft import get_peft_model

    omni, requests = Omni(engine), requests_of(engine.family, 2)
    ids, mask = completions(omni.rollouts(requests))
    model = get_peft_model(engine.model, lora(TrainRecipe(lora_rank=4), omni))
    try:
        trained = [n for n, p in model.named_parameters() if p.requires_grad]
        assert trained and not any("tower" in n or "visual" in n or "vision" in n for n in trained)
        assert sum("lora_A" in n for n in trained) >= 8
        logits, _ = omni.forward(model, requests, ids, mask)
        (-log_probabilities(logits, ids) * mask).sum().backward()
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters() if p.requires_grad)
        with torch.no_grad():
            silent = [r.__class__(**{**vars(r), "audio": np.zeros_like(r.audio)}) for r in requests]
            unheard, _ = omni.forward(model, silent, ids, mask)
        assert (unheard - logits).abs().max() > 1e-3
    finally:
        model.unload()


def test_gradients_reach_the_ear(engine):
    omni, requests = Omni(engine), requests_of(engine.family, 1)
    ids, mask = completions(omni.rollouts(requests))
    engine.model.requires_grad_(True)
    engine.model.zero_grad()
    logits, _ = omni.forward(engine.model, requests, ids, mask)
    (-log_probabilities(logits, ids) * mask).sum().backward()
    grown = {n for n, p in engine.model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert any("audio" in n for n in grown)
    if engine.family.sees:
        assert any("vis" in n for n in grown)
    engine.model.zero_grad()
    engine.model.requires_grad_(False)


def test_saved_weights_answer_alike(engine, tmp_path):
    """Written in the released layout, read again: the same greedy responses."""
    requests = requests_of(engine.family)
    first = list(engine.generate(ListSource(requests)))
    assert all(isinstance(r, Reply) for r in first), first
    expected = {r.key: [x.text for x in r.responses] for r in first}
    folder = save_model(engine.model, engine.processor, engine.checkpoint, tmp_path / "saved")
    again = TransformersEngine(Checkpoint(str(folder)))
    again.setup()
    second = list(again.generate(ListSource(requests)))
    assert all(isinstance(r, Reply) for r in second), second
    assert {r.key: [x.text for x in r.responses] for r in second} == expected
    again.close()


def test_an_adapter_answers_as_the_merged_model(engine, tmp_path):
    from peft import PeftModel, get_peft_model

    omni, requests = Omni(engine), requests_of(engine.family, 1)
    ids, mask = torch.tensor([[5, 6, 7]]), torch.ones(1, 3)
    model = get_peft_model(engine.model, lora(TrainRecipe(lora_rank=4), omni))
    try:
        torch.manual_seed(3)
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if "lora_B" in name:
                    weight.normal_(0, 0.05)
        with torch.no_grad():
            expected, _ = omni.forward(model, requests, ids, mask)
        save_adapter(model, tmp_path / "adapter")
        merged = save_model(model, engine.processor, engine.checkpoint, tmp_path / "merged")
    finally:
        model.unload()
    with torch.no_grad():
        plain, _ = omni.forward(engine.model, requests, ids, mask)
    assert (plain - expected).abs().max() > 1e-3
    for folder, adapter in ((merged, None), (engine.checkpoint.path, tmp_path / "adapter")):
        again = TransformersEngine(Checkpoint(str(folder)))
        again.setup()
        if adapter is not None:
            again.model = PeftModel.from_pretrained(again.model, adapter).merge_and_unload()
        with torch.no_grad():
            got, _ = Omni(again).forward(again.model, requests, ids, mask)
        assert torch.allclose(got.log_softmax(-1), expected.log_softmax(-1), atol=1e-3), folder


@pytest.mark.parametrize("scope", ["inner+open_tag", "span"])
def test_masked_decoding_is_the_masked_loss(engine, scope):
    """MAAM: what is decoded token by token is what the training forward finds likeliest under the whole mask."""
    if not engine.family.masks_parts:
        pytest.skip(f"{engine.family.about} hears only")
    omni = Omni(engine)
    requests = requests_of(engine.family, 2)
    engine.maam = scope
    try:
        tokenizer = engine.processor.tokenizer
        forced = [tokenizer.encode(t, add_special_tokens=False) for t in ("<v> a red dog </v><a> drum", "<v> car </v>")]
        ids, mask = completions(forced)
        with torch.no_grad():
            masked, _ = omni.forward(engine.model, requests, ids, mask)
            watched, _ = omni.forward(engine.model, requests, ids, mask, ("audio", frozenset({1})))
        assert torch.allclose(masked.softmax(-1)[mask.bool()], watched.softmax(-1)[mask.bool()], atol=1e-5)
        engine.maam = None
        with torch.no_grad():
            unmasked, _ = omni.forward(engine.model, requests, ids, mask)
        assert (masked - unmasked).abs().max() > 1e-4
        engine.maam = scope
        stepwise = decoded_logits(engine, requests, forced)
    finally:
        engine.maam = None
    for i, response in enumerate(forced):
        assert torch.allclose(stepwise[i], masked[i, : len(response)].softmax(-1), atol=1e-4), i


def decoded_logits(engine, requests, forced):
    """Probabilities of each forced token's place, decoding one token at a time through the cache and the row masks."""
    found = []
    for request, response in zip(requests, forced, strict=True):
        start = engine.prefill([request])
        rows = engine._rows(start.ids)
        logits, mask, position, steps = start.logits, start.mask, start.next_position, []
        for token in response:
            steps.append(logits[0].softmax(-1))
            mask = torch.cat([mask, mask.new_ones(1, 1)], 1)
            read = rows.row([0], [token], mask)
            with torch.inference_mode():
                out = engine.model(
                    input_ids=torch.tensor([[token]]),
                    attention_mask=read,
                    position_ids=position[None, :, None].expand(start.axes, -1, 1) if start.axes else position[:, None],
                    past_key_values=start.cache,
                    use_cache=True,
                )
            logits, position = out.logits[:, -1], position + 1
        found.append(torch.stack(steps))
    return found


def test_every_weight_that_is_trained_gets_a_gradient(engine):
    """One that never does breaks training in several processes; towers can be left out."""
    omni, requests = Omni(engine), requests_of(engine.family, 1)
    ids, mask = completions(omni.rollouts(requests))
    try:
        for towers in (False, True):
            engine.model.requires_grad_(True)
            engine.model.zero_grad()
            freeze(engine.model, engine.family, towers=towers)
            logits, _ = omni.forward(engine.model, requests, ids, mask)
            (-log_probabilities(logits, ids) * mask).sum().backward()
            trained = {n for n, p in engine.model.named_parameters() if p.requires_grad}
            assert {n for n, p in engine.model.named_parameters() if p.grad is not None} == trained
            assert any("audio" in n for n in trained) is not towers
    finally:
        engine.model.zero_grad()
        engine.model.requires_grad_(False)
