"""`avcurate check`: honest engines pass, each way of cheating is named, and real families pass on this machine."""

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from avcurate.cli.app import app
from avcurate.engines.base import Failure, Perception, Reply, Response, Sampling
from avcurate.engines.canary_clips import NotHearing
from avcurate.engines.conformance import Asked, conformance, refuse_miscounts
from avcurate.media.decode import DecodeSpec
from avcurate.prompts import COT
from tests.engines import cheats

MEDIA = DecodeSpec(max_frames=8, max_pixels=4096, max_seconds=10)
ASKED = Asked(COT, 4, Sampling(max_tokens=64), MEDIA, context=4096)


class Answers(cheats.Honest):
    """Says something that can be read, a different reasoning for each seed, and gives log-probabilities."""

    text = "<think>it is {seed}</think><answer>red</answer>"

    def generate(self, source):
        while (request := source.take(wait=True)) is not None:
            audio, frames = self.delivered(request)
            texts = [self.text.format(seed=request.seed + i) for i in range(request.n)]
            responses = tuple(Response(request.seed + i, t, "stop", 5) for i, t in enumerate(texts))
            likely = self.perceive(request).logprobs if request.sampling.first_logprobs else None
            yield Reply(request.key, responses, 50, *self.tokens(audio, frames), likely)


class Miscounts(Answers):
    """Delivers one token more where a clip is not whole hops, as Qwen3-Omni's processor does beside a longer clip."""

    def perceive(self, request):
        perceived = super().perceive(request)
        odd = request.audio is not None and len(request.audio) % 160
        return replace(perceived, audio_tokens=perceived.audio_tokens + 1) if odd else perceived


class Leans(Answers):
    """Answers differently when others are in the batch."""

    def generate(self, source):
        taken = []
        while (request := source.take(wait=False)) is not None:
            taken.append(request)
        for request in taken:
            for reply in super().generate(_One(request)):
                moved = {k: v - 0.5 * (len(taken) > 1) for k, v in (reply.first_logprobs or {}).items()}
                yield replace(reply, first_logprobs=moved or None)


class _One:
    def __init__(self, request):
        self.left = [request]

    def take(self, wait):
        return self.left.pop() if self.left else None


class ForgetsSeeds(Answers):
    """Samples differently every time."""

    drawn = 0

    def generate(self, source):
        for reply in super().generate(source):
            self.drawn += 1
            yield replace(reply, responses=tuple(replace(r, text=f"{r.text} {self.drawn}") for r in reply.responses))


class Mute(Answers):
    """Never follows the prompt."""

    text = "Well, {seed}, that is a matter of what one would call a colour in the end."


class CutOff(Answers):
    """Is always cut off."""

    def generate(self, source):
        for reply in super().generate(source):
            yield replace(reply, responses=tuple(replace(r, finish_reason="length") for r in reply.responses))


class CheaperSilence(Answers):
    """Leaves silence out of the prompt."""

    def perceive(self, request):
        perceived = super().perceive(request)
        silent = request.audio is not None and not request.audio.any()
        return replace(perceived, prompt_tokens=40) if silent else perceived


class Breaks(Answers):
    """Fails whatever it is asked."""

    def generate(self, source):
        while (request := source.take(wait=True)) is not None:
            yield Failure(request.key, "engine_error", "it broke")


class Stored(Answers):
    """Plays stored answers."""

    perceives = False

    def perceive(self, request):
        return Perception(-1, -1, -1)


def states(engine, asked=ASKED):
    return {f.what: f.state for f in conformance(engine, asked)}


def problems(engine, asked=ASKED):
    return {what for what, state in states(engine, asked).items() if state == "problem"}


def test_an_honest_engine_passes():
    state_of = states(Answers())
    assert set(state_of.values()) == {"ok"}, state_of
    assert {"hearing", "token counts", "responses", "batch neighbours", "context", "answers", "speed"} <= set(state_of)


