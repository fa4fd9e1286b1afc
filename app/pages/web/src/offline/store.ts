// What the phone keeps: IndexedDB, written through to the disk before anything
// is said to be done. See app/pages/DESIGN.md, "A phone without a network".
import { type DBSchema, type IDBPDatabase, openDB } from "idb";
import { Clock, type Mark } from "./clock";
import { type Queued, waiting } from "./queue";
import type { Given } from "./rules";
import type { Handover, Item, Lease } from "./types";

/** What stands in the database under fixed names. */
export interface Singles {
  device: { id: string; account: string; name: string; keys: CryptoKeyPair; queueKey: CryptoKey };
  /** What the phone is for colleagues who share it, by account, with the number of its last handover. */
  aside: Record<string, { device: Singles["device"]; seq: number }>;
  /** The key to the list, locked twice: by the PIN and by a key that cannot be read out. */
  lock: { salt: Uint8Array; memoryKiB: number; passes: number; outer: CryptoKey; wrapped: Box; wrong: number };
  /** What may be shown before the PIN: no name of anybody. */
  lease: Pick<Lease, "id" | "place" | "until_ms" | "sync_until_ms"> & { people: number; throughSeq: number };
  list: Box;
  clock: Mark;
  seq: number; // of the last handover
  note: string; // why the list was destroyed while nobody looked: a key of the catalogue
  turn: { by: string; untilMs: number }; // whose turn it is where the browser has no locks
}

export interface Box {
  iv: Uint8Array;
  data: ArrayBuffer;
}

/** A handover on its way: the ids that order it, the rest in a box. */
export interface Row extends Queued {
  allocation: string;
  box: Box;
}

interface Schema extends DBSchema {
  singles: { key: keyof Singles; value: Singles[keyof Singles] };
  queue: { key: number; value: Row; indexes: { allocation: string; id: string } };
  wrong: { key: string; value: Tries }; // wrong PINs, of a resident or of a carer's code
}

/** Wrong PINs in a row; they count until some time after the last one. */
export interface Tries {
  count: number;
  untilMs: number;
}

export type DB = IDBPDatabase<Schema>;

export const databaseName = "happycode-offline";

/** How often a wrong code is borne for the list, and a wrong PIN for each person. */
export const listTries = 10;
export const pinTries = 5;

/**
 * How long a wrong PIN counts, in ms: 24 hours. Before that only the right one
 * ends it: not another list, not signing out.
 */
const triesCountMs = 86_400_000;

const strict = { durability: "strict" } as const;

export function openStore(): Promise<DB> {
  return openDB<Schema>(databaseName, 1, {
    upgrade(db) {
      db.createObjectStore("singles");
      const queue = db.createObjectStore("queue", { keyPath: "seq" });
      queue.createIndex("allocation", "allocation", { unique: true });
      queue.createIndex("id", "id", { unique: true });
      db.createObjectStore("wrong");
    },
  });
}

/** The database if there is one; the pages of those who never work offline make none. */
export async function existingStore(): Promise<DB | undefined> {
  if (!("indexedDB" in globalThis)) return undefined;
  if (indexedDB.databases && !(await indexedDB.databases()).some((d) => d.name === databaseName)) return undefined;
  return openStore();
}

export async function single<K extends keyof Singles>(db: DB, name: K): Promise<Singles[K] | undefined> {
  return (await db.get("singles", name)) as Singles[K] | undefined;
}

/**
 * Makes the phone the device of an account, and answers with it; undefined: it
 * is none yet. A phone that is shared is a device of each account; what it is
 * for another is put aside, with its keys, until that one is back.
 *
 * Errors: ListGone, when another's list or unsent handovers are here.
 */
export async function become(db: DB, account: string): Promise<Singles["device"] | undefined> {
  const tx = db.transaction(["singles", "queue"], "readwrite", strict);
  const singles = tx.objectStore("singles");
  const queue = tx.objectStore("queue");
  const device = (await singles.get("device")) as Singles["device"] | undefined;
  const aside = { ...((await singles.get("aside")) as Singles["aside"] | undefined) };
  const seq = ((await singles.get("seq")) as number | undefined) ?? 0;
  const busy = (await singles.get("lease")) !== undefined || waiting(await queue.getAll()) > 0;
  if (device?.account === account || busy) {
    await tx.done;
    if (device && device.account !== account) throw new ListGone();
    return device;
  }
  if (device) aside[device.account] = { device, seq };
  const own = aside[account];
  delete aside[account];
  void queue.clear();
  for (const [name, value] of [["device", own?.device], ["seq", own?.seq], ["aside", Object.keys(aside).length > 0 ? aside : undefined]] as const) {
    if (value === undefined) void singles.delete(name);
    else void singles.put(value, name);
  }
  await tx.done;
  return own?.device;
}

