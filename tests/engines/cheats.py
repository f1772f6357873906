"""An honest engine of a few lines, and engines that cheat: they lose audio, or serve what is stale."""

import hashlib

import numpy as np

from avcurate.engines.base import Engine, Failure, Perception, Reply, Response


class Honest(Engine):
    """Hears and sees by arithmetic: its answer and log-probabilities follow from the samples and pixels."""

    name = "honest"

    def __init__(self):
        self.asked = 0
        self.truth = {}

    def identity(self):
        return {"engine": self.name}

    def setup(self):
        pass

    def delivered(self, request):
        """What reaches the model; cheats override this."""
        return request.audio, request.frames

    def expected_tokens(self, request):
        return self.tokens(request.audio, request.frames)

    @staticmethod
    def tokens(audio, frames):
        return (0 if audio is None else len(audio) // 640), (0 if frames is None else 4 * (len(frames) // 2))

    def generate(self, source):
        while (request := source.take(wait=True)) is not None:
            self.asked += request.n
            audio, frames = self.delivered(request)
            answer = self.truth.get((request.key.split("/")[0], audio is not None, frames is not None))
            if answer == "fail":
                yield Failure(request.key, "engine_error", "on purpose")
                continue
            text = f"<think>so</think><answer>{answer}</answer>"
            responses = tuple(Response(request.seed + i, text, "stop", 5) for i in range(request.n))
            yield Reply(request.key, responses, 50, *self.tokens(audio, frames))

    def perceive(self, request):
        audio, frames = self.delivered(request)
        digest = hashlib.sha256()
        for part in (audio, frames):
            digest.update(b"-" if part is None else np.ascontiguousarray(part).tobytes())
        values = np.frombuffer(digest.digest()[:20], np.uint8) / 64
        return Perception(50, *self.tokens(audio, frames), {str(i): -float(v) for i, v in enumerate(values)})


class DropsAudio(Honest):
    """Never passes audio on, as a server with use_audio_in_video set wrong does."""

    def delivered(self, request):
        return None, request.frames


class DropsAudioLater(Honest):
    """Hears at first; after some answers the audio is gone."""

    after = 10

    def delivered(self, request):
        return (None if self.asked > self.after else request.audio), request.frames


class StaleAudio(Honest):
    """Caches audio by the picture it came with: the same picture with other audio gets the old one."""

    def __init__(self):
        super().__init__()
        self.cache = {}

    def delivered(self, request):
        if request.frames is None or request.audio is None:
            return request.audio, request.frames
        key = hashlib.sha256(request.frames.tobytes()).digest()
        return self.cache.setdefault(key, request.audio), request.frames


class StaleAudioLater(StaleAudio):
    """Begins to serve stale audio in the middle of a run; the token counts stay right."""

    after = 10

    def delivered(self, request):
        if self.asked <= self.after:
            return request.audio, request.frames
        return super().delivered(request)


class Deaf(Honest):
    """Counts the audio tokens and ignores what is in them."""

    def delivered(self, request):
        audio = None if request.audio is None else np.zeros_like(request.audio)
        return audio, request.frames


class Blind(Honest):
    """Counts the video tokens and ignores what is in them."""

    def delivered(self, request):
        frames = None if request.frames is None else np.zeros_like(request.frames)
        return request.audio, frames


class LosesResponses(Honest):
    """Gives one response too few to every third request."""

    def generate(self, source):
        for i, reply in enumerate(super().generate(source)):
            yield reply if i % 3 else Reply(reply.key, reply.responses[:-1], reply.prompt_tokens, *self.media(reply))

    @staticmethod
    def media(reply):
        return reply.audio_tokens, reply.video_tokens
