// The package `@anthropic-ai/sdk`.

import assert from "node:assert/strict";

import Anthropic from "@anthropic-ai/sdk";

import { QUESTION, SITE_KEY, SITE_POOR_KEY, SITE_SLOW_KEY, SITE_URL, WEATHER, raised } from "./place.mjs";

const SAID = `You said: ${QUESTION}`;
const messages = [{ role: "user", content: QUESTION }];
const tools = [{ name: "weather", input_schema: WEATHER }];

const client = (apiKey = SITE_KEY, more = {}) =>
  new Anthropic({ baseURL: SITE_URL, apiKey, maxRetries: 0, ...more });
const ask = (more = {}, key = SITE_KEY) =>
  client(key).messages.create({ model: "chat", max_tokens: 50, messages, ...more });

async function itChats() {
  const answer = await ask();
  assert.equal(answer.content[0].text, SAID);
  assert.equal(answer.usage.output_tokens, 5);
}

async function itStreams() {
  const stream = client().messages.stream({ model: "chat", max_tokens: 50, messages });
  assert.equal(await stream.finalText(), SAID);
}

async function itCallsATool() {
  const answer = await ask({ tools });
  const call = answer.content.at(-1);
  assert.deepEqual([call.name, call.input], ["weather", { city: "Zürich" }]);
  const done = { type: "tool_result", tool_use_id: call.id, content: "21 °C" };
  const more = [{ role: "assistant", content: answer.content }, { role: "user", content: [done] }];
  const said = await ask({ tools, messages: [...messages, ...more] });
  assert.equal(said.content[0].text, "The tool said: 21 °C");
}

async function itListsModels() {
  const names = [];
  for await (const model of client().models.list()) names.push(model.id);
  assert.deepEqual(names, ["chat", "silent", "team/wrong"]);
}

async function itIsRefused() {
  await raised(Anthropic.AuthenticationError, () => ask({}, "sk-of-somewhere-else"));
  await raised(Anthropic.NotFoundError, () => ask({ model: "nowhere" }));
  const spent = await raised(Anthropic.APIError, () => ask({}, SITE_POOR_KEY));
  assert.deepEqual([spent.status, spent.error.error.type], [402, "billing_error"]);
  await ask({}, SITE_SLOW_KEY);
  const often = await raised(Anthropic.RateLimitError, () => ask({}, SITE_SLOW_KEY));
  assert.ok(Number(often.headers.get("retry-after")) > 0);
  const wrong = await raised(Anthropic.BadRequestError, () => ask({ model: "team/wrong" }));
  assert.equal(wrong.error.error.message, "temperature: range: 0..1");
}

async function itDoesNotWaitForEver() {
  const late = () =>
    client(SITE_KEY, { timeout: 200 }).messages.create({ model: "silent", max_tokens: 5, messages });
  await raised(Anthropic.APIConnectionTimeoutError, late);
}

await itChats();
await itStreams();
await itCallsATool();
await itListsModels();
await itIsRefused();
await itDoesNotWaitForEver();
