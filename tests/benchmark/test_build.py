"""Benchmarks hold exactly the clips their rule gives, and every other clip its reason."""

import csv
import json
import subprocess
import sys

import pytest

from avcurate.benchmark.build import select_audioset, select_vggsound
from avcurate.benchmark.ontology import Ontology
from avcurate.benchmark.rules import BenchmarkRecipe, load_benchmark


def build(recipe, shared, sounder="vggsounder_0.1.6.csv"):
    folder = shared / "annotations"
    return select_vggsound(recipe, folder / "vggsound_test.csv", folder / sounder)


def test_vggsound_animal_has_its_363_clips(shared):
    chosen = build(load_benchmark("vggsound-animal"), shared)
    assert len(chosen.kept) == 363 and not chosen.bad
    assert [n for _, n in chosen.funnel] == [15446, 1349, 1180, 413, 413, 390, 363]
    assert len(chosen.kept) + len(chosen.filtered) == 15446
    assert len({c for c, *_ in chosen.filtered} | set(chosen.kept)) == 15446


def test_vggsound_all_caps_each_class_by_its_seed(shared):
    recipe = load_benchmark("vggsound-all")
    chosen = build(recipe, shared)
    by_class = {}
    for label in chosen.kept.values():
        by_class[label] = by_class.get(label, 0) + 1
    assert len(chosen.kept) == 1823 and len(by_class) == 267 and max(by_class.values()) == 10
    uncapped = build(recipe.model_copy(update={"per_class": 0}), shared)
    assert len(uncapped.kept) == 2514 and set(chosen.kept) < set(uncapped.kept)
    again, other = (build(recipe.model_copy(update={"seed": s}), shared) for s in (0, 1))
    assert again.kept == chosen.kept != other.kept


def test_the_command_prints_a_funnel_and_writes_every_clip_somewhere(shared, tmp_path):
    folder = shared / "annotations"
    command = [
        sys.executable, "-m", "avcurate.cli.app", "benchmark", "vggsound-animal", "--vggsound",
        str(folder / "vggsound_test.csv"), "--vggsounder", str(folder / "vggsounder_0.1.6.csv"), "-o",
        str(tmp_path / "b"),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "363 clips of 27 classes" in done.stdout and "15,446" in done.stdout
    with (tmp_path / "b/clips.csv").open() as f:
        clips = list(csv.DictReader(f))
    with (tmp_path / "b/filtered.csv").open() as f:
        left = list(csv.DictReader(f))
    assert len(clips) == 363 and len(clips) + len(left) == 15446
    assert clips[0]["clip"] == f"{clips[0]['youtube_id']}_{clips[0]['start']}.mp4"
    facts = json.loads((tmp_path / "b/benchmark.json").read_text())
    assert sum(facts["filtered"].values()) == len(left) and sum(facts["classes"].values()) == 363


@pytest.fixture
def audioset(tmp_path):
    """Five clips: a dog's bark, a dog and a car, a dog under speech, music of no branch, an unknown class."""
    names = {"/m/0jbk": "Animal", "/m/0bt9lr": "Dog", "/m/05tny_": "Bark", "/m/0k4j": "Car", "/m/09x0r": "Speech",
             "/m/04rlf": "Music"}  # fmt: skip
    rows = ["# comment", 'a, 0.0, 10.0, "/m/0jbk,/m/0bt9lr,/m/05tny_"', 'b, 30.0, 40.0, "/m/05tny_,/m/0k4j"',
            'c, 0, 10, "/m/05tny_,/m/09x0r"', 'd, 0, 10, "/m/04rlf"', 'e, 0, 10, "/m/zzz"']  # fmt: skip
    (tmp_path / "seg.csv").write_text("\n".join(rows) + "\n")
    classes = ["index,mid,display_name", *[f'{i},{m},"{n}"' for i, (m, n) in enumerate(names.items())]]
    (tmp_path / "classes.csv").write_text("\n".join(classes) + "\n")
    return tmp_path


def test_audioset_keeps_clips_with_one_most_specific_source(shared, audioset):
    recipe = load_benchmark("audioset")
    ontology = shared / "annotations/audioset_ontology.json"
    chosen = select_audioset(recipe, audioset / "seg.csv", audioset / "classes.csv", ontology)
    assert chosen.kept == {"a_000000": "Bark"}
    assert {c: r for c, _, r in chosen.filtered} == {
        "b_000030": "not_one_class", "c_000000": "unwanted_branch", "d_000000": "not_one_class",
    }  # fmt: skip
    assert [b.reason for b in chosen.bad] == ["class_unknown"]
    tree = Ontology(ontology)
    assert {"Dog", "Bark"} < tree.below(["Animal"]) and tree.most_specific(["Animal", "Dog", "Car"]) == ["Car", "Dog"]


def test_unknown_branches_are_named(shared, audioset):
    from avcurate.errors import UserError

    recipe = BenchmarkRecipe(kind="benchmark", name="x", branches=("Dragons",))
    with pytest.raises(UserError, match="'Dragons' is not a class"):
        select_audioset(
            recipe, audioset / "seg.csv", audioset / "classes.csv", shared / "annotations/audioset_ontology.json"
        )


def test_train_clips_and_broken_annotations_are_left_out_with_a_reason(tmp_path):
    (tmp_path / "vgg.csv").write_text("a,1,fox barking,test\nb,2,fox barking,train\nc,3,fox barking,test\n")
    header = "video_id,label,modality,background_music,static_image,voice_over\n"
    rows = ["a_000001,fox barking,AV,False,False,False", "c_000003,fox barking,AV,False,False,False",
            "c_000003,dog barking,VA,False,False,False"]  # fmt: skip
    (tmp_path / "sounder.csv").write_text(header + "\n".join(rows) + "\n")
    chosen = select_vggsound(load_benchmark("vggsound-animal"), tmp_path / "vgg.csv", tmp_path / "sounder.csv")
    assert list(chosen.kept) == ["a_000001"] and [b.reason for b in chosen.bad] == ["modality_unknown"]
    assert {c: r for c, _, r in chosen.filtered} == {"b_000002": "train_split", "c_000003": "annotation_broken"}
