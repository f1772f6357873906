"""The world is deterministic, and its questions give nothing away."""

import hashlib
import random
from collections import Counter, defaultdict

import numpy as np

from avcurate.demo.build import draw_world
from avcurate.demo.clips import write_clip
from avcurate.demo.hard_questions import HARD_BY_NAME
from avcurate.demo.questions import N_CHOICES, draft
from avcurate.demo.render import SAMPLE_RATE, events, render_picture, render_sound
from avcurate.demo.world import CLEAR, FORMS, THINGS, TIMBRES, Picture, Sight, Sound, draw_picture, draw_sound


def test_the_same_seed_gives_the_same_world_and_another_seed_shares_no_clip(tmp_path):
    assert draw_world(50, 3) == draw_world(50, 3)
    seeds, other_seeds = ({i.clip.seed for i in draw_world(200, s)} for s in (3, 4))
    assert not seeds & other_seeds
    clip = draw_world(1, 3)[0].clip
    write_clip(clip, tmp_path / "a.mp4")
    write_clip(clip, tmp_path / "b.mp4")
    a, b = (hashlib.sha256((tmp_path / n).read_bytes()).hexdigest() for n in ("a.mp4", "b.mp4"))
    assert a == b


def test_a_reader_of_the_text_alone_stays_at_chance():
    """Learns which answer follows each question text, choice set and position, then answers new questions."""
    seen = defaultdict(Counter)
    for item in draw_world(6000, 11):
        q = item.draft
        for cue in ((q.text,), (q.text, frozenset(q.choices)), (q.type, len(q.text))):
            seen[cue][q.answer] += 1
        seen[(q.type, "position")][q.choices.index(q.answer)] += 1
    right, total = Counter(), Counter()
    for item in draw_world(3000, 12):
        q = item.draft
        for name, cue in (
            ("text", (q.text,)),
            ("choices", (q.text, frozenset(q.choices))),
            ("length", (q.type, len(q.text))),
        ):
            guess = max(q.choices, key=lambda c: seen[cue][c])
            right[q.evidence, name] += guess == q.answer
            total[q.evidence, name] += 1
        place = seen[(q.type, "position")].most_common(1)[0][0]
        right[q.evidence, "position"] += q.choices[place] == q.answer
        total[q.evidence, "position"] += 1
    for (evidence, name), n in total.items():
        if evidence in ("audio", "visual", "both"):
            assert abs(right[evidence, name] / n - 1 / N_CHOICES) < 0.06, (evidence, name, right[evidence, name] / n)


def test_annotations_do_not_reveal_the_truth():
    for item in draw_world(30, 5):
        assert set(item.annotation()) == {
            "id", "video_name", "video_id", "question_text", "multi_choice", "answer", "question_type",
        }  # fmt: skip


def test_the_hard_world_is_deterministic_and_lasts_longer():
    items = draw_world(300, 3, hard=True)
    assert items == draw_world(300, 3, hard=True)
    assert {i.clip.seconds for i in items} == {4, 6, 8, 10, 12}
    assert {i.draft.type for i in items} == set(HARD_BY_NAME)
    assert not {i.clip.seed for i in items} & {i.clip.seed for i in draw_world(300, 3)}


def test_in_the_hard_world_answers_are_true_of_what_is_shown_and_played():
    for item in draw_world(1500, 21, hard=True):
        p, s, q = item.clip.picture, item.clip.sound, item.draft
        thing = next((t for t in (*FORMS, *TIMBRES) if f" {t}" in q.text), None)
        if q.type == "visible":
            assert q.answer == ("Yes" if thing == p.shape else "No")
        elif q.type == "audible":
            assert q.answer == ("Yes" if thing in s.timbres else "No")
        elif q.type == "match":
            assert q.answer == ("Yes" if p.shape in s.timbres else "No")
        elif q.type in ("which_heard", "which_seen"):
            there = s.timbres if q.type == "which_heard" else (p.shape,)
            assert [c for c in q.choices if c in there] == [q.answer] and len(set(q.choices)) == N_CHOICES
        elif q.type == "shape":
            assert q.answer == p.shape and set(q.choices) <= set(FORMS) and len(set(q.choices)) == N_CHOICES
        elif q.type in ("order", "order_both"):
            place = {**{c: i for i, c in enumerate(p.colors)}, **{t: i for i, t in enumerate(s.timbres)}}
            assert q.answer == min(q.choices, key=place.__getitem__)


def test_what_is_seen_is_often_heard_in_the_hard_world_but_its_text_tells_little():
    items = [i for i in draw_world(6000, 22, hard=True) if i.clip.picture.kind == "group"]
    things = [i for i in items if i.clip.picture.shape in THINGS]
    together = np.mean([i.clip.picture.shape == i.clip.sound.timbres[0] for i in things])
    assert 0.5 < together < 0.68
    by_text = defaultdict(Counter)
    for i in items:
        by_text[i.draft.type, i.draft.text][i.draft.answer] += 1
    for (kind, text), answers in by_text.items():
        if kind in ("visible", "audible") and answers.total() > 60:
            assert 0.33 < answers["Yes"] / answers.total() < 0.67, text


def test_events_are_where_the_sound_is_and_degrading_leaves_the_truth_alone():
    rng = random.Random(4)
    for seed in range(20):
        sound = draw_sound(rng, rng.choice(("group", "sequence")))
        seconds = rng.choice((4, 12))
        wave = render_sound(sound, seed, seconds)
        inside = np.zeros(len(wave), bool)
        for timbre, start, end in events(sound, seed, seconds):
            assert timbre in TIMBRES and 0 <= start < end <= seconds
            inside[int(start * SAMPLE_RATE) : int(end * SAMPLE_RATE)] = True
        assert (wave[inside] ** 2).mean() > 20 * (wave[~inside] ** 2).mean()
    picture = Picture("group", "bell", "left", 2, ("red",) * 4)
    clear = render_picture(picture, 5)
    assert np.array_equal(clear, render_picture(picture, 5, 4, CLEAR))
    grainy = render_picture(picture, 5, 4, Sight(20.0, 1.0, 2, (1.0, 2.0))).astype(float)
    kept = np.r_[0:8, 16:32]
    assert np.abs(clear[kept] - grainy[kept]).mean() < np.abs(clear[8:16] - grainy[8:16]).mean()


def test_forms_look_different():
    pictures = {f: render_picture(Picture("group", f, "left", 1, ("red",) * 4), 1)[0].astype(float) for f in FORMS}
    for a in FORMS:
        for b in FORMS:
            assert a == b or np.abs(pictures[a] - pictures[b]).mean() > 1.0, (a, b)


def test_a_question_is_asked_only_of_clips_that_it_fits():
    sound = Sound("group", 2, None, ("hiss",))
    for name in ("order", "match", "color_when"):
        assert not HARD_BY_NAME[name].fits(draw_picture(random.Random(1), "group"), sound)
    bell = Picture("group", "bell", "left", 1, ("red",) * 4)
    asked = [draft(HARD_BY_NAME["visible"], bell, sound, random.Random(i)) for i in range(200)]
    assert 0.4 < np.mean([q.answer == "Yes" for q in asked]) < 0.6
