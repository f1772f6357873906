"""A small run of every task, with kept and dead rows, on which guarantees are tested."""

import json
import multiprocessing
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from avcurate.engines.base import Engine, Failure, Perception, Reply, Response
from avcurate.runner.rundir import RunDir
from avcurate.tasks import TASKS
from tests import running
from tests.conftest import CountingEmbedder, ffmpeg, write_questions
from tests.tasks.test_objects import Brightness
from tests.tasks.test_pairing import WordVectors


class Steady(Engine):
    """Gives the scripted answer every time; the first row it sees fails until ``broken`` is cleared."""

    name = "steady"
    perceives = False

    def __init__(self, say, broken=True):
        self.say, self.broken, self._failing = say, broken, None
        # shared with forked children, whose requests count too
        self._asked = multiprocessing.Value("i", 0)

    @property
    def asked(self):
        return self._asked.value

    def identity(self):
        return {"engine": self.name}

    def setup(self):
        pass

    def generate(self, source):
        while (request := source.take(wait=True)) is not None:
            with self._asked.get_lock():
                self._asked.value += 1
            row = request.key.split("/")[0]
            self._failing = self._failing or row
            if self.broken and row == self._failing:
                yield Failure(request.key, "engine_failed", "the engine would not answer")
                continue
            responses = tuple(Response(request.seed + i, self.say(request), "stop", 4) for i in range(request.n))
            yield Reply(request.key, responses, -1, -1, -1)

    def perceive(self, request):
        return Perception(-1, -1, -1)


@dataclass
class Case:
    """A task's run: its inputs (all in ``folder``), and the components that a test supplies."""

    task: str
    folder: Path
    changes: dict
    parts: dict = field(default_factory=dict)
    # removes the cause of dead rows, so that a retry keeps them
    fix: Callable[[], None] = lambda: None
    work: Callable[[], int] = lambda: 0

    @property
    def out(self) -> Path:
        return self.folder / "run"

    @property
    def run(self) -> RunDir:
        return RunDir(self.out)

    def go(self, out=None, **options):
        """Run or resume it."""
        changes = self.changes | options.pop("changes", {})
        return running.run(self.task, out or self.out, changes, **self.parts, **options)

    def moved(self, folder: Path) -> "Case":
        """The same case after moving everything."""
        shutil.move(self.folder, folder)
        changes = {
            k: Path(str(v).replace(str(self.folder), str(folder))) if isinstance(v, Path) else v
            for k, v in self.changes.items()
        }
        return Case(self.task, folder, changes, self.parts, self.fix, self.work)


def clips(folder: Path, names=("a", "b", "c", "d")) -> Path:
    """Short, distinct clips with sound."""
    media = folder / "clips"
    media.mkdir(parents=True)
    for i, name in enumerate(names):
        (media / f"{name}.mp4").write_bytes(_clip(i))
    return media


@cache
def _clip(number: int) -> bytes:
    picture, tone = f"testsrc=s=64x48:r=4:d=1,hue=h={number * 60}", f"sine={300 + 100 * number}:d=1"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "clip.mp4")
        ffmpeg("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", tone, str(path))
        return path.read_bytes()


def lines(path: Path, rows) -> Path:
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows))
    return path


def asked(task: str, folder: Path, say, changes: dict, **parts) -> Case:
    engine = Steady(say)

    def fix():
        engine.broken = False

    return Case(task, folder, changes, {"engine": engine, **parts}, fix, lambda: engine.asked)


def label_pem(folder: Path) -> Case:
    media = clips(folder, ["clip"])
    rows = write_questions(folder / "q.json", 10)
    (folder / "q.json").write_text(json.dumps([*rows, {**rows[0], "id": 99, "video_name": "gone.mp4"}]))
    changes = {"annotations": folder / "q.json", "media": media, "n": 2, "run.part_size": 4}

    def say(request):
        return "<think>It looks red.</think><answer>red</answer>"

    return asked("label-pem", folder, say, changes, embedder=CountingEmbedder())


