"""The columns of every table: their names, Arrow types and meanings.

The published contract in ``schemas/*.json`` is generated from this file and checked by a test. A
change that a reader could notice raises ``SCHEMA_VERSION``.
"""

from __future__ import annotations

from enum import StrEnum

import pyarrow as pa

from avcurate.columns import Column
from avcurate.schema_benchmark import CLIP_FACTS, EVIDENCE, ITEM, MADE_CLIP
from avcurate.schema_probes import PROBES

SCHEMA_VERSION = 3


class Setting(StrEnum):
    """What the model is shown: audio only, video only, or both."""

    A = "a"
    V = "v"
    AV = "av"

    @property
    def audio(self) -> bool:
        """Whether this setting sends the audio."""
        return self is not Setting.V

    @property
    def video(self) -> bool:
        """Whether this setting sends the video."""
        return self is not Setting.A


class PEM(StrEnum):
    """Preferred Evidence Modality (SFFL §3.1)."""

    AUDIO = "Audio"
    VISUAL = "Visual"
    AUDIO_VISUAL = "Audio-Visual"


RESPONSES = pa.list_(
    pa.struct(
        [
            ("seed", pa.int64()),
            ("text", pa.string()),
            ("finish_reason", pa.string()),
            ("tokens", pa.int32()),
        ]
    )
)

DECODED = pa.list_(
    pa.struct(
        [
            ("track", pa.string()),
            ("expected_seconds", pa.float64()),
            ("decoded_seconds", pa.float64()),
            ("units", pa.int64()),
        ]
    )
)

LOGPROBS = pa.list_(pa.struct([("token", pa.string()), ("logprob", pa.float64())]))

QUESTION: tuple[Column, ...] = (
    Column("question_id", pa.string(), "Hash of source, video, cut, question, choices and answer; 16 hex digits."),
    Column("source", pa.string(), "Format the row was read as, e.g. avqa."),
    Column("row", pa.int64(), "1-based number of the record in the input file."),
    Column("source_id", pa.string(), "The dataset's own id of the question, if it has one."),
    Column("video_id", pa.string(), "Name of the source video; splits never put one on both sides."),
    Column("media", pa.string(), "Media file, relative to the media folder of the run."),
    Column("start", pa.float64(), "Start of the part asked about, seconds; null for the beginning."),
    Column("end", pa.float64(), "End of the part asked about, seconds; null for the end of the file."),
    Column("question", pa.string(), "The question as asked."),
    Column("choices", pa.list_(pa.string()), "Answer choices in order; empty for an open question."),
    Column("answer", pa.string(), "The right answer as text."),
    Column("answer_index", pa.int32(), "0-based index of the right choice; null for an open question."),
    Column("question_type", pa.string(), "The dataset's own question type."),
    Column("stated_modality", pa.string(), "The modality the dataset says is asked about; not used for labels."),
)


def _per_setting(name: str, type_: pa.DataType, about: str) -> tuple[Column, ...]:
    shown = {"a": "audio only", "v": "video only", "av": "audio and video"}
    return tuple(Column(f"{s}_{name}", type_, f"Under {shown[s]}: {about}") for s in shown)


SHOWN: tuple[Column, ...] = (
    Column("media_sha256", pa.string(), "SHA-256 of the media file that was shown."),
    Column("duration", pa.float64(), "Seconds of media that were shown."),
    Column("seconds_not_shown", pa.float64(), "Seconds of the clip beyond media.max_seconds or the model's limit."),
    Column("media_shortfall", pa.float64(), "Share of a track that could not be decoded, in [0, 1]."),
    Column("hearing", pa.string(), "How it is known that media reached the model: canary, behaviour or none."),
    Column("media_decoded", DECODED, "Per track: seconds expected and decoded, and frames or 16 kHz samples decoded."),
)

