"""One folder per task: its recipe, its stages, its summary, its page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from avcurate.registry import Registry

if TYPE_CHECKING:
    from avcurate.tasks.base import Task

TASKS: Registry[type[Task[Any]]] = Registry(
    "task",
    "avcurate.tasks",
    {
        "label-pem": "avcurate.tasks.label_pem.task:LabelPem",
        "benchmark-hallucination": "avcurate.tasks.benchmark.task:HallucinationBenchmark",
        "caption": "avcurate.tasks.caption.task:Caption",
        "dominance": "avcurate.tasks.dominance.task:Dominance",
        "eval": "avcurate.tasks.evaluate.task:Evaluate",
        "grade": "avcurate.tasks.grade.task:Grade",
        "hallucination": "avcurate.tasks.hallucination.task:Hallucination",
        "judge": "avcurate.tasks.judge.task:Judge",
        "leak": "avcurate.tasks.leak.task:Leak",
        "objects": "avcurate.tasks.objects.task:Objects",
        "pair": "avcurate.tasks.pair.task:Pair",
        "probe-attention": "avcurate.tasks.probe.task:ProbeAttention",
        "probe-entropy": "avcurate.tasks.probe.task:ProbeEntropy",
        "probe-knockout": "avcurate.tasks.probe.task:ProbeKnockout",
        "probe-lens": "avcurate.tasks.probe.task:ProbeLens",
        "probe-masking": "avcurate.tasks.probe.task:ProbeMasking",
        "probe-preference": "avcurate.tasks.probe.task:ProbePreference",
        "probe-shift": "avcurate.tasks.probe.task:ProbeShift",
        "probe-sinks": "avcurate.tasks.probe.hub_tasks:ProbeSinks",
        "probe-trace": "avcurate.tasks.probe.hub_tasks:ProbeTrace",
        "swap": "avcurate.tasks.swap.task:Swap",
        "train": "avcurate.tasks.train.task:Train",
    },
)
