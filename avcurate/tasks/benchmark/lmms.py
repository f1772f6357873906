"""A benchmark as a task of lmms-eval, so that others run it with their own tool."""

from __future__ import annotations

import re
from pathlib import Path

from avcurate.store.atomic import write_text

# generated code: it runs in lmms-eval, without avcurate
UTILS = '''"""Functions of the task; written by avcurate."""

import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent


def doc_to_visual(doc):
    return [str(FOLDER / doc["media"])]


def doc_to_text(doc, lmms_eval_specific_kwargs=None):
    lettered = "\\n".join(f"{letter}. {choice}" for letter, choice in zip("ABCDEFGH", doc["choices"]))
    after = (lmms_eval_specific_kwargs or {}).get("post_prompt", "")
    return f"{doc['question']}\\n{lettered}{after}"


def doc_to_target(doc):
    return doc["answer"]


def answer_of(doc, text):
    """The choice that a response names, by letter or by its words; None if it names none or several."""
    said = text.strip()
    letter = re.fullmatch(r"\\(?([A-H])\\)?[.):]?(?:\\s.*)?", said, re.DOTALL)
    if letter and ord(letter[1]) - 65 < len(doc["choices"]):
        return doc["choices"][ord(letter[1]) - 65]
    named = [c for c in doc["choices"] if re.search(rf"(?<!\\w){re.escape(c)}(?!\\w)", said, re.IGNORECASE)]
    return named[0] if len(named) == 1 else None


def process_results(doc, results):
    right = float(answer_of(doc, results[0]) == doc["answer"])
    scores = {"accuracy": right}
    if doc["pair"] is not None:
        scores["pairs"] = {"pair": doc["pair"], "right": right}
    return scores


def mean_of_pairs(results):
    """Share of pairs of which both sides are answered right."""
    pairs = {}
    for r in results:
        pairs.setdefault(r["pair"], []).append(r["right"])
    whole = [min(v) for v in pairs.values() if len(v) == 2]
    return sum(whole) / len(whole) if whole else 0.0
'''

YAML = """# Written by avcurate. lmms-eval: --include_path <this folder> --tasks {task}
task: {task}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {questions}
test_split: test
output_type: generate_until
doc_to_visual: !function utils.doc_to_visual
doc_to_text: !function utils.doc_to_text
doc_to_target: !function utils.doc_to_target
process_results: !function utils.process_results
generation_kwargs:
  max_new_tokens: 16
  temperature: 0
  do_sample: false
lmms_eval_specific_kwargs:
  default:
    post_prompt: "\\nAnswer with the option's letter from the given choices directly."
metric_list:
  - metric: accuracy
    aggregation: mean
    higher_is_better: true
  - metric: pairs
    aggregation: !function utils.mean_of_pairs
    higher_is_better: true
metadata:
  - version: 1.0
"""


def task_name(title: str) -> str:
    """A title as the name of a task."""
    return "avcurate_" + (re.sub(r"[^a-z0-9]+", "_", title.casefold()).strip("_") or "benchmark")


def write_lmms(folder: Path, title: str) -> None:
    """Write the task into the benchmark's folder; it names the questions by their place at this time."""
    import json

    name = task_name(title)
    questions = json.dumps(str((folder / "questions.jsonl").resolve()))
    write_text(folder / "lmms_eval" / f"{name}.yaml", YAML.format(task=name, questions=questions))
    write_text(folder / "lmms_eval" / "utils.py", UTILS)