SAMPLE: tuple[Column, ...] = (
    *SHOWN,
    Column("engine", pa.string(), "Engine and model that answered."),
    *_per_setting("responses", RESPONSES, "all sampled responses, in order of their seeds."),
    *_per_setting("asked", pa.int32(), "responses sampled; fewer than n after early exit."),
    *_per_setting("prompt_tokens", pa.int32(), "prompt tokens of one request."),
    *_per_setting("audio_tokens", pa.int32(), "audio tokens the model received."),
    *_per_setting("video_tokens", pa.int32(), "video tokens the model received."),
    *_per_setting("first_logprobs", LOGPROBS, "likeliest first tokens with their log-probabilities, if requested."),
)

SCORE: tuple[Column, ...] = (
    *_per_setting("answers", pa.list_(pa.string()), "parsed answers; null where unparseable."),
    *_per_setting("correct", pa.list_(pa.bool_()), "whether each answer is right."),
    *_per_setting("k", pa.int32(), "right answers."),
    *_per_setting("cut", pa.int32(), "responses cut off at the maximum length."),
    *_per_setting("consistency", pa.float64(), "mean pairwise cosine of the reasoning texts, in [-1, 1]."),
    *_per_setting("consistency_se", pa.float64(), "its standard error (jackknife); null with fewer than three texts."),
    Column("n", pa.int32(), "Responses per setting, from the recipe."),
    Column("embedder", pa.string(), "Model that embedded the reasoning."),
)

PARTNER: tuple[Column, ...] = (
    Column("other_media", pa.string(), "Media file shown instead under `shuffled`, relative to the media folder."),
    Column("other_start", pa.float64(), "Start of the part of it that is shown, seconds; null for the beginning."),
    Column("other_end", pa.float64(), "End of the part of it that is shown, seconds; null for the end of the file."),
)

BLIND_SAMPLE: tuple[Column, ...] = (
    Column("blind_responses", RESPONSES, "With --blind: responses to the question without its clip."),
    Column("blind_asked", pa.int32(), "With --blind: how many were sampled."),
    Column("blind_prompt_tokens", pa.int32(), "With --blind: prompt tokens of one request."),
    Column("blind_audio_tokens", pa.int32(), "With --blind: audio tokens the model received."),
    Column("blind_video_tokens", pa.int32(), "With --blind: video tokens the model received."),
    Column("blind_first_logprobs", LOGPROBS, "With --blind: likeliest first tokens, if requested."),
)
BLIND_SCORE: tuple[Column, ...] = (
    Column("blind_answers", pa.list_(pa.string()), "With --blind: parsed answers; null where unparseable."),
    Column("blind_correct", pa.list_(pa.bool_()), "With --blind: whether each answer is right."),
    Column("blind_k", pa.int32(), "With --blind: right answers."),
)
BLIND_LABEL: tuple[Column, ...] = (
    Column("solved_blind", pa.bool_(), "With --blind: solved without its clip; null where it did not matter."),
)

LABEL: tuple[Column, ...] = (
    *_per_setting("solved", pa.bool_(), "correct often enough and consistent enough; null where undecided."),
    *_per_setting("p_solvable", pa.float64(), "probability of reaching tau_acc on a new n, given k and the run."),
    Column("pem", pa.string(), "Preferred Evidence Modality: Audio, Visual, Audio-Visual; null where discarded."),
    Column("discard_reason", pa.string(), "Why there is no PEM; null where there is one."),
    Column(
        "confidence",
        pa.float64(),
        "Probability that a new sample would give the same label; null without one.",
    ),
    Column("tau_acc", pa.float64(), "Correctness threshold of this label."),
    Column("tau_cot", pa.float64(), "Consistency threshold of this label."),
)