def evaluate(folder: Path) -> Case:
    media = clips(folder)
    rows = [
        {"video_id": n, "task": "Audio-driven Video Hallucination", "text": f"Is {n}?", "label": "Yes"} for n in "abcd"
    ]
    (folder / "qa.json").write_text(json.dumps([*rows, {**rows[0], "video_id": "gone"}]))
    changes = {"annotations": folder / "qa.json", "media": media, "run.part_size": 2}
    return asked("eval", folder, lambda r: "<mod>Audio</mod><ans>Yes</ans>", changes)


def leak(folder: Path) -> Case:
    media = clips(folder)
    rows = [{"video_id": n, "task": "AV Matching", "text": f"Is {n}?", "label": "Yes"} for n in "abcd"]
    (folder / "qa.json").write_text(json.dumps([*rows, {**rows[0], "video_id": "gone"}]))
    changes = {"annotations": folder / "qa.json", "media": media, "run.part_size": 2, "folds": 2}
    return asked("leak", folder, lambda r: "<answer>Yes</answer>", changes)


def listed(folder: Path) -> dict:
    media = clips(folder)
    (folder / "list.csv").write_text(
        "clip,label\na.mp4,dog barking\nb.mp4,rain\nc.mp4,dog barking\nd.mp4,rain\ngone.mp4,rain\n"
    )
    return {"clips": folder / "list.csv", "media": media, "run.part_size": 2}


def caption(folder: Path) -> Case:
    return asked("caption", folder, lambda r: "A dog barks.", listed(folder))


def dominance(folder: Path) -> Case:
    (folder / "four.yaml").parent.mkdir(parents=True, exist_ok=True)
    (folder / "four.yaml").write_text("kind: pool\nname: four\nclasses: [dog barking, rain, cat, train]\n")
    changes = listed(folder) | {"pool": folder / "four.yaml", "by": "correctness"}
    return asked("dominance", folder, lambda r: "A", changes)


def judge(folder: Path) -> Case:
    folder.mkdir(parents=True)
    rows = [{"clip": c, "caption": f"A {c}.", "audio_caption": "dog", "video_caption": "yard"} for c in "abcdef"]
    file = lines(folder / "c.jsonl", [*rows, {"clip": "g", "caption": ""}, "{broken"])
    changes = {"captions": file, "run.part_size": 3}
    return asked("judge", folder, lambda r: json.dumps({"reason": "so", "score": 0.5}), changes)


def grade(folder: Path) -> Case:
    """Graded answers of a small evaluation of open questions."""
    media = clips(folder)
    rows = [{"media": n, "question": f"Is {n}?", "answer": "a drum"} for n in "abcd"]
    lines(folder / "qa.jsonl", rows)
    running.run(
        "eval",
        folder / "eval",
        {"annotations": folder / "qa.jsonl", "media": media, "run.part_size": 2, "conditions": ["av"]},
        engine=Steady(lambda r: "<answer>drum</answer>", broken=False),
    )
    return asked("grade", folder, lambda r: "yes", {"evaluation": folder / "eval", "run.part_size": 2})


def objects(folder: Path) -> Case:
    detector = Brightness()
    changes = listed(folder) | {"run.part_size": 2, "sheets": False}
    (folder / "clips/bad.mp4").write_bytes(b"\x00" * 4000)
    with (folder / "list.csv").open("a") as f:
        f.write("bad.mp4,rain\n")

    def fix():
        shutil.copy(folder / "clips/a.mp4", folder / "clips/bad.mp4")

    return Case("objects", folder, changes, {"detector": detector}, fix, lambda: sum(detector.batches))


def hallucination(folder: Path) -> Case:
    folder.mkdir(parents=True)
    rows = [{"clip": c, "caption": "A dog barks at a cat", "objects": ["dog"]} for c in "abcdef"]
    rows += [{"clip": "g", "caption": "A dog", "objects": ["unicorn"]}, {"clip": "h", "caption": ""}]
    file = lines(folder / "c.jsonl", [*rows, "{broken"])
    return Case("hallucination", folder, {"captions": file, "run.part_size": 3})


