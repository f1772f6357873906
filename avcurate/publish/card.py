"""The dataset card: what was made of what, by which model and rule, how sure it is, and under which licence."""

from __future__ import annotations

from typing import Any

import yaml

from avcurate.metrics.pem import ABOUT
from avcurate.prompts import recorded_prompt


def card(facts: dict[str, Any], recipe: dict[str, Any], ending: str, stages: dict[str, Any]) -> str:
    """Markdown with the YAML header that the Hugging Face Hub reads.

    Args:
        facts: of the export, as in ``shards.json``.
        recipe: of the run; ending: of the data files.
        stages: rows in, kept, filtered and dead of each stage of the run.
    """
    files = [{"split": s, "path": f"data/{s}-*.{ending}"} for s, n in facts["rows"].items() if n]
    labelled = facts["labelled"]
    header: dict[str, Any] = {"configs": [{"config_name": "default", "data_files": files}]}
    if facts["licence"]:
        header["license"] = facts["licence"]
    tags = ["preferred-evidence-modality"] if labelled else ["question-answering"]
    header |= {"tags": ["audio-visual", *tags, "avcurate"], "size_categories": [_size(sum(facts["rows"].values()))]}
    body = _labelled(facts, recipe) if labelled else _plain(facts)
    top = yaml.safe_dump(header, sort_keys=False, allow_unicode=True)
    return f"---\n{top}---\n{body}\n{_selected(facts)}\n{_funnel(stages)}\n{_licence(facts)}\n"


def _labelled(facts: dict[str, Any], recipe: dict[str, Any]) -> str:
    thresholds = facts["thresholds"]
    mix = "\n".join(f"| {n if n not in ABOUT else f'none: {ABOUT[n]}'} | {c:,} |" for n, c in facts["mix"].items())
    return f"""# Questions with their Preferred Evidence Modality

Made by avcurate {facts["avcurate"]} with {recipe["model"]["model"]} ({recipe["model"]["engine"]}), prompt
{recorded_prompt(recipe).name}, n = {recipe["n"]}, τ_acc = {thresholds["tau_acc"]}, τ_cot = {thresholds["tau_cot"]}.
One row per question; its columns are described in the Arrow schema of the files (schema version
{facts["schema_version"]}).

| label, or reason for none (before selection) | questions |
|---|---|
{mix}

{_sure(facts)}"""


def _sure(facts: dict[str, Any]) -> str:
    said = [
        f"A new sample of responses is expected to give the same label to {facts['expected']:.1%} of these questions."
    ]
    if (again := facts["retest"]) is not None:
        measured = again["reliability"]
        n, repeat, stated = measured["n"], measured["observed"], measured["stated"]
        said.append(f"Asked again, {repeat:.1%} of {n:,} labels repeated (stated: {stated:.1%}).")
    if (review := facts["review"]) is not None and review["n"]:
        low, high = review["interval"]
        share, of = f"{review['value']:.1%} of all labels", f"{review['n']:,} reviewed"
        said.append(f"People would confirm {share} (95 %: {low:.1%} to {high:.1%}; {of}).")
    return "\n".join(said)


def _plain(facts: dict[str, Any]) -> str:
    return f"""# Questions on clips

Exported by avcurate {facts["avcurate"]} without labels: `pem` is empty."""


def _selected(facts: dict[str, Any]) -> str:
    rows, split = facts["rows"], facts["split"]
    lines = [
        "",
        f"Split by source video (seed {split['seed']}): {rows['train']:,} train, {rows['validation']:,} validation.",
    ]
    if facts["weights"]:
        groups = facts["weights"]["train"] or facts["weights"]["validation"]
        listed = ", ".join(f"{n} {w:.3g}" for n, w in groups.items())
        lines.append(f"The column `weight` makes each {facts['balance']} count alike: {listed}.")
    return "\n".join(lines)


def _funnel(stages: dict[str, Any]) -> str:
    def said(counts: dict[str, int]) -> str:
        return ", ".join(f"{n} {c:,}" for n, c in counts.items()) or "0"

    rows = [
        f"| {name} | {s['in']:,} | {s['kept']:,} | {said(s['filtered'])} | {said(s['dead'])} |"
        for name, s in stages.items()
    ]
    return "\n".join(["| stage | in | kept | filtered | dead |", "|---|---|---|---|---|", *rows, ""])


def _licence(facts: dict[str, Any]) -> str:
    media = {
        None: "Media are not included: `media` is a path relative to the folder of the clips.",
        "audio": "The sound of each clip is included as the column `clip`.",
        "video": "Each clip is included as the column `clip`.",
        "webdataset": "Each clip is included beside its row.",
    }[facts["embedded"]]
    stated = f"Licence, as stated by who exported it: {facts['licence']}." if facts["licence"] else ""
    sources = ", ".join(facts["sources"]) or "unknown"
    owned = f"Questions come from: {sources}; they and the clips carry the licences of their sources."
    return f"{media} {owned} {stated}".strip()


def _size(n: int) -> str:
    for top, name in ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")):
        if n < top:
            return name
    return "1M<n<10M"