DOMINANCE: tuple[Column, ...] = (
    Column("clip_id", pa.string(), "The clip: <youtube id>_<start, six digits>, or the file's name."),
    Column("labels", pa.list_(pa.string()), "The classes the list gives the clip; they play no part in dominance."),
    *_per_setting(
        "prediction", pa.list_(pa.string()), "what the model says: the majority answer, or a list of classes."
    ),
    *_per_setting("vote", pa.float64(), "share of the responses that give this answer; 1 for stored answers."),
    *_per_setting(
        "margin", pa.float64(), "log-probability of the likeliest option minus that of the next; null where unknown."
    ),
    *_per_setting("hit", pa.bool_(), "whether a label is in the prediction; null without labels."),
    Column("dominance", pa.string(), "audio (AV = A, not V), video (AV = V, not A); null where neither."),
    Column("dominance_reason", pa.string(), "Why there is no dominance; null where there is."),
    Column("dominance_by", pa.string(), "prediction, or correctness against the labels."),
    Column("vote_confidence", pa.float64(), "Product of the three votes; null without dominance."),
)

PREDICTIONS: tuple[Column, ...] = (
    Column("question_id", pa.string(), "The clip, as the predictions name it."),
    Column("row", pa.int64(), "1-based number of the record in the predictions file."),
    Column("video_id", pa.string(), "The clip, as the predictions name it."),
    Column("classes", pa.list_(pa.string()), "The classes the list of labels gives the clip."),
    *_per_setting("answers", pa.list_(pa.string()), "published answers; null where there is none."),
)

RECORD: tuple[Column, ...] = (
    Column("row", pa.int64(), "1-based number of the record in the input file."),
    Column("record", pa.string(), "The record as given, JSON."),
)

DETECTIONS = pa.list_(
    pa.struct(
        [
            ("frame", pa.int32()),
            ("label", pa.string()),
            ("score", pa.float32()),
            ("box", pa.list_(pa.float32())),
        ]
    )
)

CLIP: tuple[Column, ...] = (
    Column("clip_id", pa.string(), "The clip: <youtube id>_<start, six digits>, or the file's name."),
    Column("row", pa.int64(), "1-based number of the clip's first row in the list."),
    Column("media", pa.string(), "Media file, relative to the media folder of the run."),
    Column("labels", pa.list_(pa.string()), "The classes the list gives the clip."),
)

DETECTION: tuple[Column, ...] = (
    Column("media_sha256", pa.string(), "SHA-256 of the media file that was examined."),
    Column("frames", pa.int32(), "Frames examined, evenly spaced."),
    Column("frame_height", pa.int32(), "Height of a frame, pixels."),
    Column("frame_width", pa.int32(), "Width of a frame, pixels."),
    Column("detections", DETECTIONS, "All detections above the floor: frame, class, score, box (x0 y0 x1 y1, pixels)."),
    Column("sheet", pa.string(), "Contact sheet with boxes, relative to the run; null where none was drawn."),
)

OBJECTS: tuple[Column, ...] = (
    Column("annotated", pa.list_(pa.string()), "Objects of the clip's classes, as nodes of the vocabulary."),
    Column("detected", pa.list_(pa.string()), "Objects detected at or above the threshold in any frame, as nodes."),
    Column("objects", pa.list_(pa.string()), "The clip's object set: annotated and detected."),
    Column("unmapped", pa.list_(pa.string()), "Classes and detector labels that map to no node."),
    Column("threshold", pa.float64(), "Minimum score of a detection that counts."),
)

ASKED = pa.list_(
    pa.struct(
        [
            ("condition", pa.string()),
            ("texts", pa.list_(pa.string())),
            ("answers", pa.list_(pa.string())),
            ("correct", pa.list_(pa.bool_())),
            ("pems", pa.list_(pa.string())),
            ("prompt_tokens", pa.int32()),
            ("audio_tokens", pa.int32()),
            ("video_tokens", pa.int32()),
        ]
    )
)

EVAL: tuple[Column, ...] = (
    *SHOWN,
    Column("engine", pa.string(), "Engine and model that answered."),
    Column("pem", pa.string(), "PEM of the question, if the dataset or a label gives one."),
    Column("asked", ASKED, "Per condition: responses, answers (null: unreadable), whether right, PEMs named, tokens."),
)

TEXT_PROBE: tuple[Column, ...] = (
    Column("text_right", pa.bool_(), "Whether a reader of other questions' texts guesses the answer."),
    Column("text_probability", pa.float64(), "Probability it gives the answer."),
    Column("text_chance", pa.float64(), "Probability of a blind guess."),
)

