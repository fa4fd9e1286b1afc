import assert from "node:assert/strict";
import { test } from "node:test";
import { address, due, verdict, wait } from "../src/pace";

test("failures are waited out ever longer, up to a minute", () => {
  assert.deepEqual([1, 2, 3, 4, 5, 6, 7, 2000].map(wait), [2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
});

test("a page is fetched as often as it says, less often while that fails", () => {
  assert.equal(due(Infinity, 1_000, 0), 300);
  assert.equal(due(200, 1_000, 0), 800);
  assert.equal(due(200, 5_000, 0), 4_800);
  assert.equal(due(0, 1_000, 1), 2_000);
  assert.equal(due(0, 5_000, 1), 5_000);
  assert.equal(due(0, 5_000, 3), 8_000);
  assert.equal(due(0, 1_000, 50), 60_000);
});

test("what one may not see, or is not there, is not asked for again", () => {
  for (const status of [401, 403, 404, 405, 410]) assert.equal(verdict(status, false), "over");
  assert.equal(verdict(200, true), "over"); // the sign-in page
  assert.equal(verdict(200, false), "fresh");
  for (const status of [429, 500, 502, 503, 504]) assert.equal(verdict(status, false), "again");
});

test("a page that answered a form is asked for by its own address", () => {
  assert.equal(address("/residents/1", { pathname: "/residents/1/needs", search: "" }), "/residents/1");
  assert.equal(address("/waiting", { pathname: "/waiting", search: "?county=330502000000" }), "/waiting?county=330502000000");
});
