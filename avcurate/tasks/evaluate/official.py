"""An evaluation by the benchmark's own rule and groups, beside ours."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from avcurate.errors import UserError
from avcurate.metrics.scorers import SCORERS, Scorer
from avcurate.metrics.statistics import wilson
from avcurate.prompts import Prompt, recorded_prompt
from avcurate.runner.rundir import RunDir
from avcurate.sources.annotations import read_annotations
from avcurate.sources.formats import FORMATS
from avcurate.tasks.evaluate.answered import Answered


def official_measures(run: RunDir, by_condition: dict[str, list[Answered]], lost: int) -> dict[str, dict[str, Any]]:
    """Per condition the accuracy by the benchmark's own rule, and both rules by its own groups.

    Empty where the questions are of several formats, or of one that has neither rule nor groups. Groups are read from
    the annotations; where those are gone there are none. ``lost`` questions are wrong by any rule.
    """
    columns = ["question_id", "source", "row", "choices"]
    rows = {r["question_id"]: r for t in run.parts("eval").rows(columns=columns) for r in t.to_pylist()}
    sources = {r["source"] for r in rows.values()}
    if len(sources) != 1 or (name := sources.pop()) not in FORMATS:
        return {}
    form = FORMATS.get(name)
    scorer = SCORERS.get(form.scorer)
    if scorer is None and not form.groups:
        return {}
    groups = _groups(run, form.groups, {r["row"]: q for q, r in rows.items()})
    prompt = recorded_prompt(run.record()["recipe"])
    choices = {q: r["choices"] for q, r in rows.items()}
    return {
        condition: _measured(answered, choices, groups, scorer, prompt, lost)
        for condition, answered in by_condition.items()
    }


def _groups(run: RunDir, fields: tuple[str, ...], questions: dict[int, str]) -> dict[str, list[tuple[str, str]]]:
    """(field, value) of each question."""
    path = run.path_of("annotations")
    groups: dict[str, list[tuple[str, str]]] = {}
    if path is None or not fields:
        return groups
    try:
        for record in read_annotations(path, salvage=True):
            if record.row in questions and record.value is not None:
                value = record.value
                groups[questions[record.row]] = [
                    (f, _written(value[f])) for f in fields if value.get(f) not in (None, "")
                ]
    except (UserError, OSError):
        return {}
    return groups


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _measured(
    answered: list[Answered],
    choices: dict[str, list[str]],
    groups: dict[str, list[tuple[str, str]]],
    scorer: Scorer | None,
    prompt: Prompt,
    lost: int,
) -> dict[str, Any]:
    ours, theirs = 0.0, 0.0
    counts: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    for a in answered:
        right = [scorer.right(prompt.read(t), choices[a.question_id], a.truth) for t in a.texts] if scorer else []
        official = sum(right) / len(right) if right else 0.0
        ours, theirs = ours + a.score, theirs + official
        for group in groups.get(a.question_id, ()):
            for i, value in enumerate((1.0, a.score, official)):
                counts[group][i] += value
    total = len(answered) + lost
    measures: dict[str, Any] = {
        "by": [
            {"field": f, "value": v, "questions": int(n), "ours": o / n, "official": t / n if scorer else None}
            for (f, v), (n, o, t) in sorted(counts.items())
        ]
    }
    if scorer is not None and total:
        measures |= {
            "rule": scorer.name,
            "about": scorer.about,
            "source": scorer.source,
            "accuracy": theirs / total,
            "interval": list(wilson(round(theirs), total)),
        }
    return measures
