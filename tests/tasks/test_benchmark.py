"""The hallucination benchmark: every answer true, balanced, rebuilt byte for byte, and every row accounted for."""

import json
import random
import shutil
from collections import Counter, defaultdict

import pytest
from typer.testing import CliRunner

from avcurate.cli.app import app
from avcurate.demo.build import draw_world
from avcurate.demo.render import events
from avcurate.engines.base import Engine, Perception, Reply, Response
from avcurate.errors import UserError
from avcurate.media.edit import SOUND_EDITS
from avcurate.runner.rundir import RunDir
from avcurate.tasks.benchmark.knowledge import World
from avcurate.tasks.benchmark.lone import Lone
from avcurate.tasks.benchmark.pairs import Pairs
from avcurate.tasks.benchmark.phrases import content_words, is_event, named_in, near, wording
from avcurate.tasks.benchmark.rebuild import read_manifest, rebuild, verify
from avcurate.tasks.benchmark.recipe import HallucinationBenchmarkRecipe
from avcurate.tasks.benchmark.score import score
from avcurate.tasks.benchmark.summary import unbalanced
from tests import running
from tests.conftest import LONG
from tests.running import recipe_for

SEED = 977
"""Of the world on which answers are checked; used nowhere else."""


def looked(clip, **changes):
    """A row as the stage ``looked`` stores it, of a clip of the demo world, with lively measures."""
    played = events(clip.sound, clip.seed, clip.seconds)
    halves = 2 * clip.seconds
    row = {
        "clip": clip.name,
        "row": 1,
        "records": [1],
        "source": clip.name,
        "heard": sorted(set(clip.sound.timbres)),
        "seen": [clip.picture.shape],
        "not_heard": [],
        "not_seen": [],
        "exhaustive": "both",
        "audio_captions": [],
        "video_captions": [],
        "events": [{"name": n, "start": a, "end": b} for n, a, b in played],
        "synchronised": False,
        "media": f"{clip.name}.mp4",
        "media_sha256": clip.name,
        "seconds": float(clip.seconds),
        "level_db": [-20.0] * halves,
        "motion": [5.0] * halves,
        "light": [90.0] * halves,
        "fingerprint": [],
    }
    return row | changes


@pytest.fixture(scope="module")
def clips():
    return {i.clip.name: i.clip for i in draw_world(2400, SEED, hard=True)}


@pytest.fixture(scope="module")
def planned(clips):
    """(lone questions, questions in pairs) on 800 clips."""
    world = World.of([looked(c) for c in clips.values()], {})
    recipe = HallucinationBenchmarkRecipe(per_object=400, edits_per_clip=3)
    return list(Lone(world, recipe).items()), list(Pairs(world, recipe).items())


def shown(item, clips):
    """What the file of an item holds: (things heard, things seen)."""
    clip = clips[item.clip.name]
    heard, seen = set(clip.sound.timbres), {clip.picture.shape}
    if item.edit.name == "swap_sound":
        heard = set(clips[item.donor.name].sound.timbres)
    if item.edit.name == "mix":
        heard |= set(clips[item.donor.name].sound.timbres)
    if item.edit.name == "swap_picture":
        seen = {clips[item.donor.name].picture.shape}
    return heard, seen


def truth(item, clips):
    """The right answer, from what the demo world was drawn from."""
    heard, seen = shown(item, clips)
    clip = clips[item.clip.name]
    if item.task in ("visible", "audible"):
        return "Yes" if item.object in (seen if item.task == "visible" else heard) else "No"
    if item.task == "match":
        return "Yes" if heard & seen else "No"
    if item.task in ("which_heard", "which_seen"):
        (right,) = [c for c in item.choices if c in (heard if item.task == "which_heard" else seen)]
        return right
    if item.task == "order":
        offset = {"shift": item.edit.offset, "exchange_sound": clip.seconds / 2}.get(item.edit.name, 0.0)
        first = {}
        for name, start, _ in events(clip.sound, clip.seed, clip.seconds):
            at = (start + offset) % clip.seconds
            first[name] = min(at, first.get(name, at))
        return min(item.choices, key=first.__getitem__)
    return "Yes" if item.edit.name == {"gap": "mute"}.get(item.task, item.task) else "No"