/** Keeps several things at once, or none of them. */
export async function keep(db: DB, things: Partial<Singles>): Promise<void> {
  const tx = db.transaction("singles", "readwrite", strict);
  for (const [name, value] of Object.entries(things)) void tx.store.put(value, name as keyof Singles);
  await tx.done;
}

// ---- time ----

export async function openClock(db: DB): Promise<Clock> {
  const mark = (await single(db, "clock")) ?? { offsetMs: 0, highMs: 0 };
  return new Clock(mark, () => Date.now(), () => performance.now());
}

/** Keeps the latest time seen. The server's word may set it back, nothing else. */
export async function keepClock(db: DB, clock: Clock, heard = false): Promise<void> {
  const tx = db.transaction("singles", "readwrite");
  const kept = (await tx.store.get("clock")) as Mark | undefined;
  if (!heard && kept) clock.learn(kept);
  void tx.store.put(clock.mark(), "clock");
  await tx.done;
}

// ---- the list's end ----

/**
 * Destroys what names people, and the keys to it. Handovers that the server
 * does not have yet stay: they hold ids only, under a key of their own. The
 * page says the note when it is next opened.
 */
export async function wipe(db: DB, note = ""): Promise<void> {
  const tx = db.transaction(["singles", "queue"], "readwrite", strict);
  const singles = tx.objectStore("singles");
  for (const name of ["lock", "lease", "list", "note"] as const) void singles.delete(name);
  if (note) void singles.put(note, "note");
  for (let at = await tx.objectStore("queue").openCursor(); at; at = await at.continue()) {
    if (at.value.state !== "waiting") void at.delete();
  }
  await tx.done;
}

/** Destroys the list when its time is over, and forgets old tries of PINs; says whether the list is gone. */
export async function expire(db: DB): Promise<boolean> {
  const clock = await openClock(db);
  await forgetTries(db, clock.now());
  const lease = await single(db, "lease");
  if (!lease) return false;
  const over = clock.now() >= lease.until_ms;
  if (over) await wipe(db, "offline.list_over");
  await keepClock(db, clock);
  return over;
}

/** Why the list was destroyed, said once. */
export async function takeNote(db: DB): Promise<string> {
  const note = await single(db, "note");
  if (note) await db.delete("singles", "note");
  return note ?? "";
}

/** Forgets a device that the server does not know any more, and all it wrote. */
export async function forget(db: DB): Promise<void> {
  await wipe(db);
  const tx = db.transaction(["singles", "queue"], "readwrite", strict);
  void tx.objectStore("queue").clear();
  for (const name of ["device", "seq"] as const) void tx.objectStore("singles").delete(name);
  await tx.done;
}

// ---- handovers ----

/** Another window wrote a handover first, or this very thing is given already. */
export class Overtaken extends Error {}

/** The list is gone or another one since the page read it. */
export class ListGone extends Error {}

/**
 * Writes a handover, and returns once it is on the disk. Its number must
 * follow the last one and its allocation must be new: two windows and a double
 * tap make one record.
 *
 * Errors: Overtaken, ListGone.
 */
export async function append(db: DB, row: Row, lease: string): Promise<void> {
  const tx = db.transaction(["singles", "queue"], "readwrite", strict);
  const singles = tx.objectStore("singles");
  const queue = tx.objectStore("queue");
  const last = ((await singles.get("seq")) as number | undefined) ?? 0;
  const held = (await singles.get("lease")) as Singles["lease"] | undefined;
  const taken = await queue.index("allocation").getKey(row.allocation);
  const fault = held?.id !== lease ? new ListGone() : last !== row.seq - 1 || taken !== undefined ? new Overtaken() : undefined;
  if (fault) {
    await tx.done;
    throw fault;
  }
  void queue.add(row);
  void singles.put(row.seq, "seq");
  await tx.done;
}

export async function rows(db: DB): Promise<Row[]> {
  return db.getAll("queue");
}

