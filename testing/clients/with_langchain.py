"""The package `langchain-openai`."""

import asyncio

import openai
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from place import KEY, POOR_KEY, QUESTION, URL, raised

SAID = f"You said: {QUESTION}"


def model(key=KEY, **more):
    more = {"model": "chat", "max_retries": 0, **more}
    return ChatOpenAI(base_url=f"{URL}/v1", api_key=key, **more)


@tool
def weather(city: str) -> str:
    """How warm it is."""
    return f"21 °C in {city}"


def it_chats():
    answer = model().invoke(QUESTION)
    assert answer.content == SAID
    assert answer.usage_metadata["total_tokens"] == 15
    assert [it.content for it in model().batch(["a", "b"])] == ["You said: a", "You said: b"]


async def it_streams():
    assert "".join(piece.content for piece in model().stream(QUESTION)) == SAID
    # What it used, which this client asks for by itself where it is told to.
    pieces = [piece async for piece in model(stream_usage=True).astream(QUESTION)]
    assert "".join(piece.content for piece in pieces) == SAID
    used = [piece.usage_metadata for piece in pieces if piece.usage_metadata]
    assert sum(it["total_tokens"] for it in used) == 15, used


def it_calls_a_tool():
    with_tools, messages = model().bind_tools([weather]), [HumanMessage(QUESTION)]
    asked = with_tools.invoke(messages)
    call = asked.tool_calls[0]
    assert (call["name"], call["args"]) == ("weather", {"city": "Zürich"})
    done = ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"])
    said = with_tools.invoke([*messages, asked, done])
    assert said.content == "The tool said: 21 °C in Zürich"
    whole = None
    for piece in with_tools.stream(messages):
        whole = piece if whole is None else whole + piece
    assert whole.tool_calls[0]["args"] == {"city": "Zürich"}


def it_responds():
    answer = model(use_responses_api=True).invoke(QUESTION)
    assert answer.text == SAID
    pieces = model(use_responses_api=True).stream(QUESTION)
    assert "".join(piece.text for piece in pieces) == SAID


def it_embeds():
    # With the check it would fetch a tokeniser from elsewhere.
    embeddings = OpenAIEmbeddings(
        base_url=f"{URL}/v1", api_key=KEY, model="chat", check_embedding_ctx_length=False
    )
    assert embeddings.embed_documents(["a", "b"]) == [[1.0, 0.5], [1.0, 0.5]]


def it_is_refused():
    error = raised(openai.APIStatusError, lambda: model(POOR_KEY).invoke(QUESTION))
    assert (error.status_code, error.code) == (402, "budget_exhausted")
    raised(openai.AuthenticationError, lambda: model("sk-other").invoke(QUESTION))
    raised(openai.APITimeoutError, lambda: model(model="silent", timeout=0.2).invoke(QUESTION))


it_chats()
asyncio.run(it_streams())
it_calls_a_tool()
it_responds()
it_embeds()
it_is_refused()
