"""The package `anthropic`."""

import anthropic
from place import KEY, POOR_KEY, QUESTION, SLOW_KEY, URL, WEATHER, raised


def client(key=KEY, **more):
    return anthropic.Anthropic(base_url=URL, api_key=key, **{"max_retries": 0, **more})


HI = [{"role": "user", "content": QUESTION}]
ASK = {"max_tokens": 50, "messages": HI}
TOOLS = [{"name": "weather", "input_schema": WEATHER}]


def ask(key=KEY, model="chat", **more):
    return client(key).messages.create(model=model, **ASK, **more)


def it_chats():
    raw = client().messages.with_raw_response.create(model="chat", **ASK)
    assert raw.headers["x-isonomy-call"].startswith("call_")
    answer = raw.parse()
    assert answer.content[0].text == f"You said: {QUESTION}"
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (10, 5)


def it_takes_a_token_as_well():
    other = anthropic.Anthropic(base_url=URL, api_key=None, auth_token=KEY, max_retries=0)
    assert other.messages.create(model="chat", **ASK).stop_reason == "end_turn"


def it_streams():
    with client().messages.stream(model="chat", **ASK) as stream:
        text = "".join(stream.text_stream)
        whole = stream.get_final_message()
    assert text == whole.content[0].text == f"You said: {QUESTION}"
    assert whole.usage.output_tokens == 5


def it_calls_a_tool():
    answer = ask(tools=TOOLS)
    assert answer.stop_reason == "tool_use"
    call = answer.content[-1]
    assert (call.name, call.input) == ("weather", {"city": "Zürich"})
    done = {"type": "tool_result", "tool_use_id": call.id, "content": "21 °C"}
    messages = [
        *HI,
        {"role": "assistant", "content": answer.content},
        {"role": "user", "content": [done]},
    ]
    said = client().messages.create(model="chat", max_tokens=50, messages=messages, tools=TOOLS)
    assert said.content[0].text == "The tool said: 21 °C"
    with client().messages.stream(model="chat", tools=TOOLS, **ASK) as stream:
        assert stream.get_final_message().content[-1].input == {"city": "Zürich"}


def it_lists_models():
    names = [model.id for model in client().models.list()]
    assert names == ["chat", "silent", "team/wrong"], names
    assert client().models.retrieve("team/wrong").id == "team/wrong"


def it_is_refused():
    error = raised(anthropic.AuthenticationError, lambda: ask(key="sk-of-somewhere-else"))
    assert error.body["error"]["type"] == "authentication_error" and "sk-of" not in str(error)
    error = raised(anthropic.NotFoundError, lambda: ask(model="nowhere"))
    assert error.body["error"]["type"] == "not_found_error"
    error = raised(anthropic.APIStatusError, lambda: ask(key=POOR_KEY))
    assert (error.status_code, error.body["error"]["type"]) == (402, "billing_error")
    ask(key=SLOW_KEY)
    error = raised(anthropic.RateLimitError, lambda: ask(key=SLOW_KEY))
    assert 0 < int(error.response.headers["retry-after"]) <= 60


def what_is_wrong_is_said_in_the_upstreams_words():
    error = raised(anthropic.BadRequestError, lambda: ask(model="team/wrong"))
    assert error.body["error"]["message"] == "temperature: range: 0..1"


def it_does_not_wait_for_ever():
    impatient = client(timeout=0.2)
    raised(anthropic.APITimeoutError, lambda: impatient.messages.create(model="silent", **ASK))


it_chats()
it_takes_a_token_as_well()
it_streams()
it_calls_a_tool()
it_lists_models()
it_is_refused()
what_is_wrong_is_said_in_the_upstreams_words()
it_does_not_wait_for_ever()
