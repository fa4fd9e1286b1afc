// The lock on the list: the six digits and the phone's own key, both needed.
import { argon2Verify, argon2id } from "hash-wasm";
import { type Box, type DB, ListGone, type Singles, keep, listTries, rightFor, seal, single, tryFor, unseal, wipe } from "./store";
import type { Bundle } from "./types";

// Argon2id: 32 MiB, two passes. Measured in Chromium on a slow phone's speed
// (6× throttled): see app/pages/DESIGN.md.
const memoryKiB = 32 * 1024;
const passes = 2;

export type Unlocked = { key: CryptoKey; bundle: Bundle };
type Lock = Singles["lock"];
export type Failure = { left: number }; // tries that are left; 0: the list was destroyed

/** Locks a bundle under a PIN and keeps it in place of what was there. */
export async function take(db: DB, bundle: Bundle, pin: string, throughSeq: number): Promise<CryptoKey> {
  const salt = crypto.getRandomValues(new Uint8Array(16));
  const raw = crypto.getRandomValues(new Uint8Array(32));
  const outer = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
  const inner = await seal(await stretch(pin, salt, memoryKiB, passes), "list key", raw);
  const wrapped = await seal(outer, "list key", join(inner));
  const key = await fromRaw(raw);
  raw.fill(0);
  await keep(db, {
    lock: { salt, memoryKiB, passes, outer, wrapped, wrong: 0 },
    list: await sealBundle(key, bundle),
    lease: summary(bundle, throughSeq),
  });
  return key;
}

/** Puts a newer bundle of the same lease in place. Errors: ListGone. */
export async function refresh(db: DB, key: CryptoKey, bundle: Bundle, throughSeq: number): Promise<void> {
  const list = await sealBundle(key, bundle);
  const tx = db.transaction("singles", "readwrite", { durability: "strict" });
  const held = (await tx.store.get("lease")) as { id: string } | undefined;
  if (held?.id === bundle.lease.id) {
    void tx.store.put(list, "list");
    void tx.store.put(summary(bundle, throughSeq), "lease");
  }
  await tx.done;
  if (held?.id !== bundle.lease.id) throw new ListGone();
}

/** Opens the list. A try is counted before it is made; the tenth wrong one destroys the list. */
export async function unlock(db: DB, pin: string): Promise<Unlocked | Failure> {
  const tx = db.transaction("singles", "readwrite", { durability: "strict" });
  const lock = (await tx.store.get("lock")) as Lock | undefined;
  if (lock) void tx.store.put({ ...lock, wrong: lock.wrong + 1 }, "lock");
  await tx.done;
  const list = await single(db, "list");
  if (!lock || !list || lock.wrong >= listTries) {
    await wipe(db);
    return { left: 0 };
  }
  try {
    const inner = split(await unseal(lock.outer, "list key", lock.wrapped));
    const raw = new Uint8Array(await unseal(await stretch(pin, lock.salt, lock.memoryKiB, lock.passes), "list key", inner));
    const key = await fromRaw(raw);
    raw.fill(0);
    const bundle = JSON.parse(new TextDecoder().decode(await unseal(key, "list", list))) as Bundle;
    await forgive(db);
    return { key, bundle };
  } catch (error) {
    if (!(error instanceof DOMException) || error.name !== "OperationError") throw error;
    const left = Math.max(0, listTries - lock.wrong - 1);
    if (left === 0) await wipe(db);
    return { left };
  }
}

async function forgive(db: DB): Promise<void> {
  const tx = db.transaction("singles", "readwrite", { durability: "strict" });
  const lock = (await tx.store.get("lock")) as Lock | undefined;
  if (lock) void tx.store.put({ ...lock, wrong: 0 }, "lock");
  await tx.done;
}

/** Checks a PIN against its hash; who is whose tries count. "spent": none are left on this device. */
export async function checkPIN(db: DB, who: string, hash: string, pin: string, nowMs: number): Promise<"right" | "wrong" | "spent"> {
  if (!hash || !(await tryFor(db, who, nowMs))) return "spent";
  if (!(await argon2Verify({ password: pin, hash }))) return "wrong";
  await rightFor(db, who);
  return "right";
}

async function stretch(pin: string, salt: Uint8Array, memory: number, rounds: number): Promise<CryptoKey> {
  const bytes = await argon2id({ password: pin, salt, memorySize: memory, iterations: rounds, parallelism: 1, hashLength: 32, outputType: "binary" });
  return crypto.subtle.importKey("raw", new Uint8Array(bytes), "AES-GCM", false, ["encrypt", "decrypt"]);
}

function fromRaw(raw: Uint8Array<ArrayBuffer>): Promise<CryptoKey> {
  return crypto.subtle.importKey("raw", raw, "AES-GCM", false, ["encrypt", "decrypt"]);
}

function sealBundle(key: CryptoKey, bundle: Bundle): Promise<Box> {
  return seal(key, "list", new Uint8Array(new TextEncoder().encode(JSON.stringify(bundle))));
}

function summary(bundle: Bundle, throughSeq: number): { id: string; place: string; until_ms: number; sync_until_ms: number; people: number; throughSeq: number } {
  const { id, place, until_ms, sync_until_ms } = bundle.lease;
  return { id, place, until_ms, sync_until_ms, people: bundle.people?.length ?? 0, throughSeq };
}

function join(box: Box): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(12 + box.data.byteLength);
  out.set(box.iv);
  out.set(new Uint8Array(box.data), 12);
  return out;
}

function split(bytes: ArrayBuffer): Box {
  return { iv: new Uint8Array(bytes.slice(0, 12)), data: bytes.slice(12) };
}
