"""Eight responses to one question on real vLLM: one request with n = 8 against eight requests.

Prefix caching is vLLM's default on both sides; the difference is the work of preparing and sending the media.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from avcurate.demo.build import draw_world
from avcurate.demo.clips import write_clip
from avcurate.engines.base import ListSource, Reply, Request, Sampling
from avcurate.engines.vllm_engine import VllmEngine
from avcurate.media.decode import DecodeSpec, decode
from avcurate.prompts import COT
from avcurate.recipe import ModelSpec
from benchmarks.harness import compare

QUESTIONS, N = 12, 8


def main() -> None:
    """Print the ratio of time and of prompt tokens sent."""
    engine = VllmEngine(ModelSpec(engine="vllm", model="embedded"))
    engine.setup()
    sampling = Sampling(temperature=1.0, max_tokens=120)
    with tempfile.TemporaryDirectory() as scratch:
        together, separate = [], []
        for item in draw_world(QUESTIONS, 0):
            file = Path(scratch, f"{item.clip.name}.mp4")
            if not file.exists():
                write_clip(item.clip, file)
            clip = decode(file, DecodeSpec(max_frames=32))
            prompt = COT.render(item.draft.text, item.draft.choices)
            media = (prompt, clip.audio, clip.frames, clip.fps)
            together.append(Request(f"{item.number}", *media, N, 100 * item.number, sampling))
            separate += [Request(f"{item.number}-{i}", *media, 1, 100 * item.number + i, sampling) for i in range(N)]
    tokens = {"one": 0, "eight": 0}

    def ask(name: str, requests: list[Request]) -> None:
        tokens[name] = 0
        for reply in engine.generate(ListSource(requests)):
            assert isinstance(reply, Reply), reply
            tokens[name] += reply.prompt_tokens

    ask("one", together[:1])
    compare(
        "n = 8: eight requests / one request, time", lambda: ask("one", together), lambda: ask("eight", separate), 3
    )
    ratio = tokens["eight"] / tokens["one"]
    print(json.dumps({"what": "n = 8: eight requests / one request, prompt tokens sent", "ratio": ratio}))


if __name__ == "__main__":
    main()
