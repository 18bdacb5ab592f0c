"""The package `openai` through a watch: its own key, and an address that is another."""

import openai
from place import KEY, QUESTION, URL, raised

HI = [{"role": "user", "content": QUESTION}]

client = openai.OpenAI(base_url=f"{URL}/watch/sales/up", api_key=KEY, max_retries=0)


def it_chats():
    raw = client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=HI)
    assert not [name for name in raw.headers if "isonomy" in name]
    answer = raw.parse()
    assert answer.choices[0].message.content == f"You said: {QUESTION}"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (10, 5)


def it_streams():
    options = {"include_usage": True}
    chunks = list(client.chat.completions.create(model="gpt-4o-mini", messages=HI, stream=True, stream_options=options))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == f"You said: {QUESTION}", text


def it_embeds():
    answer = client.embeddings.create(model="text-embedding-3-small", input=QUESTION)
    assert answer.usage.prompt_tokens == 10


def it_is_told_what_is_wrong():
    error = raised(openai.NotFoundError, lambda: client.models.list())
    assert error.status_code == 404


it_chats()
it_streams()
it_embeds()
it_is_told_what_is_wrong()
