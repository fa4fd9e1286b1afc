// What the phone keeps, over an IndexedDB in memory.
import assert from "node:assert/strict";
import { test } from "node:test";
import { IDBFactory } from "fake-indexeddb";
import "fake-indexeddb/auto";
import { argon2id } from "hash-wasm";
import { checkPIN, refresh, take } from "../src/offline/lock";
import { type DB, ListGone, type Row, become, keep, openStore, pinTries, single, triesLeft, wipe } from "../src/offline/store";
import type { Bundle } from "../src/offline/types";

const hour = 3_600_000;
const start = 1_764_036_000_000;

function list(id: string): Bundle {
  const lease = { id, device: "d1", division: "330502001006", place: "浮星桥村", from_ms: start, until_ms: start + 12 * hour, sync_until_ms: start + 36 * hour, items: 0, given: 0 };
  return { lease, server_ms: start, pin_above_fen: 10_000, keys: { keys: [] }, people: [], spares: [], disputed: [] };
}

/** A phone that nobody has used yet. */
function phone(): Promise<DB> {
  globalThis.indexedDB = new IDBFactory();
  return openStore();
}

test("a phone that is shared stays each colleague's device, with its keys and its numbers", async () => {
  const db = await phone();
  const register = async (id: string, account: string): Promise<void> => {
    const keys = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign", "verify"]);
    await keep(db, { device: { id, account, name: "手机", keys, queueKey: await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt"]) }, seq: 0 });
  };
  assert.equal(await become(db, "chen"), undefined);
  await register("d1", "chen");
  await keep(db, { seq: 7 });
  assert.equal((await become(db, "chen"))?.id, "d1");
  assert.equal(await become(db, "shen"), undefined, "a colleague does not work under the device of who had it");
  assert.equal(await single(db, "device"), undefined);
  await register("d2", "shen");
  const back = await become(db, "chen");
  assert.equal(back?.id, "d1");
  assert.equal(await single(db, "seq"), 7);
  await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, back!.keys.privateKey, new Uint8Array(1));
  assert.equal((await become(db, "shen"))?.id, "d2");
  assert.equal(await single(db, "seq"), 0);

  // Not while something of the other is here.
  await db.put("queue", { seq: 1, id: "i", state: "waiting", allocation: "a" } as Row);
  await assert.rejects(become(db, "chen"), ListGone);
  await db.clear("queue");
  await take(db, list("l1"), "135790", 0);
  await assert.rejects(become(db, "chen"), ListGone);
  assert.equal((await become(db, "shen"))?.id, "d2");
  db.close();
});

test("wrong PINs count over lists and reloads until the right one, or a day", async () => {
  let db = await phone();
  const hash = await argon2id({ password: "246810", salt: new Uint8Array(16), memorySize: 64, iterations: 1, parallelism: 1, hashLength: 32, outputType: "encoded" });
  const check = (pin: string, at = start): Promise<string> => checkPIN(db, "r1", hash, pin, at);
  const key = await take(db, list("l1"), "135790", 0);
  assert.equal(await check("000000"), "wrong");
  await refresh(db, key, list("l1"), 0);
  assert.equal(await check("000001"), "wrong");
  await wipe(db);
  await take(db, list("l2"), "135790", 0);
  assert.equal(await check("000002"), "wrong");
  db.close();
  db = await openStore();
  assert.equal(await triesLeft(db, "r1"), pinTries - 3);
  assert.equal(await check("246810"), "right");
  assert.equal(await triesLeft(db, "r1"), pinTries);

  for (let n = 0; n < pinTries; n++) assert.equal(await check("000000", start + n * hour), "wrong");
  assert.equal(await check("246810", start + 5 * hour), "spent");
  assert.equal(await checkPIN(db, "r2", hash, "246810", start + 5 * hour), "right", "somebody else's tries are their own");
  assert.equal(await check("246810", start + 28 * hour - 1), "spent");
  assert.equal(await check("246810", start + 28 * hour), "right");
  db.close();
});
