"""A set published to a stand-in of the Hub and read back; interrupted, refused, private unless asked."""

import json
import os
import shutil
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from avcurate.errors import UserError
from avcurate.publish.hub import publish
from avcurate.publish.selection import Selection
from avcurate.publish.shards import Form, export_run, verify_shards
from tests.conftest import REPO
from tests.publish.hub_stand_in import serving
from tests.viewer.conftest import runs  # noqa: F401

pytest.importorskip("huggingface_hub")
pytest.importorskip("uvicorn")


@pytest.fixture
def shards(runs, tmp_path):  # noqa: F811
    facts = export_run(runs[0], tmp_path / "shards", Form(licence="cc-by-4.0"), Selection(0.3))
    assert facts["rows"]["train"] and facts["rows"]["validation"]
    return tmp_path / "shards"


@pytest.fixture
def hub(monkeypatch):
    with serving() as hub:
        monkeypatch.setenv("HF_TOKEN", "hf_right")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr("huggingface_hub._commit_api.is_xet_available", lambda: False)
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.address)
        yield hub


def reader(hub, code, tmp_path):
    """What a program says that reads from the stand-in, in a process of its own."""
    environment = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"}
    environment |= {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
    environment |= {"HF_TOKEN": "hf_right", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.slow
def test_what_was_published_is_read_back(hub, shards, tmp_path):
    pytest.importorskip("datasets")
    said = publish(shards, "lab/pem", endpoint=hub.address)
    repo = hub.repos["lab/pem"]
    assert repo["private"] is True and said["private"] and said["url"].startswith(hub.address)
    assert repo["files"] == {p.relative_to(shards).as_posix(): p.read_bytes() for p in shards.rglob("*") if p.is_file()}
    code = (
        "import json, datasets; d = datasets.load_dataset('lab/pem'); "
        "print(json.dumps({s: [r['question_id'] + (r['pem'] or '') for r in d[s]] for s in d}))"
    )
    read = reader(hub, code, tmp_path)
    stored = {
        split: [
            r["question_id"] + r["pem"]
            for p in sorted((shards / "data").glob(f"{split}-*.parquet"))
            for r in pq.read_table(p).to_pylist()
        ]
        for split in ("train", "validation")
    }
    assert read == stored
    # the token is in no file that was sent or written
    assert not any(b"hf_right" in data for data in repo["files"].values())


def test_an_interrupted_upload_goes_on_and_an_old_one_is_replaced(hub, shards, tmp_path, runs):  # noqa: F811
    hub.fail_after = 1
    with pytest.raises(UserError, match="could not be published"):
        publish(shards, "lab/pem", endpoint=hub.address)
    assert hub.repos["lab/pem"]["files"] == {} and len(hub.sent) == 1
    hub.fail_after = None
    publish(shards, "lab/pem", endpoint=hub.address)
    files = [p for p in shards.rglob("*.parquet")]
    assert len(hub.sent) == len(set(hub.sent)) == len(files) == 2
    export_run(runs[0], tmp_path / "other", Form(), Selection(0.0))
    publish(tmp_path / "other", "lab/pem", endpoint=hub.address)
    assert set(hub.repos["lab/pem"]["files"]) == {
        p.relative_to(tmp_path / "other").as_posix() for p in (tmp_path / "other").rglob("*") if p.is_file()
    }


def test_a_dry_run_sends_nothing_and_public_is_asked_for(hub, shards):
    said = publish(shards, "lab/pem", dry_run=True, endpoint=hub.address)
    assert said["files"] == len(said["paths"]) and "README.md" in said["paths"] and not hub.repos and not hub.tokens
    publish(shards, "lab/open", public=True, endpoint=hub.address)
    assert hub.repos["lab/open"]["private"] is False


def test_what_is_refused(hub, shards, monkeypatch, tmp_path):
    with pytest.raises(UserError, match="not OWNER/NAME"):
        publish(shards, "lab", endpoint=hub.address)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(UserError, match="could not be published"):
        publish(shards, "lab/pem", endpoint=hub.address)
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    facts = json.loads((shards / "shards.json").read_text())
    copy = shutil.copytree(shards, tmp_path / "unlicensed")
    (copy / "shards.json").write_text(json.dumps(facts | {"embedded": "video", "licence": ""}))
    with pytest.raises(UserError, match="under which licence"):
        publish(copy, "lab/pem", endpoint=hub.address)
    (shards / "README.md").write_text("changed")
    with pytest.raises(UserError, match="differ"):
        publish(shards, "lab/pem", endpoint=hub.address)
    assert not hub.repos


def test_the_card_and_croissant_say_what_it_is(shards):
    import mlcroissant

    card = (shards / "README.md").read_text()
    head = card.split("---")[1]
    assert "license: cc-by-4.0" in head and "split: validation" in head
    for said in (
        "played_failure 1",
        "τ_acc = 0.75",
        "expected to give the same label",
        "Media are not included",
        "avqa",
    ):
        assert said in card, said
    described = mlcroissant.Dataset(jsonld=shards / "croissant.json")
    assert not described.metadata.ctx.issues.errors
    ids = {r["questions/question_id"].decode() for r in described.records("questions")}
    stored = {i for p in (shards / "data").glob("*.parquet") for i in pq.read_table(p)["question_id"].to_pylist()}
    assert ids == stored
    assert not verify_shards(shards)["damaged"]


@pytest.mark.slow
def test_what_was_published_trains_when_it_is_fetched(hub, shards, tmp_path):
    """By the environment of training, which stands apart."""
    python = REPO / ".venv-train/bin/python"
    if not python.exists():
        pytest.skip("the environment of training is not there (make setup-train)")
    facts = json.loads((shards / "shards.json").read_text())
    # the run was answered by a script, which is no model to train
    facts["processor"] = {"model": "embedded", "revision": None}
    (shards / "shards.json").write_text(json.dumps(facts))
    publish(shards, "lab/pem", endpoint=hub.address)
    code = (
        "import json, huggingface_hub as h; "
        f"print(json.dumps(h.snapshot_download('lab/pem', repo_type='dataset', local_dir={str(tmp_path / 'got')!r})))"
    )
    fetched = reader(hub, code, tmp_path)
    recipe = {"steps": 1, "save_every": 1, "prompts": 2, "group": 2, "micro_batch": 4, "max_tokens": 8}
    options = [word for k, v in recipe.items() for word in ("--set", f"{k}={v}")]
    command = [python, "-m", "avcurate", "train", fetched, "-r", "train-demo-stage-2", *options, "-o", tmp_path / "out"]
    done = subprocess.run([*map(str, command), "--json"], capture_output=True, text=True, cwd=REPO)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "out/model/config.json").is_file()
    assert len((tmp_path / "out/metrics.jsonl").read_text().splitlines()) == 1
