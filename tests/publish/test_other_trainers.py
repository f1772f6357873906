"""The page on other trainers: its code runs, and its rewards are ours."""

import json
import re
import subprocess
import sys

import pyarrow.parquet as pq

from tests.conftest import REPO

GOOD = "<mod>{pem}</mod><v>a ring</v><a>a bell</a><sum>so bell</sum><ans>{answer}</ans>"


def block(title):
    page = (REPO / "docs/other-trainers.md").read_text("utf-8")
    return re.search(rf'```python title="{title}"\n(.*?)```', page, re.DOTALL)[1]


def test_rows_for_verl_and_their_reward(tmp_path):
    row = {
        "messages": [{"role": "user", "content": "<video><audio>What rings?"}],
        "videos": ["/media/a.mp4"],
        "audios": ["/media/a.wav"],
        "solution": "bell",
        "choices": ["bell", "drum"],
        "pem": "Audio",
        "question_id": "q1",
    }
    (tmp_path / "train.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "validation.jsonl").write_text("")
    (tmp_path / "to_verl.py").write_text(block("to_verl.py"))
    subprocess.run([sys.executable, tmp_path / "to_verl.py", tmp_path], check=True)
    (made,) = pq.read_table(tmp_path / "train.parquet").to_pylist()
    assert made["prompt"] == row["messages"] and made["videos"] == [{"video": "/media/a.mp4"}]
    assert made["audios"] == row["audios"] and not (tmp_path / "validation.parquet").exists()
    scope = {}
    exec(block("avcurate_reward.py"), scope)
    score = scope["compute_score"]
    info, truth = made["extra_info"], made["reward_model"]["ground_truth"]
    for pem, answer, expected in (("Audio", "bell", 1.2), ("Visual", "bell", 1.0), ("Audio", "drum", 0.2)):
        text = GOOD.format(pem=pem, answer=answer)
        assert abs(score("avcurate", text, truth, extra_info=info) - expected) < 1e-9
    assert score("avcurate", "bell", truth, extra_info=info) < 1