LEAK: tuple[Column, ...] = (
    Column("solved_by", pa.list_(pa.string()), "Conditions under which the model solves the question."),
    Column("leaks", pa.list_(pa.string()), "What alone is enough for it: text, sound, picture."),
    Column("needs_it", pa.bool_(), "Whether the question needs what it claims to need; null without a model."),
)

CAPTIONED: tuple[Column, ...] = (
    Column("clip", pa.string(), "The clip's name."),
    Column("row", pa.int64(), "1-based number of the record in the captions file."),
    Column("source", pa.string(), "The video the clip is cut from."),
    Column("split", pa.string(), "The split it belongs to; empty if there are none."),
    Column("audio_captions", pa.list_(pa.string()), "What is heard."),
    Column("video_captions", pa.list_(pa.string()), "What is seen."),
    Column("answers", pa.list_(pa.string()), "What a donor's captions must not say."),
)

SOUND: tuple[Column, ...] = (
    Column("media", pa.string(), "Media file, relative to the media folder; null where none was given."),
    Column("media_sha256", pa.string(), "SHA-256 of that file."),
    Column("has_video", pa.bool_(), "Whether the file has a picture; null without a file."),
    Column("seconds", pa.float64(), "Length of the file; null without one."),
    Column("sound_seconds", pa.float64(), "Length of its sound, 0 without one; null without a file."),
    Column("level_db", pa.float64(), "RMS of its sound, dB of full scale; null without one."),
    Column("fingerprint", pa.list_(pa.uint32()), "Acoustic fingerprint of the sound, 32 bits for every 16 ms."),
)

REFUSED = pa.list_(
    pa.struct(
        [
            ("donor", pa.string()),
            ("reason", pa.string()),
            ("audio_similarity", pa.float32()),
            ("video_similarity", pa.float32()),
        ]
    )
)
COUNTS = pa.list_(pa.struct([("reason", pa.string()), ("donors", pa.int32())]))

PAIR: tuple[Column, ...] = (
    Column("clip", pa.string(), "Clip whose picture is kept; a media file where the media are known."),
    Column("donor", pa.string(), "Clip whose sound is taken."),
    Column("row", pa.int64(), "1-based number of the clip's first record in the captions file."),
    Column("split", pa.string(), "The split of both."),
    Column("audio_similarity", pa.float64(), "Greatest cosine of a donor's caption with an audio caption of the clip."),
    Column("video_similarity", pa.float64(), "Greatest cosine of a donor's caption with a video caption; null: none."),
    Column("margin", pa.float64(), "Threshold minus the greater of the two."),
    Column("audio_captions", pa.list_(pa.string()), "What is heard in the clip."),
    Column("video_captions", pa.list_(pa.string()), "What is seen in it."),
    Column("donor_captions", pa.list_(pa.string()), "What is heard in the donor."),
    Column("answers", pa.list_(pa.string()), "What the donor's captions must not say."),
    Column("looked_at", pa.int32(), "Donors compared with the clip when it was last paired."),
    Column("refused", COUNTS, "How many of them were refused, by the first reason that holds."),
    Column("nearest_refused", REFUSED, "The nearest of the refused donors."),
)

MADE = pa.list_(pa.struct([("path", pa.string()), ("sha256", pa.string())]))

SWAP: tuple[Column, ...] = (
    Column("clip", pa.string(), "Clip whose picture is kept, relative to the media folder."),
    Column("donor", pa.string(), "File whose sound is taken, relative to the donors' folder."),
    Column("counterfactual", pa.string(), "The clip with the donor's sound, relative to the run."),
    Column("factual", pa.string(), "Its twin with its own sound, made the same way; null if it has none."),
    Column("silent", pa.string(), "The clip with silence, if requested."),
    Column("audio_only", pa.string(), "The counterfactual's sound alone, if requested."),
    Column("video_only", pa.string(), "The picture alone, if requested."),
    Column("seconds", pa.float64(), "Length of the picture, and of the sound under it."),
    Column("fitted", pa.string(), "How the sound was fitted: whole, cut, looped or padded."),
    Column("gain_db", pa.float64(), "Gain applied to the sound, dB."),
    Column("picture_sha256", pa.string(), "Hash over the packets of the picture, the same before and after."),
    Column("clip_sha256", pa.string(), "SHA-256 of the clip's file."),
    Column("donor_sha256", pa.string(), "SHA-256 of the donor's file."),
    Column("files", MADE, "Files written, relative to the run, with the SHA-256 of each."),
)