def pair(folder: Path) -> Case:
    media = clips(folder)
    rows = [
        {"clip": c, "audio_caption": w, "video_caption": w}
        for c, w in zip("abcd", ("dog", "rain", "train", "cat"), strict=True)
    ]
    file = lines(folder / "c.jsonl", [*rows, {"clip": "gone", "audio_caption": "x", "video_caption": "x"}, "{broken"])
    embedder = WordVectors()
    return Case("pair", folder, {"captions": file, "media": media}, {"embedder": embedder})


def swap(folder: Path) -> Case:
    media = clips(folder)
    pairs = [("a", "b"), ("b", "c"), ("c", "a"), ("d", "a"), ("late", "a"), ("a", "a")]
    file = lines(folder / "pairs.jsonl", [{"clip": c, "donor": d} for c, d in pairs])

    def fix():
        shutil.copy(folder / "clips/c.mp4", folder / "clips/late.mp4")

    def work():
        return sum(p.stat().st_mtime_ns for p in sorted((folder / "run").rglob("*.mp4")) if "late" not in p.name)

    return Case("swap", folder, {"pairs": file, "media": media, "run.part_size": 2}, {}, fix, work)


def benchmark(folder: Path) -> Case:
    media = clips(folder)
    words = ("dog", "rain", "train", "cat")
    rows = [
        {"clip": c, "heard": [w], "seen": [w], "exhaustive": "both"}
        for c, w in zip((*"abcd", "late"), (*words, "bird"), strict=True)
    ]
    file = lines(folder / "evidence.jsonl", [*rows, {"clip": "e", "exhaustive": "nearly"}])

    def fix():
        shutil.copy(folder / "clips/c.mp4", folder / "clips/late.mp4")

    def work():
        return sum(p.stat().st_mtime_ns for p in sorted((folder / "run/benchmark/clips").glob("*.mp4")))

    changes = {"evidence": file, "media": media, "run.part_size": 4}
    # what edits do is tested elsewhere; here few files are made, and quickly
    changes |= {"edits_per_clip": 0, "per_clip": 2}
    return Case("benchmark-hallucination", folder, changes, {}, fix, work)


def probe(folder: Path) -> Case:
    from avcurate.engines.checkpoint import Checkpoint
    from avcurate.engines.transformers_engine import TransformersEngine
    from avcurate.errors import RowError

    media = clips(folder)
    rows = [{"video_id": n, "task": "AV Matching", "text": f"Is {n}?", "label": "Yes"} for n in "abcd"]
    (folder / "qa.json").write_text(json.dumps([*rows, {**rows[0], "video_id": "gone"}]))

    class Watched(TransformersEngine):
        """The embedded model, loaded once; the first row it sees fails until ``broken`` is cleared."""

        broken, failing, asked = True, None, 0

        def setup(self):
            if getattr(self, "model", None) is None:
                super().setup()

        def close(self):
            pass

        def sample(self, batch, cuts=None):
            self.asked += 1
            row = batch[0].key.split("/")[0]
            self.failing = self.failing or row
            if self.broken and row == self.failing:
                raise RowError("engine_failed", "the engine would not answer", "Ask again.")
            return super().sample(batch, cuts)

    engine = Watched(Checkpoint("embedded"))
    # before any fork, so that children share the loaded model
    engine.setup()

    def fix():
        engine.broken = False

    changes = {"annotations": folder / "qa.json", "media": media, "run.part_size": 2, "sampling.max_tokens": 4}
    return Case("probe-entropy", folder, changes, {"engine": engine}, fix, lambda: engine.asked)


CASES = {
    "label-pem": label_pem,
    "dominance": dominance,
    "objects": objects,
    "caption": caption,
    "hallucination": hallucination,
    "pair": pair,
    "swap": swap,
    "benchmark-hallucination": benchmark,
    "judge": judge,
    "grade": grade,
    "eval": evaluate,
    "leak": leak,
    "probe-entropy": probe,
}
LIKE = {t: "probe-entropy" for t in TASKS.names() if t.startswith("probe-")}
"""Tasks that run through the same code as a tested one, which a test asserts."""
NOT_ROWS = {"train": "training has steps, not rows; its tests are in tests/train"}
