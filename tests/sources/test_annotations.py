"""A Hugging Face dataset is an annotation source like any file."""

import json
from pathlib import Path

import pytest

from avcurate.errors import UserError
from avcurate.runner.rundir import RunDir
from avcurate.sources.annotations import digest, read_annotations
from tests import running
from tests.conftest import write_questions

datasets = pytest.importorskip("datasets")


def test_a_saved_dataset_gives_the_rows_of_its_split(tmp_path):
    rows = write_questions(tmp_path / "q.json", 7)
    parts = {"train": datasets.Dataset.from_list(rows[:4]), "validation": datasets.Dataset.from_list(rows[4:])}
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "saved"))
    named = f"hf:{tmp_path / 'saved'}@validation"

    assert [r.value for r in read_annotations(Path(named))] == rows[4:]
    assert digest(Path(named)) == digest(Path(named))
    with pytest.raises(UserError, match="splits train, validation"):
        list(read_annotations(tmp_path / "saved"))
    with pytest.raises(UserError, match="cannot be loaded"):
        list(read_annotations(Path("hf:" + str(tmp_path / "nothing"))))


def test_media_columns_are_not_decoded_and_questions_are_those_of_the_file(tmp_path, tiny_clip):
    rows = write_questions(tmp_path / "q.json", 5, clip=tiny_clip.name)
    data = tmp_path / "folder"
    data.mkdir()
    (data / "train.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    for name, source in (("file", tmp_path / "q.json"), ("hf", data)):
        changes = {"annotations": source, "media": tiny_clip.parent}
        assert running.ingest(tmp_path / name, changes).kept == 5
    one, other = (RunDir(tmp_path / n).parts("questions").read(0).to_pylist() for n in ("file", "hf"))
    assert one == other

    table = datasets.Dataset.from_dict({"media": [str(tiny_clip)], "question": ["Q?"], "answer": ["x"]})
    table.cast_column("media", datasets.Video(decode=False)).save_to_disk(str(tmp_path / "video"))
    (record,) = read_annotations(tmp_path / "video")
    assert Path(record.value["media"]).name == tiny_clip.name
