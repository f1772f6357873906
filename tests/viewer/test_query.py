"""What is typed finds what it says, compared with filtering the stored rows in Python."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avcurate.errors import UserError
from avcurate.viewer.index import Column
from avcurate.viewer.query import parse
from avcurate.viewer.search import search
from tests.running import rows_of
from tests.viewer.conftest import HOSTILE


def keys(index, text, **how):
    return {r["key"] for r in search(index, 0, text, limit=200, **how)["rows"]}


def test_conditions_mean_what_they_say(index, runs):
    rows = rows_of(runs[0], "label")
    wanted = {
        "pem:Audio": lambda r: r["pem"] == "Audio",
        "pem:audio pem:Visual": lambda r: r["pem"] in ("Audio", "Visual"),
        "pem:none state:kept": lambda r: r["pem"] is None,
        "-pem:Audio state:kept": lambda r: r["pem"] != "Audio",
        "a_k>=8 state:kept": lambda r: r["a_k"] is not None and r["a_k"] >= 8,
        "-a_k>=8 state:kept": lambda r: r["a_k"] is None or r["a_k"] < 8,
        "confidence<0.9": lambda r: r["confidence"] is not None and r["confidence"] < 0.9,
        "row=5": lambda r: r["row"] == 5,
        "a_solved:true": lambda r: r["a_solved"] is True,
        "'scene 1'": lambda r: False,
        # a number is no word: only what is written is searched
        "0.75 state:kept": lambda r: False,
        '"scene 1" state:kept': lambda r: "scene 1" in r["question"].lower(),
        'SCENE -"scene 1" state:kept': lambda r: "scene" in r["question"] and "scene 1" not in r["question"],
        "av_disagreement>0": lambda r: len(set(r["av_answers"] or [])) > 1,
        "a_disagreement<=0": lambda r: r["a_asked"] and len(set(r["a_answers"])) == 1,
    }
    for text, meant in wanted.items():
        assert keys(index, text) == {r["question_id"] for r in rows if meant(r)}, text
    assert keys(index, "onerror") == {r["question_id"] for r in rows if r["question"] == HOSTILE}


def test_words_in_responses_are_found_there_alone(index, runs):
    rows = rows_of(runs[0], "label")
    said = {
        r["question_id"]
        for r in rows
        if any("looks green" in x["text"].lower() for s in ("a", "v", "av") for x in r[f"{s}_responses"] or [])
    }
    assert keys(index, 'in:responses "LOOKS green"') == said and 0 < len(said) < len(rows)
    assert not keys(index, '"looks green"')
    assert keys(index, 'in:responses "looks green" pem:Visual') == said & keys(index, "pem:Visual")


def test_sorting_is_total_and_pages_meet(index):
    for column in ("confidence", "pem", "av_k", "question"):
        whole = [r["key"] for r in search(index, 0, "", column, limit=200)["rows"]]
        paged = [r["key"] for o in range(0, 30, 7) for r in search(index, 0, "", column, offset=o, limit=7)["rows"]]
        assert whole == paged and len(set(whole)) == 30
    low, high = (search(index, 0, "", "confidence", descending=d)["rows"][0]["sorted"] for d in (False, True))
    assert low < high


def test_a_filter_is_counted_without_its_own_condition(index):
    def counts(text):
        return {v["value"]: v["n"] for f in search(index, 0, text)["facets"] if f["name"] == "pem" for v in f["values"]}

    assert counts("pem:Audio") == counts("")
    assert sum(counts("state:dead").values()) == 2


def test_two_runs_are_compared(both, runs):
    one, two = ({r["question_id"]: r["pem"] for r in rows_of(run, "label", ["question_id", "pem"])} for run in runs)
    changed = {k for k in one if k in two and one[k] != two[k]}
    assert keys(both, "changed:label state:kept") == changed and 0 < len(changed) < len(one)
    assert keys(both, "other.pem:Audio state:kept") == {k for k in one if two.get(k) == "Audio"}
    assert keys(both, "-changed:label state:kept") == {k for k in one if k not in changed}
    row = next(r for r in search(both, 0, "changed:label state:kept")["rows"])
    assert row["other"] == two[row["key"]] and row["paired"]
    assert len(keys(both, "changed:answer")) == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("pam:Audio", "no column 'pam'"),
        ("confidence<much", "is no number"),
        ("changed:label", "there is one run"),
        ("other.pem:Audio", "no column 'other.pem'"),
        ("x" * 2001, "at most 2,000"),
    ],
)
def test_a_faulty_search_says_what_is_wrong(index, text, says):
    with pytest.raises(UserError, match=says):
        search(index, 0, text)
    with pytest.raises(UserError, match="to sort by"):
        search(index, 0, "", "x; DROP TABLE run0")


COLUMNS = {"pem": Column("pem", "text"), "n": Column("n", "number")}
PIECES = ("pem:", "n<", '"', "-", "'", ";", "x", " ", "other.", "%")


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(), st.lists(st.sampled_from(PIECES)).map("".join)))
def test_no_text_becomes_sql(text):
    import duckdb

    con = duckdb.connect()
    con.execute("CREATE TABLE run0 AS SELECT 'a' AS _key, 'x' AS _text, 'y' AS pem, 1 AS n")
    try:
        where, parameters = parse(text, COLUMNS, {}, "pem").where()
    except UserError:
        return
    con.execute(f"SELECT count(*) FROM run0 r WHERE {where}", parameters).fetchall()
    assert con.execute("SELECT count(*) FROM run0").fetchall() == [(1,)]


def test_peoples_verdicts_are_columns_and_what_they_reject_is_left_out(runs, tmp_path):
    import shutil

    from avcurate.publish.selection import Selection
    from avcurate.publish.shards import Form, export_run
    from avcurate.review.items import all_items
    from avcurate.review.verdicts import add_verdict, rejected_items, verdict_columns
    from avcurate.runner.rundir import RunDir
    from avcurate.tasks.label_pem.view import LABEL_VIEW
    from avcurate.viewer.index import Index

    folder = tmp_path / "viewed"
    shutil.copytree(runs[0].root, folder / "one")
    shutil.copytree(runs[0].root.parent / "clips", folder / "clips")
    run = RunDir(folder / "one")
    index = Index([(run, LABEL_VIEW)], verdict_columns)
    items = all_items(run, 0)
    wrong, right, unsure = items[:3]
    add_verdict(run, "ann", wrong, next(v for v in wrong.keys.values() if v != wrong.expected), 1.0)
    add_verdict(run, "ann", right, right.expected, 1.0)
    add_verdict(run, "ann", unsure, "cannot tell", 1.0)
    index.refresh(force=True)
    assert keys(index, "reviewed:rejected") == {wrong.id} == rejected_items(run)
    assert keys(index, "reviewed:confirmed") == {right.id}
    assert keys(index, 'verdict_ann:"cannot tell"') == {unsure.id}
    counts = [
        sum(export_run(run, tmp_path / name, Form("parquet"), Selection(0.0, 0.0, 0, dropped=dropped))["rows"].values())
        for name, dropped in (("all", frozenset()), ("rest", frozenset(rejected_items(run))))
    ]
    assert counts == [len(items), len(items) - 1]
