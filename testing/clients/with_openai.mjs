// The package `openai`.

import assert from "node:assert/strict";

import OpenAI from "openai";

import { QUESTION, SITE_KEY, SITE_POOR_KEY, SITE_SLOW_KEY, SITE_URL, WEATHER, raised } from "./place.mjs";

const SAID = `You said: ${QUESTION}`;
const messages = [{ role: "user", content: QUESTION }];
const tools = [{ type: "function", function: { name: "weather", parameters: WEATHER } }];

const client = (apiKey = SITE_KEY, more = {}) =>
  new OpenAI({ baseURL: `${SITE_URL}/v1`, apiKey, maxRetries: 0, ...more });
const chat = (more = {}, key = SITE_KEY) =>
  client(key).chat.completions.create({ model: "chat", messages, ...more });

async function itChats() {
  const { data, response } = await chat().withResponse();
  assert.match(response.headers.get("x-isonomy-call"), /^call_/);
  assert.equal(data.choices[0].message.content, SAID);
  assert.equal(data.usage.total_tokens, 15);
}

async function itStreams() {
  let text = "";
  for await (const chunk of await chat({ stream: true })) {
    text += chunk.choices[0].delta.content ?? "";
    assert.ok(!chunk.usage);
  }
  assert.equal(text, SAID);
  let last;
  for await (const chunk of await chat({ stream: true, stream_options: { include_usage: true } })) last = chunk;
  assert.equal(last.usage.total_tokens, 15);
}

async function itLeavesAStream() {
  for await (const chunk of await chat({ stream: true })) {
    assert.ok(chunk.choices[0].delta.content);
    break;
  }
}

async function itCallsATool() {
  const [choice] = (await chat({ tools })).choices;
  const [call] = choice.message.tool_calls;
  assert.deepEqual(JSON.parse(call.function.arguments), { city: "Zürich" });
  const done = { role: "tool", tool_call_id: call.id, content: "21 °C" };
  const said = await chat({ tools, messages: [...messages, choice.message, done] });
  assert.equal(said.choices[0].message.content, "The tool said: 21 °C");
  const stream = client().chat.completions.stream({ model: "chat", messages, tools });
  const [streamed] = (await stream.finalMessage()).tool_calls;
  assert.deepEqual(JSON.parse(streamed.function.arguments), { city: "Zürich" });
}

async function itEmbeds() {
  for (const more of [{}, { encoding_format: "float" }]) {
    const { data } = await client().embeddings.create({ model: "chat", input: ["a", "b"], ...more });
    assert.deepEqual(data.map((row) => [...row.embedding]), [[1, 0.5], [1, 0.5]]);
  }
}

async function itResponds() {
  const answer = await client().responses.create({ model: "chat", input: QUESTION });
  assert.equal(answer.output_text, SAID);
  let text = "";
  for await (const event of await client().responses.create({ model: "chat", input: QUESTION, stream: true })) {
    if (event.type === "response.output_text.delta") text += event.delta;
  }
  assert.equal(text, SAID);
}

async function itListsModels() {
  const names = [];
  for await (const model of client().models.list()) names.push(model.id);
  assert.deepEqual(names, ["chat", "hasty", "silent", "team/wrong"]);
  assert.equal((await client().models.retrieve("team/wrong")).id, "team/wrong");
}

async function itIsRefused() {
  const unknown = await raised(OpenAI.AuthenticationError, () => chat({}, "sk-of-somewhere-else"));
  assert.equal(unknown.code, "invalid_api_key");
  const nowhere = await raised(OpenAI.NotFoundError, () => chat({ model: "gpt-nowhere" }));
  assert.equal(nowhere.code, "model_not_found");
  const spent = await raised(OpenAI.APIError, () => chat({}, SITE_POOR_KEY));
  assert.deepEqual([spent.status, spent.code], [402, "budget_exhausted"]);
  await chat({}, SITE_SLOW_KEY);
  const often = await raised(OpenAI.RateLimitError, () => chat({}, SITE_SLOW_KEY));
  assert.ok(Number(often.headers.get("retry-after")) > 0);
  const wrong = await raised(OpenAI.BadRequestError, () => chat({ model: "team/wrong" }));
  assert.deepEqual([wrong.code, wrong.param], ["decimal_above_maximum_value", "temperature"]);
}

async function itDoesNotWaitForEver() {
  const ask = () => client(SITE_KEY, { timeout: 200 }).chat.completions.create({ model: "silent", messages });
  await raised(OpenAI.APIConnectionTimeoutError, ask);
  const late = await raised(OpenAI.InternalServerError, () => chat({ model: "hasty" }));
  assert.deepEqual([late.status, late.code], [504, "timeout"]);
}

await itChats();
await itStreams();
await itLeavesAStream();
await itCallsATool();
await itEmbeds();
await itResponds();
await itListsModels();
await itIsRefused();
await itDoesNotWaitForEver();
