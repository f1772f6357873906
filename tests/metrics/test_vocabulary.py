"""Objects in texts and in class names: every class of the datasets maps as a person would say."""

import csv

import pytest

from avcurate.errors import UserError
from avcurate.metrics.vocabulary import Vocabulary, load_vocabulary

V = load_vocabulary()


@pytest.mark.parametrize(
    ("text", "nodes"),
    [
        ("Two men and three children ride bikes", ["person", "person", "bicycle"]),
        ("a hot dog beside the dog's bowl", ["hot dog", "dog", "bowl"]),
        ("a baby elephant near women", ["elephant", "person"]),
        ("An orange cat, with oranges on a wooden table", ["cat", "orange", "dining table"]),
        ("a sea lion, then a lion", ["sea lion", "lion"]),
        ("Mice and buses; geese and wolves", ["mouse animal", "bus", "goose", "wolf"]),
        ("a police car and a race car pass a car", ["police car", "race car", "car"]),
        ("birds fly and a boy waves, it sounds nice", ["bird", "person"]),
        ("", []),
    ],
)
def test_mentions(text, nodes):
    mentions = V.mentions(text)
    assert [m.node for m in mentions] == nodes
    assert all(text.lower()[m.start : m.end] == m.words for m in mentions)


def test_kinds():
    assert V.supported("bird", frozenset({"parrot"})) and not V.supported("parrot", frozenset({"bird"}))
    assert V.supported("boat", frozenset({"motorboat"})) and not V.supported("dog", frozenset({"cat"}))


def test_coco_is_there_by_its_own_names(shared):
    darknet = {
        "motorbike": "motorcycle", "aeroplane": "airplane", "sofa": "couch", "pottedplant": "potted plant",
        "diningtable": "dining table", "tvmonitor": "tv",
    }  # fmt: skip
    names = [x.strip() for x in (shared / "models/yolo_fastest/coco.names").read_text().splitlines() if x.strip()]
    assert [darknet.get(n, n) for n in names] == [n for n in (darknet.get(x, x) for x in names) if n in V.coco]
    assert len(V.coco) == 80 == len(names)
    assert all(V.objects(n) == {n} for n in V.coco)
    assert all(V.objects_of_class(n) == {n} for n in V.nodes)
    for kind in V.coco:
        assert not any(V.is_a(node, kind) for node in V.coco)


def test_every_vggsound_class_shows_an_object(shared):
    with (shared / "annotations/vggsound_test.csv").open() as f:
        names = {row[1].strip() for row in csv.reader(f)}
    mapped = {n: sorted(V.objects_of_class(n)) for n in names}
    assert len(mapped) == 309 and all(mapped.values()), [n for n, o in mapped.items() if not o]
    for name, nodes in {
        "dog bow-wow": ["dog"], "donkey, ass braying": ["donkey"], "mouse clicking": ["mouse"],
        "mouse squeaking": ["mouse animal"], "people eating apple": ["apple", "person"],
        "playing electric guitar": ["guitar"], "alligators, crocodiles hissing": ["alligator"],
        "cattle, bovinae cowbell": ["bell", "cow"], "fire truck siren": ["siren", "truck"],
        "ice cream truck, ice cream van": ["truck"], "fly, housefly buzzing": ["housefly"],
        "tap dancing": ["person"], "sea lion barking": ["sea lion"], "singing bowl": ["singing bowl"],
        "shot football": ["sports ball"], "wood thrush calling": ["thrush"], "barn swallow calling": ["barn swallow"],
    }.items():  # fmt: skip
        assert mapped[name] == nodes


def test_audioset_classes_are_objects_or_sounds_without_one(shared):
    with (shared / "annotations/audioset_classes.csv").open() as f:
        names = [row["display_name"] for row in csv.DictReader(f)]
    mapped = {n: sorted(V.objects_of_class(n)) for n in names}
    assert len(mapped) == 527 and 370 < sum(map(bool, mapped.values())) < 420
    for name, nodes in {
        "Speech": ["person"], "Meow": ["cat"], "Car alarm": ["car"], "Sine wave": [], "White noise": [],
        "Video game music": [], "Artillery fire": ["cannon"], "Train horn": ["train"], "Sawing": ["handsaw"],
        "Roaring cats (lions, tigers)": ["lion", "tiger"], "Wind noise (microphone)": ["wind"],
    }.items():  # fmt: skip
        assert mapped[name] == nodes


def test_a_name_with_two_meanings_is_refused():
    with pytest.raises(UserError, match="already means 'dog'"):
        Vocabulary(["dog: hound", "wolf: hounds"], "x")
    with pytest.raises(UserError, match="'beast' is used as a kind but is not a node"):
        Vocabulary(["dog < beast:"], "x")


def test_offsets_are_those_of_the_text_even_where_letters_grow():
    text = "İİ a DOG"
    (mention,) = V.mentions(text)
    assert text[mention.start : mention.end] == "DOG"