def test_thousands_of_answers_are_true_of_clips_never_used_before(planned, clips):
    lone, pairs = planned
    assert len(lone) > 2000 and len(pairs) > 3000
    assert {i.task for i in lone} == {"visible", "audible", "which_heard", "which_seen", "order"}
    assert {i.task for i in pairs} == {"visible", "audible", "match", "gap", "freeze", "black", "blur", "order"}
    wrong = [(i.task, i.question, i.answer) for i in (*lone, *pairs) if truth(i, clips) != i.answer]
    assert not wrong, (len(wrong), wrong[:5])
    assert all(i.evidence for i in (*lone, *pairs))
    assert len({i.id for i in lone}) == len(lone)


def test_yes_and_no_are_equally_frequent_for_every_name_and_negatives_are_of_all_kinds(planned):
    lone, pairs = planned
    assert unbalanced([i.row() for i in lone]) == []
    for task in ("visible", "audible"):
        kinds = Counter(i.negative for i in lone if i.task == task and i.answer == "No")
        assert {"cross", "adversarial"} <= kinds.keys() and len(kinds) >= 3, kinds
    asked = Counter(i.clip.name for i in lone)
    assert max(asked.values()) <= HallucinationBenchmarkRecipe().per_clip
    changing = Counter(i.answer for i in pairs if i.changes and i.choices == ("Yes", "No"))
    assert changing["Yes"] == changing["No"]


def test_the_sides_of_a_pair_ask_the_same_and_differ_where_it_is_said(planned):
    by_pair = defaultdict(dict)
    for item in planned[1]:
        by_pair[item.pair][item.side] = item
    for both in by_pair.values():
        twin, other = both["twin"], both["counterfactual"]
        assert (twin.question, twin.choices, twin.clip.name) == (other.question, other.choices, other.clip.name)
        assert twin.changes == other.changes == (twin.answer != other.answer)
        assert twin.edit.name == ("sound" if other.edit.name in SOUND_EDITS else "picture")
    kinds = {(b["counterfactual"].edit.name, b["twin"].changes) for b in by_pair.values()}
    # each edit has questions whose answer changes and such whose answer stays
    edits = {e for e, _ in kinds}
    assert {"swap_sound", "swap_picture", "mix", "mute", "freeze", "black", "blur", "exchange_sound"} <= edits
    assert all({(e, True), (e, False)} <= kinds for e in edits - {"shift", "exchange_sound"}), sorted(kinds)


def test_what_either_modality_suggests_is_what_it_holds(planned, clips):
    for item in (*planned[0], *planned[1]):
        row, (heard, seen) = item.row(), shown(item, clips)
        if item.task in ("visible", "audible"):
            assert row["by_sound"] == ("Yes" if item.object in heard else "No")
            assert row["by_picture"] == ("Yes" if item.object in seen else "No")
        elif item.task in ("which_heard", "which_seen"):
            for column, there in (("by_sound", heard), ("by_picture", seen)):
                named = [c for c in item.choices if c in there]
                assert row[column] == (named[0] if len(named) == 1 else None)
        else:
            assert row["by_sound"] is None and row["by_picture"] is None


def test_nothing_is_asked_without_evidence():
    rows = [looked(i.clip) for i in draw_world(60, 5, hard=True)]
    clips = {r["clip"]: r for r in rows}
    # nothing is known to be absent
    unsure = World.of([r | {"exhaustive": ""} for r in clips.values()], {})
    recipe = HallucinationBenchmarkRecipe()
    lone, pairs = Lone(unsure, recipe), Pairs(unsure, recipe)
    assert all(i.task == "order" for i in lone.items())
    assert {reason for *_, reason in lone.refused} >= {"absence_unknown", "too_few_distractors", "unbalanced"}
    made = list(pairs.items())
    assert not any(i.donor for i in made) and "no_donor" in {reason for *_, reason in pairs.refused}
    assert {i.task for i in made if i.changes} <= {"gap", "freeze", "black", "blur", "order"}
    # a caption that names it, under its own or another name, speaks against absence
    named = World.of([looked(i.clip, audio_captions=["Two BELLS ring"]) for i in draw_world(60, 5, hard=True)], {})
    for clip in named.clips:
        if "bell" not in clip.there["audio"]:
            assert named.refusal(clip, "audio", "bell") == "named_in_caption"
    other = World.of([looked(i.clip, audio_captions=["a hooter wails"]) for i in draw_world(60, 5, hard=True)], {})
    other.aliases = {"siren": ("hooter",)}
    assert any(other.refusal(c, "audio", "siren") == "named_in_caption" for c in other.clips)


