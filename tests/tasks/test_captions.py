"""Captions of real clips by the embedded model: three settings, one file each, read by hallucination."""

import json

import pytest

from avcurate.demo.captions import hear, see
from avcurate.engines.base import Engine, Perception, Reply, Response
from avcurate.errors import RecipeChanged
from avcurate.prompts import PROMPTS
from avcurate.runner.rundir import RunDir
from avcurate.store.digest import file_digest
from avcurate.tasks.hallucination.summary import summarise_hallucination
from avcurate.tasks.judge.summary import compare_judged, summarise_judge
from tests import running

pytest.importorskip("torch")


@pytest.mark.slow
def test_clips_are_described_under_each_setting_by_a_real_model(world, tmp_path):
    folder, items = world
    names = sorted({i.clip.name for i in items})[:6]
    rows = ["clip,label", *[f"{n}.mp4,dog barking" for n in names], "gone.mp4,dog barking", ",dog"]
    (tmp_path / "clips.csv").write_text("\n".join(rows) + "\n")
    changes = {"clips": tmp_path / "clips.csv", "media": folder / "clips", "model.model": "embedded", "n": 2}
    changes |= {"sampling.temperature": 1.0, "sampling.max_tokens": 24}
    tallies = running.run("caption", tmp_path / "run", changes)
    assert tallies["ingest"].dead == {"media_missing": 1, "field_empty": 1} and tallies["sample"].kept == 6
    lines = {
        s: [json.loads(x) for x in (tmp_path / f"run/captions/{s}.jsonl").read_text().splitlines()]
        for s in ("a", "v", "av")
    }
    for setting, captions in lines.items():
        assert len(captions) == 12 and {x["clip"] for x in captions} == set(names)
        assert all(x["setting"] == setting for x in captions)
    assert any(x["caption"] for x in lines["av"])

    changes = {"captions": tmp_path / "run/captions/av.jsonl", "columns": {"objects": "labels"}}
    tally = running.run("hallucination", tmp_path / "scored", changes)["hallucination"]
    assert tally.total == 12 and tally.kept + sum(tally.dead.values()) == 12
    assert summarise_hallucination(RunDir(tmp_path / "scored"))["captions"] == tally.kept


class Eyewitness(Engine):
    """Says what a clip of a swap run holds, by the file it is shown; asked what it hears, only that.

    Args:
        says: by the file's SHA-256: (what is heard, what is seen).
        imagines: what a clip sounds like by its picture, by SHA-256; said instead of what is heard.
    """

    name = "eyewitness"
    perceives = False

    def __init__(self, says, imagines=None):
        self.says, self.imagines, self.prompts, self.systems = says, imagines or {}, set(), set()

    def identity(self):
        return {"engine": self.name}

    def setup(self):
        pass

    def perceive(self, request):
        return Perception(-1, -1, -1)

    def generate(self, source):
        while (r := source.take(wait=True)) is not None:
            self.prompts.add(r.prompt)
            self.systems.add(r.system)
            heard, seen = self.says[r.media_id]
            heard = self.imagines.get(r.media_id, heard)
            text = {"hear@1": heard, "see@1": seen}.get(
                next((n for n in ("hear@1", "see@1") if PROMPTS[n].instruction in r.prompt), ""), f"{seen} {heard}"
            )
            yield Reply(r.key, tuple(Response(r.seed + i, text, "stop", 9) for i in range(r.n)), -1, -1, -1)


