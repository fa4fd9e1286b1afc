// What a phone keeps of the codes, and what leaving does to it.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Bundle } from "../src/clock";
import { forgetCodes, keep, kept, leave, left, whenLeft } from "../src/kept";

const items = new Map<string, string>();
const told: (string | null)[] = [];
const heard: ((event: { key: string; newValue: string | null }) => void)[] = [];

Object.assign(globalThis, {
  localStorage: {
    getItem: (key: string) => items.get(key) ?? null,
    setItem(key: string, value: string) {
      items.set(key, value);
      if (key === "happycode.left") told.push(value);
    },
    removeItem: (key: string) => items.delete(key),
  },
  window: { addEventListener: (_: string, then: (typeof heard)[number]) => heard.push(then) },
});

const bundle: Bundle = { server_ms: 1_764_036_000_000, from_step: 58_801_200, step_s: 30, tokens: ["1".repeat(193)], prefix: "https://h.example/c#", card_no: "330500000017", name: "沈阿福" };
const clock = { ahead_ms: 0, last_ms: 1_764_036_000_000 };

// In this order: whoever has left a page does not come back to it.
test("codes that have run out go, and newer ones are kept", () => {
  keep(bundle, clock);
  assert.deepEqual(kept(), { bundle, clock });
  forgetCodes();
  assert.equal(kept(), undefined);
  assert.equal(left(), false);
  assert.deepEqual(told, []);
  keep(bundle, clock);
  assert.deepEqual(kept(), { bundle, clock });
});

test("whoever leaves in another window leaves here", () => {
  let calls = 0;
  whenLeft(() => calls++);
  for (const event of [{ key: "happycode.codes", newValue: null }, { key: "happycode.left", newValue: null }]) heard.forEach((then) => then(event));
  assert.equal(calls, 0);
  assert.equal(left(), false);
  heard.forEach((then) => then({ key: "happycode.left", newValue: "1" }));
  assert.equal(calls, 1);
  assert.equal(left(), true);
  assert.deepEqual(told, []); // else two windows would tell each other for ever
  assert.equal(items.size, 0);
});

test("after leaving nothing is kept, and nothing is left behind", () => {
  leave();
  assert.deepEqual(told, ["1"]);
  keep(bundle, clock);
  assert.equal(kept(), undefined);
  assert.equal(items.size, 0);
});
