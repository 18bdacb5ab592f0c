"""The package `openai`."""

import asyncio
import json

import openai
from place import KEY, POOR_KEY, QUESTION, SLOW_KEY, URL, WEATHER, raised


def client(key=KEY, **more):
    return openai.OpenAI(base_url=f"{URL}/v1", api_key=key, **{"max_retries": 0, **more})


HI = [{"role": "user", "content": QUESTION}]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": WEATHER}}


def chat(key=KEY, model="chat", **more):
    return client(key).chat.completions.create(model=model, messages=HI, **more)


def it_chats():
    raw = client().chat.completions.with_raw_response.create(model="chat", messages=HI, temperature=0)
    assert raw.headers["x-isonomy-call"].startswith("call_")
    assert raw.headers["x-isonomy-model"] == "chat"
    answer = raw.parse()
    assert answer.choices[0].message.content == f"You said: {QUESTION}"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (10, 5)


def it_streams():
    chunks = list(chat(stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == f"You said: {QUESTION}", text
    # Nobody has asked for it.
    assert all(chunk.usage is None for chunk in chunks)
    chunks = list(chat(stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == [] and chunks[-1].usage.total_tokens == 15
    with client().chat.completions.stream(model="chat", messages=HI) as events:
        assert events.get_final_completion().choices[0].message.content == text


def it_leaves_a_stream():
    with chat(stream=True) as stream:
        assert next(iter(stream)).choices[0].delta.content


async def it_asks_many_at_once():
    async with openai.AsyncOpenAI(base_url=f"{URL}/v1", api_key=KEY) as many:
        ask = many.chat.completions.create
        answers = await asyncio.gather(
            *(ask(model="chat", messages=[{"role": "user", "content": str(it)}]) for it in range(20))
        )
        said = [answer.choices[0].message.content for answer in answers]
        assert said == [f"You said: {it}" for it in range(20)]


def it_calls_a_tool():
    answer = chat(tools=[TOOL]).choices[0]
    assert answer.finish_reason == "tool_calls"
    call = answer.message.tool_calls[0]
    assert json.loads(call.function.arguments) == {"city": "Zürich"}
    done = {"role": "tool", "tool_call_id": call.id, "content": "21 °C"}
    messages = [*HI, answer.message, done]
    said = client().chat.completions.create(model="chat", messages=messages, tools=[TOOL])
    assert said.choices[0].message.content == "The tool said: 21 °C"
    with client().chat.completions.stream(model="chat", messages=HI, tools=[TOOL]) as events:
        call = events.get_final_completion().choices[0].message.tool_calls[0]
    assert json.loads(call.function.arguments) == {"city": "Zürich"}


def it_embeds():
    # As base64, which is what the client asks for, and as numbers.
    for more in ({}, {"encoding_format": "float"}):
        answer = client().embeddings.create(model="chat", input=["a", "b"], **more)
        assert [row.embedding for row in answer.data] == [[1.0, 0.5], [1.0, 0.5]]
        assert answer.usage.total_tokens == 10


def it_completes():
    answer = client().completions.create(model="chat", prompt="Once", max_tokens=5)
    assert answer.choices[0].text == " upon a time"
    chunks = list(client().completions.create(model="chat", prompt="Once", stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == " upon a time"


def it_responds():
    answer = client().responses.create(model="chat", input=QUESTION)
    assert answer.output_text == f"You said: {QUESTION}"
    assert answer.usage.total_tokens == 15
    events = list(client().responses.create(model="chat", input=QUESTION, stream=True))
    assert events[0].type == "response.created"
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == f"You said: {QUESTION}"
    assert events[-1].response.usage.total_tokens == 15
    tool = {"type": "function", "name": "weather", "parameters": WEATHER, "strict": False}
    call = client().responses.create(model="chat", input=QUESTION, tools=[tool]).output[0]
    assert (call.type, json.loads(call.arguments)) == ("function_call", {"city": "Zürich"})
    done = {"type": "function_call_output", "call_id": call.call_id, "output": "21 °C"}
    said = client().responses.create(model="chat", input=[call, done], tools=[tool])
    assert said.output_text == "The tool said: 21 °C"


def it_lists_models():
    names = [model.id for model in client().models.list()]
    assert names == ["chat", "hasty", "silent", "team/wrong"], names
    assert client().models.retrieve("team/wrong").id == "team/wrong"
    assert [model.id for model in client(POOR_KEY).models.list()] == ["chat"]
    raised(openai.NotFoundError, lambda: client(POOR_KEY).models.retrieve("silent"))


def it_is_refused():
    error = raised(openai.AuthenticationError, lambda: chat(key="sk-of-somewhere-else"))
    assert error.code == "invalid_api_key" and "sk-of" not in str(error)
    error = raised(openai.NotFoundError, lambda: chat(model="gpt-nowhere"))
    assert error.code == "model_not_found" and "gpt-nowhere" in error.message
    error = raised(openai.BadRequestError, lambda: chat(model=""))
    assert error.code == "invalid_request"
    error = raised(openai.NotFoundError, lambda: client().images.generate(model="chat", prompt="x"))
    assert error.code == "unknown_url"
    error = raised(openai.APIStatusError, lambda: chat(key=POOR_KEY))
    assert (error.status_code, error.code) == (402, "budget_exhausted")
    assert "`poor`" in error.message
    # In a stream, too, it comes before the first piece.
    error = raised(openai.APIStatusError, lambda: chat(key=POOR_KEY, stream=True))
    assert error.status_code == 402
    chat(key=SLOW_KEY)
    error = raised(openai.RateLimitError, lambda: chat(key=SLOW_KEY))
    assert error.code == "rate_limit_exceeded"
    assert 0 < int(error.response.headers["retry-after"]) <= 60


def what_is_wrong_is_said_in_the_upstreams_words():
    error = raised(openai.BadRequestError, lambda: chat(model="team/wrong", temperature=9))
    assert (error.code, error.param) == ("decimal_above_maximum_value", "temperature")
    assert "Expected a value <= 2" in error.message


def it_does_not_wait_for_ever():
    impatient = client(timeout=0.2)
    ask = lambda: impatient.chat.completions.create(model="silent", messages=HI)
    raised(openai.APITimeoutError, ask)
    # Its owner has said how long it may think.
    error = raised(openai.InternalServerError, lambda: chat(model="hasty"))
    assert (error.status_code, error.code) == (504, "timeout")


it_chats()
it_streams()
it_leaves_a_stream()
asyncio.run(it_asks_many_at_once())
it_calls_a_tool()
it_embeds()
it_completes()
it_responds()
it_lists_models()
it_is_refused()
what_is_wrong_is_said_in_the_upstreams_words()
it_does_not_wait_for_ever()
