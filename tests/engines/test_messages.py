"""The system prompt reaches every engine's messages, and is sent only where a prompt has one."""

import pytest

from avcurate.engines.base import Request, Sampling
from avcurate.engines.messages import messages_of
from avcurate.engines.wire import Encoder, body_of
from avcurate.prompts import OwnPrompt, get_prompt

SYSTEM = {"role": "system", "content": "You are a helpful assistant."}


def request(system=""):
    return Request("k", "What?", None, None, 1.0, 1, 0, Sampling(), system=system)


def test_a_system_prompt_comes_first_and_none_is_sent_unasked():
    for messages in (
        messages_of(request(SYSTEM["content"])),
        body_of(request(SYSTEM["content"]), "m", Encoder("PNG"), {})["messages"],
    ):
        assert messages[0] == SYSTEM and messages[1]["role"] == "user"
    for messages in (messages_of(request()), body_of(request(), "m", Encoder("PNG"), {})["messages"]):
        assert [m["role"] for m in messages] == ["user"]


def test_versions_of_custom_prompts_without_one_are_as_before():
    fields = {"name": "mine", "instruction": "Say.", "reasoning_tags": ("think",), "answer_tags": ("answer",)}
    plain, kind = OwnPrompt(**fields).prompt(), OwnPrompt(**fields, system="Be brief.").prompt()
    assert plain.name == "mine@76762562"
    assert plain.name != kind.name and plain.system == "" and kind.system == "Be brief."


@pytest.mark.parametrize("name", ["classify@2", "caption@2"])
def test_the_hubs_prompts_have_the_release_s_system_prompt(name):
    prompt, before = get_prompt(name), get_prompt(name.replace("@2", "@1"))
    assert prompt.system == SYSTEM["content"] and before.system == "" and prompt.instruction == before.instruction