@pytest.mark.parametrize(
    ("cheat", "named"),
    [
        (Miscounts, "token counts"),
        (Leans, "batch neighbours"),
        (Mute, "answers"),
        (CheaperSilence, "zeroed by silence"),
        (Breaks, "answers"),
    ],
)
def test_each_cheat_is_named(cheat, named):
    assert named in problems(cheat())


@pytest.mark.parametrize("cheat", [cheats.DropsAudio, cheats.StaleAudio, cheats.Deaf, cheats.Blind])
def test_an_engine_that_loses_a_modality_is_named(cheat):
    both = type("Both", (cheat, Answers), {"generate": Answers.generate})
    assert "hearing" in problems(both())


def test_what_is_no_fault_is_a_note():
    assert states(ForgetsSeeds())["responses"] == "note" and states(CutOff())["answers"] == "note"
    state_of = states(Stored())
    assert state_of["hearing"] == "note" and "problem" not in state_of.values()
    assert states(Answers(), replace(ASKED, context=0))["context"] == "note"
    assert "context" in problems(Answers(), replace(ASKED, context=100))


def test_a_run_does_not_begin_on_an_engine_that_miscounts():
    refuse_miscounts(Answers())
    refuse_miscounts(Stored())
    with pytest.raises(NotHearing, match="3 of 5 differ"):
        refuse_miscounts(Miscounts())


def test_some_waveforms_are_not_whole_hops():
    from avcurate.engines.conformance import SAMPLES

    assert any(n % 160 for n in SAMPLES) and any(n % 640 for n in SAMPLES) and np.all(np.array(SAMPLES) > 0)


@pytest.mark.slow
def test_the_command_on_the_embedded_model():
    pytest.importorskip("transformers")
    done = CliRunner().invoke(app, ["check", "--questions", "100", "--json", "--set", "n=2"])
    summary = json.loads(done.stdout)
    assert done.exit_code == 0 and summary["hours"] > 0
    assert {f["what"] for f in summary["findings"]} >= {"hearing", "token counts", "batch neighbours", "speed"}
    refused = CliRunner().invoke(app, ["check", "-r", "swap"])
    assert refused.exit_code == 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["qwen2_5_omni", "qwen3_omni_moe"])
def test_tiny_checkpoints_of_real_families_conform_but_for_their_words(kind, tmp_path):
    pytest.importorskip("transformers")
    from avcurate.engines.checkpoint import Checkpoint
    from avcurate.engines.transformers_engine import TransformersEngine
    from tests.families.tiny_qwen import build

    engine = TransformersEngine(Checkpoint(str(build(kind, tmp_path / "m"))))
    # random weights say nothing that can be read
    assert problems(engine) == {"answers"}


class Behaves(Answers):
    """Reports no tokens; its words follow what it is shown."""

    perceives = False
    hearing = "behaviour"

    def generate(self, source):
        while (request := source.take(wait=True)) is not None:
            heard = "nothing" if request.audio is None else f"s{abs(request.audio).sum():.0f}"
            seen = "nothing" if request.frames is None else f"p{request.frames.astype(int)[..., 0].sum()}"
            text = f"<think>{heard} {seen}</think><answer>red</answer>"
            yield Reply(
                request.key, tuple(Response(request.seed + i, text, "stop", 5) for i in range(request.n)), -1, -1, -1
            )


class BehavesDeaf(Behaves):
    """Loses the sound when there is a picture."""

    def generate(self, source):
        while (request := source.take(wait=True)) is not None:
            lost = replace(request, audio=None) if request.frames is not None else request
            yield from super().generate(_One(lost))


def test_an_engine_without_tokens_is_checked_by_what_it_says():
    state_of = states(Behaves())
    assert state_of["hearing"] == "ok" and "problem" not in state_of.values()
    assert "hearing" in problems(BehavesDeaf())


def test_an_engine_that_perceives_nothing_claims_no_hearing():
    assert Stored().hearing == "none" and Answers().hearing == "canary"
