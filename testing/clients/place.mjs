// Where the site is, and what every program here expects of it.

import assert from "node:assert/strict";

export const { SITE_URL, SITE_KEY, SITE_POOR_KEY, SITE_SLOW_KEY } = process.env;

export const QUESTION = "Wie warm ist es in Zürich? 🌡";
export const WEATHER = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
};

/** The error, which must be of this kind. */
export async function raised(kind, call) {
  try {
    await call();
  } catch (error) {
    assert.ok(error instanceof kind, `${kind.name} expected, not ${error}`);
    return error;
  }
  assert.fail(`${kind.name} expected, and nothing was raised`);
}