def test_a_stretch_is_changed_only_where_that_would_be_noticed():
    clip = draw_world(3, 6, hard=True)[0].clip
    recipe = HallucinationBenchmarkRecipe(edits=("mute", "freeze", "black", "blur"), edits_per_clip=4)
    quiet = looked(clip, level_db=[-20.0] * 4 + [-60.0] + [-20.0] * (2 * clip.seconds - 5))
    pairs = Pairs(World.of([quiet], {}), recipe)
    assert "mute" not in {i.edit.name for i in pairs.items()}
    assert (pairs.refused[0][1], pairs.refused[0][3]) == ("mute", "too_short_or_too_quiet")
    still = Pairs(World.of([looked(clip, motion=[0.0] * 2 * clip.seconds, light=[5.0] * 2 * clip.seconds)], {}), recipe)
    assert {i.edit.name for i in still.items() if i.side == "counterfactual"} == {"mute"}
    assert {r[3] for r in still.refused} == {"too_short_or_too_still"}


def test_a_clip_in_step_is_asked_about_it():
    clip = draw_world(3, 6, hard=True)[0].clip
    recipe = HallucinationBenchmarkRecipe(edits=("exchange_picture",))
    assert not list(Pairs(World.of([looked(clip)], {}), recipe).items())
    items = list(Pairs(World.of([looked(clip, synchronised=True)], {}), recipe).items())
    assert [(i.side, i.answer) for i in items if i.task == "in_step"] == [("twin", "Yes"), ("counterfactual", "No")]


