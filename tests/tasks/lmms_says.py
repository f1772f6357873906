"""Run by an interpreter that has lmms-eval: evaluates a task folder on models that say something known.

Arguments: the folder. Prints one JSON object: scores by model, and what the first question was shown as.
"""

import json
import sys
from pathlib import Path

from lmms_eval.api.model import lmms
from lmms_eval.evaluator import simple_evaluate
from lmms_eval.tasks import TaskManager


class Says(lmms):
    """Answers what it is made to, given the question's record."""

    def __init__(self, say):
        super().__init__()
        self.say, self.texts = say, []

    def generate_until(self, requests):
        responses = []
        for request in requests:
            text, _, visual, number, task, split = request.args
            record = self.task_dict[task][split][number]
            assert all(Path(p).is_file() for p in visual(record))
            self.texts.append(text)
            responses.append(self.say(record))
        return responses

    def loglikelihood(self, requests):
        raise AssertionError("not asked for")

    def generate_until_multi_round(self, requests):
        raise AssertionError("not asked for")


folder = Path(sys.argv[1])
name = next(folder.glob("*.yaml")).stem
manager = TaskManager(include_path=str(folder), include_defaults=False)
scores = {}
for model, say in {
    "right": lambda r: r["answer"],
    "letter": lambda r: "ABCDEFGH"[r["choices"].index(r["answer"])] + ".",
    "first": lambda r: "A",
    "nothing": lambda r: "?",
}.items():
    said = Says(say)
    found = simple_evaluate(model=said, tasks=[name], task_manager=manager, bootstrap_iters=0, log_samples=False)
    results = found["results"][name]
    scores[model] = {k: results[f"{k},none"] for k in ("accuracy", "pairs")}
print("RESULT " + json.dumps({"scores": scores, "questions": len(said.texts), "text": said.texts[0]}))
