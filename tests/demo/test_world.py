"""The world is deterministic, and its questions give nothing away."""

import hashlib
from collections import Counter, defaultdict

from avcurate.demo.build import draw_world
from avcurate.demo.clips import write_clip
from avcurate.demo.questions import N_CHOICES


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