def test_words_for_the_same_thing_are_recognised():
    assert is_event("dog barking") and is_event("playing violin") and not is_event("ring") and not is_event("siren")
    assert near("dog barking", "dogs howling") and not near("playing violin", "playing cello")
    assert content_words("people playing the drums") == {"drum"}
    assert named_in("dog", (), ["Some dogs bark"]) and not named_in("cat", (), ["concatenate"])
    rng = random.Random(0)
    assert wording("visible", False, rng, x="dog") == "Is the dog visible in the video?"
    assert wording("audible", False, rng, x="dog barking") == "Is dog barking heard in the audio?"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A benchmark on a hard demo world: (world, run)."""
    from avcurate.demo.build import build_world

    folder = tmp_path_factory.mktemp("bench")
    build_world(folder / "world", 45, seed=SEED, workers=2, hard=True)
    changes = {"evidence": folder / "world/evidence.jsonl", "media": folder / "world/clips"}
    running.run("benchmark-hallucination", folder / "run", changes)
    return folder / "world", folder / "run"


@pytest.fixture
def to_rebuild(tmp_path, request):
    """A benchmark to make once more: the large one where LONG, elsewhere one of a few clips."""
    if LONG:
        return request.getfixturevalue("built")
    from avcurate.demo.build import build_world

    build_world(tmp_path / "world", 8, seed=SEED, workers=2, hard=True)
    changes = {"evidence": tmp_path / "world/evidence.jsonl", "media": tmp_path / "world/clips"}
    running.run("benchmark-hallucination", tmp_path / "run", changes)
    return tmp_path / "world", tmp_path / "run"


@pytest.mark.slow
def test_a_rebuilt_benchmark_has_the_same_bytes_and_a_changed_clip_is_noticed(to_rebuild, tmp_path):
    world, run = to_rebuild
    copy, media = tmp_path / "published", tmp_path / "originals"
    shutil.copytree(run / "benchmark", copy)
    shutil.copytree(world / "clips", media)
    before = {p.name: p.read_bytes() for p in (copy / "clips").iterdir()}
    manifest = read_manifest(copy)
    assert len(before) == len(manifest["files"]) and {c.state for c in verify(copy, media)} == {"unchanged"}
    shutil.rmtree(copy / "clips")
    shutil.rmtree(copy / ".facts")
    assert {c.state for c in verify(copy, None)} == {"missing"}
    assert {c.state for c in rebuild(copy, media)} == {"made"}
    assert {p.name: p.read_bytes() for p in (copy / "clips").iterdir()} == before
    # one clip of the benchmark, one original, one original gone
    entry = manifest["files"][0]
    (copy / entry["file"]).write_bytes(b"something else")
    assert next(iter(verify(copy, None))).state == "changed"
    assert Counter(c.state for c in rebuild(copy, media)) == {"made": 1, "unchanged": len(before) - 1}
    changed = media / entry["clip"]
    changed.write_bytes(changed.read_bytes() + b"x")
    (copy / entry["file"]).unlink()
    assert next(iter(rebuild(copy, media))).state == "original_changed"
    changed.unlink()
    result = CliRunner().invoke(app, ["benchmark", "rebuild", str(copy), "--media", str(media), "--json"])
    assert result.exit_code == 1 and json.loads(result.stdout)["original_missing"] >= 1
    questions = copy / "questions.jsonl"
    questions.write_text(questions.read_text().replace('"answer": "Yes"', '"answer": "No"', 1))
    with pytest.raises(UserError, match="were changed: digest"):
        read_manifest(copy)


def test_a_manifest_that_others_wrote_cannot_reach_out(tmp_path):
    from avcurate.errors import MediaError
    from avcurate.tasks.benchmark.publish import digest_of
    from avcurate.tasks.benchmark.stages import MADE_VERSION

    (tmp_path / "questions.jsonl").write_text("")
    good = {
        "file": "clips/a.mp4", "sha256": "0", "edit": {"name": "mute", "begin": 1, "end": 2.5},
        "clip": "x.mp4", "clip_sha256": "0", "donor": None, "donor_sha256": None,
    }  # fmt: skip

    def manifest(**changes):
        made = {"format": 1, "title": "t", "made_with": {"avcurate": "0", "edits": MADE_VERSION}}
        made["files"] = [good | changes]
        made["digest"] = digest_of(tmp_path, made)
        (tmp_path / "benchmark.json").write_text(json.dumps(made))
        return read_manifest(tmp_path)

    assert len(manifest()["files"]) == 1
    for name in ("../x.mp4", "/etc/passwd", "http://x/y.mp4", "a/../../b.mp4"):
        for field in ("file", "clip", "donor"):
            with pytest.raises(MediaError):
                manifest(**{field: name})
    for edit in (
        {"name": "sendmail"}, {"name": "mute", "begin": "1,volume=9"}, {"name": "mute", "end": float("inf")},
        {"begin": 1}, {"name": "mute", "other": 1}, {"name": "mix"},
    ):  # fmt: skip
        with pytest.raises(UserError, match="is no benchmark"):
            manifest(edit=edit)
    with pytest.raises(UserError, match="is no benchmark"):
        manifest(file=None, clip=3)


@pytest.mark.slow
def test_every_row_comes_out_and_the_folder_is_what_others_take(built):
    world, run = built
    record = RunDir(run).record()
    for stage in record["stages"].values():
        assert stage["in"] == stage["kept"] + sum(stage["filtered"].values()) + sum(stage["dead"].values())
    folder = run / "benchmark"
    questions = [json.loads(x) for x in (folder / "questions.jsonl").open()]
    assert len(questions) == record["stages"]["make"]["kept"] > 100
    assert all((folder / q["media"]).is_file() for q in questions)
    # no name of a file tells what was done to it, and no clip lies there that nobody asks about
    assert {p.name for p in (folder / "clips").iterdir()} == {q["media"].removeprefix("clips/") for q in questions}
    old = json.loads((folder / "avhbench.json").read_text())
    assert {x["task"] for x in old} == {
        "Audio-driven Video Hallucination", "Video-driven Audio Hallucination", "AV Matching", "AV Captioning",
    }  # fmt: skip
    # what is heard and seen in each file, that of the donor where its sound or picture was put in
    said = {c["clip"]: c for c in map(json.loads, (world / "evidence.jsonl").open())}
    shown = {c["clip"]: c for c in map(json.loads, (folder / "captions.jsonl").open())}
    swapped = [q for q in questions if q["edit"] in ("plain", "swap_sound", "swap_picture")]
    assert {q["media"] for q in swapped} <= shown.keys() <= {q["media"] for q in questions}
    for q in swapped:
        heard, seen = (q["donor"] if q["edit"] == e else q["video"] for e in ("swap_sound", "swap_picture"))
        assert shown[q["media"]]["audio_caption"] == [said[heard]["audio_caption"]]
        assert shown[q["media"]]["video_caption"] == [said[seen]["video_caption"]]
    assert recipe_for("judge", {"captions": "c.jsonl", "truth": folder}).input.truth == folder / "captions.jsonl"
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlicense: unknown") and f"{len(questions):,} questions" in card
    page = (run / "report.html").read_text() if (run / "report.html").exists() else ""
    assert "<script" not in page


@pytest.mark.slow
def test_the_viewer_takes_the_folder_as_it_is(built, tmp_path):
    from avcurate.cli.view import _shown
    from avcurate.viewer.detail import detail
    from avcurate.viewer.index import Index
    from avcurate.viewer.search import search

    folder = built[1] / "benchmark"
    index = Index([_shown(folder, tmp_path / "scratch")])
    found = search(index, 0, "state:kept")
    questions = [json.loads(line) for line in (folder / "questions.jsonl").read_text().splitlines()]
    assert found["total"] == len(questions) and found["rows"][0]["label"]
    row = detail(index, 0, found["rows"][0]["key"])
    assert row["clips"] and row["question"] in {q["question"] for q in questions}


@pytest.mark.slow
def test_people_review_a_sample_that_takes_turns_by_task(built, tmp_path):
    from avcurate.review.items import all_items
    from avcurate.review.plans import planned
    from avcurate.review.verdicts import add_verdict, agreement

    shutil.copytree(built[1], tmp_path / "run")
    run = RunDir(tmp_path / "run")
    every = all_items(run, 1)
    items = planned(every, "stratified", 30, 1, {})
    tasks = {r["item_id"]: r["task"] for r in running.rows_of(run, "make")}
    turns = [tasks[i.id] for i in items]
    assert len(set(turns[: len(set(tasks.values()))])) == len(set(tasks.values()))
    assert all(i.media.is_file() and i.expected in i.keys.values() for i in items)
    assert items != planned(every, "stratified", 30, 2, {})
    for n, item in enumerate(items):
        other = next(v for v in item.keys.values() if v != item.expected)
        verdict = "cannot tell" if n < 10 else other if n < 14 else item.expected
        add_verdict(run, "ann", item, verdict, 1.0)
    ann = agreement(run, every)["reviewers"]["ann"]
    low, high = ann["error"]["interval"]
    assert ann["error"]["n"] == 20 and ann["error"]["rate"] == 0.2 and low < 0.2 < high
    assert len(ann["rejected"]) == 14


@pytest.mark.slow
def test_lmms_eval_reads_the_task(built):
    import yaml

    folder = built[1] / "benchmark/lmms_eval"

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))
    (file,) = folder.glob("*.yaml")
    task = yaml.load(file.read_text(), Loader)
    names = {}
    exec(
        compile((folder / "utils.py").read_text(), str(folder / "utils.py"), "exec"),
        {**names, "__file__": str(folder / "utils.py")},
        names,
    )
    functions = [task[k] for k in ("doc_to_visual", "doc_to_text", "doc_to_target", "process_results")]
    functions += [m["aggregation"] for m in task["metric_list"] if m["aggregation"] != "mean"]
    assert all(f.startswith("utils.") and f.removeprefix("utils.") in names for f in functions)
    # fields of its TaskConfig (0.7.3), read from its source
    known = {
        *("task", "dataset_path", "dataset_kwargs", "test_split", "output_type", "doc_to_visual", "doc_to_text"),
        *(
            "doc_to_target",
            "process_results",
            "generation_kwargs",
            "lmms_eval_specific_kwargs",
            "metric_list",
            "metadata",
        ),
    }
    assert set(task) == known


class Perceives(Engine):
    """Perfect ears and eyes, as far as it is shown something: what it does not perceive it takes from the other sense.

    Args:
        run: the benchmark's run, in which it looks up what a clip holds; nothing of the right answer.
    """

    name = "perceives"
    perceives = False

    def __init__(self, run):
        rows = running.rows_of(run, "make")
        self.about = {(r["file_sha256"], r["question"]): r for r in rows}

    def identity(self):
        return {"engine": self.name}

    def setup(self):
        pass

    def perceive(self, request):
        return Perception(-1, -1, -1)

    def generate(self, source):
        while (r := source.take(wait=True)) is not None:
            text = f"<answer>{self._answer(r)}</answer>"
            yield Reply(r.key, (Response(r.seed, text, "stop", 1),), -1, -1, -1)

    def _answer(self, r):
        row = next(v for (sha, q), v in self.about.items() if sha == r.media_id and r.prompt.startswith(q + "\n"))
        heard, seen = r.audio is not None, r.frames is not None
        needs = {"Audio": heard, "Visual": seen, "Audio-Visual": heard and seen}[row["pem"]]
        if needs:
            return row["answer"]
        suggested = row["by_sound"] if heard else row["by_picture"] if seen else None
        return suggested or random.Random(f"{r.media_id}{row['question']}").choice(row["choices"])


@pytest.mark.slow
def test_a_deaf_and_a_blind_model_score_as_they_must(built, tmp_path):
    """Right about what the one modality shows, mistaken by it about the other, and insensitive to the other's edits."""
    folder = built[1] / "benchmark"
    engine = Perceives(RunDir(built[1]))
    running.run("eval", tmp_path / "eval", {"annotations": folder, "conditions": "a,v,av", "n": 1}, engine=engine)
    result = score(RunDir(tmp_path / "eval"))
    deaf, blind, whole = (result["conditions"][c] for c in ("v", "a", "av"))
    questions = [json.loads(x) for x in (folder / "questions.jsonl").open()]
    assert result["questions"] == len(questions) and whole["unanswered"] == 0
    assert whole["groups"]["all"]["accuracy"] == 1.0 and whole["sensitivity"]["sensitivity"] == 1.0
    assert whole["sensitivity"]["both_right"]["rate"] == 1.0
    for model, sees, misses, suggested in (
        (deaf, "visible", "audible", "by_picture"),
        (blind, "audible", "visible", "by_sound"),
    ):
        assert model["groups"][sees]["accuracy"] == 1.0
        right = [q[suggested] == q["answer"] for q in questions if q["task"] == misses]
        assert model["groups"][misses]["accuracy"] == pytest.approx(sum(right) / len(right))
        # what is in the other modality is taken to be in this one too: AVHBench's hallucination
        assert model["groups"][f"{misses}, absent: cross"]["accuracy"] == 0.0
    assert deaf["selection"]["picture"]["rate"] == blind["selection"]["sound"]["rate"] == 1.0
    assert 0 < whole["selection"]["sound"]["rate"] < 1 and whole["selection"]["neither"]["rate"] == 0
    for model, edit in ((deaf, "swap_sound"), (blind, "swap_picture")):
        assert model["sensitivity_by_edit"][edit]["changed_where_it_should"]["rate"] < 0.2
    assert deaf["sensitivity_by_edit"]["swap_picture"]["changed_where_it_should"]["rate"] > 0.7
    printed = CliRunner().invoke(app, ["benchmark", "score", str(tmp_path / "eval")])
    assert printed.exit_code == 0 and "answers under conflict follow" in " ".join(printed.stdout.split())
    # on the command line the folder brings its clips along
    words = ["eval", str(folder), "--conditions", "v", "--limit", "1", "-m", "embedded", "-o", str(tmp_path / "cli")]
    assert CliRunner().invoke(app, words).exit_code == 0
    other = {"annotations": built[0] / "questions.json", "media": built[0] / "clips", "run.limit": 2, "n": 1}
    running.run("eval", tmp_path / "other", other | {"conditions": "v"}, engine=Silent())
    with pytest.raises(UserError, match="not an evaluation of a benchmark"):
        score(RunDir(tmp_path / "other"))


