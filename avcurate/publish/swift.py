"""Labelled rows for ms-swift: messages with media files, rewards as a plugin, and the commands that use them.

For training at a scale beyond the included trainer (tensor- and expert-parallel Megatron).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from avcurate.errors import MediaError, UserError
from avcurate.media.extract import extract
from avcurate.prompts import SEPARATE_THEN_FUSE
from avcurate.publish.selection import SPLITS, Selection, choose
from avcurate.publish.shards import refuse_export
from avcurate.runner.rundir import RunDir
from avcurate.store.atomic import write_json, write_text

Row = dict[str, Any]

PLUGIN = '''"""Rewards of avcurate for ms-swift 4: the functions `avcurate train` uses. Written by `avcurate export`.

Needs avcurate beside ms-swift (`pip install avcurate`, no extras: it installs neither torch nor transformers).
"""

from avcurate.train.rewards import answer_accuracy, pem_match, preference_and_structure, structure, think_format
from swift.rewards import ORM, orms


class AnswerAccuracy(ORM):
    """R_acc (SFFL Eq. 8)."""

    def __call__(self, completions, solution, choices, **_):
        return [answer_accuracy(t, s, c) for t, s, c in zip(completions, solution, choices, strict=True)]


class PreferenceAndStructure(ORM):
    """R_mps (SFFL Eq. 7)."""

    def __call__(self, completions, pem, **_):
        return [preference_and_structure(t, p) for t, p in zip(completions, pem, strict=True)]


class PemMatch(ORM):
    """1 where the response names the question's PEM."""

    def __call__(self, completions, pem, **_):
        return [pem_match(t, p) for t, p in zip(completions, pem, strict=True)]


class Structure(ORM):
    """1 where the response is <mod> <v> <a> <sum> <ans>."""

    def __call__(self, completions, **_):
        return [structure(t) for t in completions]


class ThinkFormat(ORM):
    """1 where the response is <think> and <answer>, each once."""

    def __call__(self, completions, **_):
        return [think_format(t) for t in completions]


orms["avcurate_accuracy"] = AnswerAccuracy
orms["avcurate_preference"] = PreferenceAndStructure
orms["avcurate_pem"] = PemMatch
orms["avcurate_structure"] = Structure
orms["avcurate_format"] = ThinkFormat
'''

README = """# Questions with their Preferred Evidence Modality, for ms-swift

{train:,} train and {validation:,} validation questions; {dead:,} whose media could not be read are in `dead.jsonl`.
Rows: `messages`, `videos`, `audios`, `solution`, `choices`, `pem`, `question_id`. Sound is in `audio/` (wav, 16 kHz
mono), beside the picture and not interleaved: leave `USE_AUDIO_IN_VIDEO` off.

SFFL, stage 1 (PEM and structure) and stage 2 (answers too), with LoRA:

    swift rlhf --rlhf_type grpo --model Qwen/Qwen3-Omni-30B-A3B-Instruct --tuner_type lora \\
      --dataset train.jsonl --external_plugins avcurate_rewards.py \\
      --reward_funcs avcurate_preference --num_generations 4 --learning_rate 1e-5 --beta 0.04 \\
      --max_completion_length 1200 --output_dir stage-1
    swift rlhf --rlhf_type grpo --model Qwen/Qwen3-Omni-30B-A3B-Instruct --adapters stage-1/CHECKPOINT \\
      --tuner_type lora --dataset train.jsonl --external_plugins avcurate_rewards.py \\
      --reward_funcs avcurate_accuracy avcurate_preference --reward_weights 1.0 0.2 \\
      --num_generations 4 --learning_rate 1e-6 --beta 0.04 --max_completion_length 1200 --output_dir stage-2

The same with Megatron, on several machines: `megatron rlhf --rlhf_type grpo` with `--tensor_model_parallel_size` and
`--expert_model_parallel_size`, the same dataset, plugin and rewards.

Written against ms-swift 4.6; these commands were not run by avcurate's authors. Set batch sizes for your machines
(the paper: 96 completions a step in stage 1, 48 in stage 2).
"""


def export_swift(
    run: RunDir,
    out: Path,
    selection: Selection,
    workers: int = 2,
    media: Path | None = None,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> Row:
    """Write ``train.jsonl``, ``validation.jsonl``, ``dead.jsonl``, media, ``avcurate_rewards.py`` and ``README.md``.

    Raises:
        UserError: nothing is labelled, or the folder is not empty.
    """
    record = refuse_export(run, out)
    chosen = choose(run, selection)
    media = run.media(record, media)
    rows = {split: [r for t in chosen.rows(run, split) for r in t.to_pylist()] for split in SPLITS}
    total = sum(map(len, rows.values()))
    if not total:
        raise UserError("no row has a label at this confidence.", "Lower --min-confidence, or look at the report.")
    out.mkdir(parents=True, exist_ok=True)
    files = _Files(media, out)
    done, dead, counts = 0, list[Row](), dict.fromkeys(SPLITS, 0)
    with ThreadPoolExecutor(workers) as pool:
        for split in SPLITS:
            lines = []
            for row, paths in zip(rows[split], pool.map(files.of, rows[split]), strict=True):
                done += 1
                tick(done, total)
                if isinstance(paths, MediaError):
                    dead.append({"question_id": row["question_id"], "reason": paths.reason, "message": str(paths)})
                    continue
                lines.append(_line(row, *paths))
            counts[split] = len(lines)
            write_text(out / f"{split}.jsonl", "".join(_json_lines(lines)))
    write_text(out / "dead.jsonl", "".join(_json_lines(dead)))
    write_text(out / "avcurate_rewards.py", PLUGIN)
    write_text(out / "README.md", README.format(**counts, dead=len(dead)))
    facts = {"rows": counts, "dead": len(dead), "form": "ms-swift", "out": str(out)}
    write_json(out / "export.json", facts)
    return facts


def _json_lines(rows: list[Row]) -> Iterator[str]:
    return (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _line(row: Row, video: str, audio: str) -> Row:
    prompt = SEPARATE_THEN_FUSE.render(row["question"], row["choices"])
    # a question with a placeholder of its own would refer to media that do not exist
    prompt = re.sub(r"<+(video|audio|image)>+", r"\1", prompt)
    return {
        "messages": [{"role": "user", "content": f"<video><audio>{prompt}"}],
        "videos": [video],
        "audios": [audio],
        "solution": row["answer"],
        "choices": row["choices"],
        "pem": row["pem"],
        "question_id": row["question_id"],
    }


class _Files:
    """Media files of questions; those of the same clip and part are written once."""

    def __init__(self, media: Path, out: Path) -> None:
        self._media, self._out = media, out

    def of(self, row: Row) -> tuple[str, str] | MediaError:
        """Absolute paths of a question's video and audio, or why there are none."""
        clip, start, end = self._media / row["media"], row["start"], row["end"]
        name = hashlib.sha256(json.dumps([row["media"], start, end]).encode()).hexdigest()[:16]
        try:
            sound = self._out / "audio" / f"{name}.wav"
            if not sound.exists():
                extract(clip, sound, "audio", start, end)
            picture = clip
            if start is not None or end is not None:
                picture = self._out / "video" / f"{name}.mp4"
                if not picture.exists():
                    extract(clip, picture, "visual", start, end)
        except MediaError as e:
            return e
        return str(picture.resolve()), str(sound.resolve())