/** Keeps what the server said about handovers. */
export async function settle(db: DB, changed: Row[]): Promise<void> {
  const tx = db.transaction("queue", "readwrite", strict);
  for (const row of changed) {
    if (await tx.store.get(row.seq)) void tx.store.put(row);
  }
  await tx.done;
}

// ---- boxes ----

export async function seal(key: CryptoKey, about: string, content: Uint8Array<ArrayBuffer>): Promise<Box> {
  const iv = crypto.getRandomValues(new Uint8Array(12));
  return { iv, data: await crypto.subtle.encrypt({ name: "AES-GCM", iv, additionalData: text(about) }, key, content) };
}

export async function unseal(key: CryptoKey, about: string, box: Box): Promise<ArrayBuffer> {
  return crypto.subtle.decrypt({ name: "AES-GCM", iv: new Uint8Array(box.iv), additionalData: text(about) }, key, box.data);
}

/** A handover as the phone keeps it: the record that the server gets, and what it was, to be shown when it stands on no list any more. */
export interface Kept {
  record: Handover;
  what: Pick<Item, "title_zh" | "title_en" | "category" | "unit">;
}

export async function sealHandover(key: CryptoKey, record: Handover, item: Item): Promise<Row> {
  const { title_zh, title_en, category, unit } = item;
  const kept: Kept = { record, what: { title_zh, title_en, category, unit } };
  const box = await seal(key, "handover " + record.seq, text(JSON.stringify(kept)));
  return { seq: record.seq, id: record.id, allocation: record.allocation, state: "waiting", box };
}

export async function openHandover(key: CryptoKey, row: Row): Promise<Kept> {
  return JSON.parse(new TextDecoder().decode(await unseal(key, "handover " + row.seq, row.box))) as Kept;
}

/** What was given, of the rows whose handover is known by its id. */
export function givenBy(rows: Row[], handovers: Map<string, Kept>): Given[] {
  return rows.flatMap((row) => {
    const h = handovers.get(row.id)?.record;
    return h ? { seq: row.seq, state: row.state, allocation: h.allocation, resident: h.resident, need: h.need, qty_units: h.qty_units } : [];
  });
}

function text(s: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new TextEncoder().encode(s));
}

// ---- wrong PINs ----

/** Counts one try before it is checked; false: none are left. */
export async function tryFor(db: DB, who: string, nowMs: number): Promise<boolean> {
  await forgetTries(db, nowMs);
  const tx = db.transaction("wrong", "readwrite", strict);
  const n = (await tx.store.get(who))?.count ?? 0;
  if (n < pinTries) void tx.store.put({ count: n + 1, untilMs: nowMs + triesCountMs }, who);
  await tx.done;
  return n < pinTries;
}

/** Forgets the wrong PINs whose time is over. */
async function forgetTries(db: DB, nowMs: number): Promise<void> {
  const tx = db.transaction("wrong", "readwrite", strict);
  for (let at = await tx.store.openCursor(); at; at = await at.continue()) {
    if (at.value.untilMs <= nowMs) void at.delete();
  }
  await tx.done;
}

/** Takes back the count after the right PIN. */
export async function rightFor(db: DB, who: string): Promise<void> {
  await db.delete("wrong", who);
}

export async function triesLeft(db: DB, who: string): Promise<number> {
  return pinTries - ((await db.get("wrong", who))?.count ?? 0);
}

// ---- one at a time ----

/**
 * Does something that only one window may do at once: with the browser's
 * locks, or with a turn in the database that ends by itself. Undefined: it is
 * somebody else's turn.
 */
export async function alone<T>(db: DB, act: () => Promise<T>): Promise<T | undefined> {
  if (navigator.locks) {
    return navigator.locks.request(databaseName, { ifAvailable: true }, async (lock) => (lock ? act() : undefined));
  }
  const by = [...crypto.getRandomValues(new Uint8Array(8))].join(".");
  const tx = db.transaction("singles", "readwrite");
  const turn = (await tx.store.get("turn")) as Singles["turn"] | undefined;
  const now = Date.now();
  // A turn that seems to last long was taken under another clock.
  const free = !turn || turn.untilMs <= now || turn.untilMs > now + 120_000;
  if (free) void tx.store.put({ by, untilMs: now + 60_000 }, "turn");
  await tx.done;
  if (!free) return undefined;
  try {
    return await act();
  } finally {
    await db.delete("singles", "turn");
  }
}
