// What the phone keeps, over an IndexedDB in memory.
import assert from "node:assert/strict";
import { test } from "node:test";
import { IDBFactory } from "fake-indexeddb";
import "fake-indexeddb/auto";
import { type DB, type Singles, deviceOf, keep, openStore } from "../src/offline/store";

/** A phone that nobody has used yet. */
function phone(): Promise<DB> {
  globalThis.indexedDB = new IDBFactory();
  return openStore();
}

test("a colleague who takes over a phone does not work under the device of who had it", async () => {
  const db = await phone();
  assert.equal(await deviceOf(db, "chen"), undefined);
  await keep(db, { device: { id: "d1", account: "chen", name: "手机" } as Singles["device"] });
  assert.equal((await deviceOf(db, "chen"))?.id, "d1");
  assert.equal(await deviceOf(db, "shen"), undefined);
});