def _judged(modality: str, what: str) -> tuple[Column, ...]:
    return (
        Column(f"{modality}_references", pa.list_(pa.string()), f"What is really {what}."),
        Column(f"{modality}_scores", pa.list_(pa.float64()), "Each judgement in [0, 1]; null where unreadable."),
        Column(f"{modality}_score", pa.float64(), "Mean of the readable judgements; null without any."),
        Column(f"{modality}_spread", pa.float64(), "Their standard deviation."),
        Column(f"{modality}_reasons", pa.list_(pa.string()), "The judge's reasons; null where unreadable."),
        Column(f"{modality}_unparsed", pa.list_(pa.string()), "Replies that could not be read, verbatim."),
        Column(f"human_{modality}", pa.float64(), "A person's score, if the input has one."),
    )


JUDGE: tuple[Column, ...] = (
    Column("clip", pa.string(), "The clip that the caption describes."),
    Column("caption", pa.string(), "The caption that is judged."),
    *_judged("audio", "heard"),
    *_judged("video", "seen"),
)

GRADE: tuple[Column, ...] = (
    Column("question_id", pa.string(), "The question, by its id in the evaluation."),
    Column("condition", pa.string(), "What the model was shown."),
    Column("category", pa.string(), "The benchmark's category."),
    Column("kind", pa.string(), "closed: by meaning; open: by the judge; instruction: by form."),
    Column("answers", pa.list_(pa.string()), "What each response gave as its answer."),
    Column("scores", pa.list_(pa.float64()), "Score of each in [0, 1]; null where the judge's reply is unreadable."),
    Column("score", pa.float64(), "Mean of the readable ones; null without any."),
    Column("meant", pa.list_(pa.string()), "Closed: the choice nearest in meaning."),
    Column("replies", pa.list_(pa.string()), "Open: the judge's replies, verbatim."),
)

MENTIONS = pa.list_(
    pa.struct(
        [
            ("node", pa.string()),
            ("words", pa.string()),
            ("start", pa.int32()),
            ("end", pa.int32()),
            ("invented", pa.bool_()),
        ]
    )
)

HALLUCINATION: tuple[Column, ...] = (
    Column("clip_id", pa.string(), "The clip or picture."),
    Column("caption", pa.string(), "The caption as given."),
    Column("truth", pa.list_(pa.string()), "Objects that are present, as nodes of the vocabulary."),
    Column("unknown", pa.list_(pa.string()), "Objects given that map to nothing in the vocabulary."),
    Column("references", pa.list_(pa.string()), "Reference captions of the clip."),
    Column("mentions", MENTIONS, "Objects the caption names, with their place in it, and whether they are invented."),
    Column("right", pa.int32(), "Distinct true objects named."),
    Column("found", pa.int32(), "Distinct objects of the truth that are named."),
    Column("named", pa.int32(), "Distinct objects named."),
    Column(
        "aloha", pa.float64(), "Minimum similarity of a named object to the truth; null without objects or --aloha."
    ),
    Column("aloha_objects", pa.list_(pa.float64()), "That similarity for each distinct object named."),
    Column("flag", pa.bool_(), "Whether the input says the caption is hallucinated; null if it does not say."),
)