@pytest.fixture(scope="module")
def swap_run(world, tmp_path_factory):
    """(world folder, swap run, clip list, what each file holds)."""
    folder, items = world
    out = tmp_path_factory.mktemp("see-hear")
    clips = {i.clip.name: i.clip for i in items}
    running.run(
        "pair",
        out / "p",
        {"captions": folder / "captions.jsonl", "media": folder / "clips", "threshold": 0.97, "run.limit": 16},
    )
    running.run("swap", out / "s", {"pairs": out / "p/pairs.jsonl", "media": folder / "clips"})
    holds, names = {}, []
    for row in running.rows_of(RunDir(out / "s"), "swap"):
        clip, donor = (clips[row[k].removesuffix(".mp4")] for k in ("clip", "donor"))
        digests = {f["path"]: f["sha256"] for f in row["files"]}
        for variant, sound in (("factual", clip.sound), ("counterfactual", donor.sound)):
            holds[digests[row[variant]]] = (hear(sound), see(clip.picture))
        names.append(row["clip"])
    (out / "clips.csv").write_text("clip,label\n" + "".join(f"{n},x\n" for n in names))
    return folder, out / "s", out / "clips.csv", holds


def described(swap_run, out, variant, ask, engine):
    folder, swapped, clips, _ = swap_run
    changes = {"clips": clips, "media": folder / "clips", "swapped": swapped, "variant": variant, "ask": ask, "n": 1}
    running.run("caption", out, changes, engine=engine)
    return out / "captions"


@pytest.mark.slow
def test_what_is_heard_on_swapped_clips_is_judged_against_what_is_now_heard(swap_run, tmp_path):
    folder, *_, holds = swap_run
    honest = Eyewitness(holds)
    means = {}
    for variant in ("factual", "counterfactual"):
        captions = described(swap_run, tmp_path / variant, variant, "hear", honest)
        references = [json.loads(x) for x in (captions / "references.jsonl").open()]
        assert len(references) == len(holds) // 2 and all(r["audio_caption"] for r in references)
        for name, truth in (("now", captions / "references.jsonl"), ("own", folder / "captions.jsonl")):
            changes = {"captions": captions / "av.jsonl", "truth": truth, "model.model": "embedded-judge"}
            changes |= {"sampling.temperature": 0.0, "sampling.max_tokens": 120, "model.max_sequences": 48}
            running.run("judge", tmp_path / f"{variant}-{name}", changes)
            summary = summarise_judge(RunDir(tmp_path / f"{variant}-{name}"))
            means[variant, name] = summary["audio"]["mean"]
    assert honest.prompts == {"Describe what you hear."} and honest.systems == {""}
    # an honest listener follows the sound: right about what is now heard, wrong about what the clip once sounded like
    assert means["factual", "now"] > 0.8 and means["counterfactual", "now"] > 0.8, means
    assert means["counterfactual", "own"] < means["factual", "own"] - 0.3, means
    compared = compare_judged(RunDir(tmp_path / "counterfactual-own"), RunDir(tmp_path / "factual-own"))
    assert compared["audio"]["clips"] == len(holds) // 2 and compared["audio"]["drop"] > 0.3


@pytest.mark.slow
def test_each_question_is_asked_in_its_own_words_and_variants_are_different_inputs(swap_run, tmp_path):
    *_, holds = swap_run
    engine = Eyewitness(holds)
    captions = described(swap_run, tmp_path / "see", "factual", "see", engine)
    assert engine.prompts == {"Describe what you see."}
    assert all("moving" in json.loads(x)["caption"] for x in (captions / "v.jsonl").open())
    with pytest.raises(RecipeChanged):
        described(swap_run, tmp_path / "see", "counterfactual", "see", engine)


@pytest.mark.slow
def test_the_hubs_recipe_sends_its_system_prompt_and_one_item(swap_run, tmp_path):
    from avcurate.prompts import get_prompt
    from avcurate.recipe import read_recipe

    data, _ = read_recipe("hubs-caption")
    assert data["layout"] == "interleaved" and get_prompt(data["prompt"]).system == "You are a helpful assistant."
    folder, _, clips, _holds = swap_run
    engine = Eyewitness(dict.fromkeys([file_digest(p) for p in (folder / "clips").iterdir()], ("a", "b")))
    changes = {"clips": clips, "media": folder / "clips", "prompt": "caption@2", "n": 1}
    running.run("caption", tmp_path / "r", changes, engine=engine)
    assert engine.systems == {"You are a helpful assistant."}
