"""What label-pem and the commands around it print."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from avcurate.metrics.pem import ABOUT
from avcurate.report.terminal import SETTING_NAMES, console, reasons


def print_summary(summary: dict[str, Any], out: Console) -> None:
    """Print labels, settings, savings."""
    total = sum(summary["labels"].values()) + sum(summary["discarded"].values())
    labels = Table("label", "questions", "share", title="Preferred Evidence Modality", title_justify="left")
    for name, n in summary["labels"].items():
        labels.add_row(name, f"{n:,}", _share(n, total))
    for name, n in summary["discarded"].items():
        labels.add_row(f"none: {ABOUT.get(name, name)}", f"{n:,}", _share(n, total))
    out.print(labels)
    columns = ("setting", "responses", "correct", "95 %", "unreadable", "cut off")
    settings = Table(*columns, title="Answers", title_justify="left")
    for name, s in summary["settings"].items():
        rate = "-" if s["accuracy"] is None else f"{s['accuracy']:.1%}"
        low, high = s["interval"]
        settings.add_row(
            SETTING_NAMES[name],
            f"{s['responses']:,}",
            rate,
            f"{low:.1%} to {high:.1%}",
            f"{s['unparseable']:,} ({_share(s['unparseable'], s['responses'])})",
            "-" if s["cut"] is None else f"{s['cut']:,} ({_share(s['cut'], s['responses'])})",
        )
    out.print(settings)
    if summary["blind"]:
        out.print(blind_line(summary["blind"]))
    saving = summary["early_exit"]
    if saving["on"]:
        out.print(
            f"Early exit sampled {saving['responses']:,} of {saving['exhaustive_responses']:,} responses: "
            f"{saving['saved']:.0%} saved, same labels.{_saved(saving)}"
        )


def _saved(saving: dict[str, Any]) -> str:
    """What that is in tokens, and in time where the engine's is known; estimates, as nothing of it was asked."""
    if not saving["exhaustive_tokens"]:
        return ""
    text = f" About {1 - saving['tokens'] / saving['exhaustive_tokens']:.0%} of the tokens"
    spent, without = saving["engine_seconds"], saving["exhaustive_seconds"]
    if not spent or not without:
        return f"{text}."
    return f"{text}: the engine worked {_time(spent)}, and would have worked some {_time(without)} without."


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def blind_line(blind: dict[str, Any]) -> str:
    """Labelled questions that are solved without their clip, by label."""
    shown = "without their clip" if blind["condition"] == "text" else "with another clip's sound and picture"
    counts = ", ".join(f"{n['solved_blind']:,} of {n['questions']:,} {name}" for name, n in blind["labels"].items())
    return f"Solved {shown}: {counts} (column solved_blind; `avcurate export --drop-blind` leaves them out)."


def _share(n: int, total: int) -> str:
    return f"{n / total:.1%}" if total else "-"


def print_plan(plan: dict[str, Any]) -> None:
    """Print what a run will cost."""
    table = Table("item", "estimate", title="Plan (no model was run, no weights were loaded)", title_justify="left")
    for key, value in plan.items():
        if isinstance(value, dict):
            value = reasons(value)
        table.add_row(key.replace("_", " "), f"{value:,}" if isinstance(value, (int, float)) else str(value))
    console().print(table)


def print_relabel(change: dict[str, Any]) -> None:
    """Print which labels changed between two pairs of thresholds."""
    out = console()
    old, new = change["before"], change["after"]
    out.print(f"tau_acc {old['tau_acc']:g} → {new['tau_acc']:g}, tau_cot {old['tau_cot']:g} → {new['tau_cot']:g}")
    if (cut := change.get("cut")) is not None:
        out.print(
            f"Labels with confidence of at least {cut['confidence']:.3f}: {cut['kept']:,} of {cut['of']:,} "
            f"({cut['kept'] / cut['of']:.1%}); of these {cut['precision']:.1%} are expected to repeat."
        )
    table = Table("before", "after", "questions", title="What changed", title_justify="left")
    for entry in change["changes"]:
        table.add_row(entry["before"], entry["after"], f"{entry['rows']:,}")
    out.print(table if change["changes"] else "No label changed.")
    out.print(f"{change['changed']:,} of {change['rows']:,} questions changed; {change['undecided']:,} are undecided.")
    if change["undecided"]:
        out.print("To decide those, run the same `avcurate label-pem` with these thresholds and --force.")


def print_sweep(rows: list[dict[str, Any]]) -> None:
    """Print labels over thresholds."""
    extra = [k for k in rows[0] if k not in ("tau_acc", "tau_cot")]
    table = Table("tau_acc", "tau_cot", *[e.replace("_", " ") for e in extra], title="Sweep", title_justify="left")
    for row in rows:
        cells = [f"{row[e]:.3f}" if isinstance(row[e], float) else str(row[e]) for e in extra]
        table.add_row(f"{row['tau_acc']:g}", f"{row['tau_cot']:g}", *cells)
    console().print(table)


def print_confusion(result: dict[str, Any]) -> None:
    """Print labels against a known truth."""
    names = list(result["confusion"])
    table = Table("truth \\ label", *names, "recall", title="Labels against the world's truth", title_justify="left")
    for truth, row in result["confusion"].items():
        recall = result.get(f"{truth}_recall")
        table.add_row(truth, *[str(row[n]) for n in names], "" if recall is None else f"{recall:.3f}")
    precision = [result.get(f"{n}_precision") for n in names]
    table.add_row("precision", *["" if p is None else f"{p:.3f}" for p in precision], "")
    console().print(table)