DEAD: tuple[Column, ...] = (
    Column("row_id", pa.string(), "Question or clip that died; null if it never got an id."),
    Column("row", pa.int64(), "1-based number of the record in the input file."),
    Column("stage", pa.string(), "Stage it died in."),
    Column("setting", pa.string(), "Setting it died in, if one setting was at fault."),
    Column("reason", pa.string(), "Named reason."),
    Column("message", pa.string(), "What happened, naming the row or file."),
    Column("hint", pa.string(), "What to do next."),
    Column("attempt", pa.int32(), "1 the first time, one more for each retry."),
    Column("media", pa.string(), "Media file concerned."),
    Column("reproduce", pa.string(), "Command that processes this row alone."),
    Column("input", pa.string(), "The input of the stage, as JSON."),
    Column("input_digest", pa.string(), "Digest of the row it was made from; null if the row never got an id."),
    Column("trace", pa.string(), "Traceback, if a bug in the program is the cause; null otherwise."),
)

FILTERED: tuple[Column, ...] = (
    Column("row_id", pa.string(), "Question or clip that was filtered; null if it never got an id."),
    Column("row", pa.int64(), "1-based number of the record in the input file."),
    Column("stage", pa.string(), "Stage that filtered it."),
    Column("reason", pa.string(), "Named reason."),
    Column("message", pa.string(), "Why, naming the row or file."),
    Column("input", pa.string(), "The input of the stage, as JSON."),
    Column("input_digest", pa.string(), "Digest of the row it was made from; null if the row never got an id."),
)

TABLES: dict[str, tuple[Column, ...]] = {
    "questions": QUESTION,
    "partners": QUESTION + PARTNER,
    "sample": QUESTION + SAMPLE + BLIND_SAMPLE,
    "score": QUESTION + SAMPLE + BLIND_SAMPLE + SCORE + BLIND_SCORE,
    "label": QUESTION + SAMPLE + BLIND_SAMPLE + SCORE + BLIND_SCORE + LABEL + BLIND_LABEL,
    "dominance": QUESTION + SAMPLE + DOMINANCE,
    "predictions": PREDICTIONS,
    "eval": QUESTION + EVAL,
    **{f"probe_{name}": QUESTION + SHOWN + columns for name, columns in PROBES.items()},
    "clips": CLIP,
    "detect": CLIP + DETECTION,
    "objects": CLIP + DETECTION + OBJECTS,
    "records": RECORD,
    "captions": CAPTIONED,
    "captioned": CAPTIONED + SOUND,
    "pair": PAIR,
    "swap": RECORD + SWAP,
    "judge": RECORD + JUDGE,
    "grade": RECORD + GRADE,
    "hallucination": RECORD + HALLUCINATION,
    "text": QUESTION + TEXT_PROBE,
    "leak": QUESTION + TEXT_PROBE + EVAL + LEAK,
    "evidence": EVIDENCE,
    "merged": EVIDENCE,
    "looked": EVIDENCE + CLIP_FACTS,
    "plan": ITEM,
    "make": ITEM + MADE_CLIP,
    "dead": DEAD,
    "filtered": FILTERED,
}
"""Every table as readers see it: whole rows. A part on disk holds the row's key and the columns its stage adds."""


def columns_schema(table: str, columns: tuple[Column, ...]) -> pa.Schema:
    """Arrow schema of some columns of a table, with its name and the schema version in its metadata."""
    return pa.schema(
        [c.field() for c in columns],
        metadata={"avcurate.table": table, "avcurate.schema_version": str(SCHEMA_VERSION)},
    )


def arrow_schema(table: str) -> pa.Schema:
    """Arrow schema of a table's whole rows, with the table's name and schema version in its metadata."""
    return columns_schema(table, TABLES[table])


def json_schema(table: str) -> dict[str, object]:
    """The published contract of a table: name, Arrow type and meaning of each column, in order."""
    return {
        "table": table,
        "schema_version": SCHEMA_VERSION,
        "columns": [{"name": c.name, "type": str(c.type), "about": c.about} for c in TABLES[table]],
    }


def main() -> None:
    """``python -m avcurate.schema FOLDER``: write the published contract of every table."""
    import json
    import sys
    from pathlib import Path

    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for table in TABLES:
        text = json.dumps(json_schema(table), indent=1, ensure_ascii=False)
        (folder / f"{table}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