@pytest.mark.slow
def test_the_embedded_model_scores_as_what_it_was_shown_allows(built, tmp_path):
    """Asked of what one modality decides, it is right more often where it is shown that one; shown both, of either."""
    changes = {"annotations": built[1] / "benchmark", "conditions": "a,v,av", "n": 1, "run.limit": 200}
    running.run("eval", tmp_path / "eval", changes | {"model.model": "embedded-hard", "sampling.temperature": 0})
    blind, deaf, whole = (score(RunDir(tmp_path / "eval"))["conditions"][c]["groups"] for c in ("a", "v", "av"))
    print("\n" + str({t: [round(m[t]["accuracy"], 2) for m in (blind, deaf, whole)] for t in ("visible", "audible")}))
    assert blind["audible"]["accuracy"] > deaf["audible"]["accuracy"] + 0.1
    assert deaf["visible"]["accuracy"] > blind["visible"]["accuracy"] + 0.1
    assert whole["all"]["accuracy"] > max(blind["all"]["accuracy"], deaf["all"]["accuracy"])
    # it hears well, and tells faint forms apart less than half the time
    assert whole["audible"]["accuracy"] > 0.65 and whole["visible"]["accuracy"] > 0.5


class Silent(Perceives):
    """Answers nothing that can be read."""

    def __init__(self):
        pass

    def _answer(self, r):
        return "?"


def test_bad_evidence_ends_as_a_named_row(tmp_path):
    rows = [
        {"clip": "a", "heard": ["dog"], "not_heard": ["dog"], "exhaustive": "both"},
        {"clip": "b"},
        {"clip": "c", "heard": ["dog"], "exhaustive": "audio"},
        {"clip": "c", "seen": ["cat"], "exhaustive": "both"},
        {"clip": "d", "exhaustive": "nearly"},
        {"heard": ["dog"]},
        {"clip": "e", "heard": ["<script>alert(1)</script>"], "exhaustive": "both"},
    ]
    (tmp_path / "e.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    tallies = running.run("benchmark-hallucination", tmp_path / "r", {"evidence": tmp_path / "e.jsonl"})
    assert tallies["evidence"].dead == {"exhaustive_unknown": 1, "field_missing": 1}
    assert tallies["merged"].dead == {"contradictory_evidence": 1} and tallies["merged"].filtered == {"no_evidence": 1}
    merged = {r["clip"]: r for r in running.rows_of(RunDir(tmp_path / "r"), "merged")}
    # one record knows only the sound, so only that is complete
    assert merged["c"]["exhaustive"] == "audio" and merged["c"]["heard"] == ["dog"] and merged["c"]["seen"] == ["cat"]


def test_clips_without_sound_or_picture_are_left_out(tiny_clip, tmp_path):
    from tests.conftest import ffmpeg

    media = tmp_path / "m"
    media.mkdir()
    shutil.copy(tiny_clip, media / "good.mp4")
    ffmpeg("-i", str(tiny_clip), "-an", "-c", "copy", str(media / "silent.mp4"))
    ffmpeg("-i", str(tiny_clip), "-vn", "-c", "copy", str(media / "blind.mp4"))
    names = ("good", "silent", "blind", "gone")
    rows = [{"clip": n, "heard": ["dog"], "seen": ["cat"], "exhaustive": "both"} for n in names]
    (tmp_path / "e.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    tallies = running.run("benchmark-hallucination", tmp_path / "r", {"evidence": tmp_path / "e.jsonl", "media": media})
    assert tallies["looked"].filtered == {"no_audio_track": 1, "no_picture": 1}
    assert tallies["looked"].dead == {"media_missing": 1} and tallies["looked"].kept == 1


def test_detections_say_what_is_seen_and_what_is_not(tmp_path, tiny_clip):
    from avcurate.engines.detector import Detection

    class Sees:
        name = "fake"

        def identity(self):
            return {"detector": "fake"}

        def setup(self):
            pass

        def preflight(self):
            pass

        def detect(self, frames, floor):
            boxes = {0: [("Dog", 0.95), ("Car", 0.3)], 1: [("Car", 0.99)]}
            return [[Detection(n, s, (0, 0, 5, 5)) for n, s in boxes[int(f.mean() > 100)]] for f in frames]

    media = tmp_path / "m"
    media.mkdir()
    from tests.conftest import ffmpeg

    for name, color in (("dark", "black"), ("bright", "white")):
        ffmpeg(
            "-f", "lavfi", "-i", f"color={color}:s=64x48:r=10:d=2", "-f", "lavfi", "-i", "sine=440:d=2",
            "-pix_fmt", "yuv420p", str(media / f"{name}.mp4"),
        )  # fmt: skip
    options = {"media": media, "floor": 0.05, "sheets": "false"}
    running.run("objects", tmp_path / "o", options, detector=Sees())
    rows = [{"clip": f"{n}.mp4", "heard": ["tone"], "exhaustive": "audio"} for n in ("dark", "bright")]
    (tmp_path / "e.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    changes = {"evidence": tmp_path / "e.jsonl", "media": media, "objects": tmp_path / "o"}
    running.run("benchmark-hallucination", tmp_path / "r", changes)
    merged = {r["clip"]: r for r in running.rows_of(RunDir(tmp_path / "r"), "merged")}
    # a car at 0.3 is neither seen nor certainly absent
    assert merged["dark.mp4"]["seen"] == ["dog"] and merged["dark.mp4"]["not_seen"] == []
    assert merged["bright.mp4"]["seen"] == ["car"] and merged["bright.mp4"]["not_seen"] == ["dog"]
    with pytest.raises(UserError, match=r"stored detections from 0\.05 on"):
        running.run("benchmark-hallucination", tmp_path / "r2", changes | {"low_score": 0.01})
