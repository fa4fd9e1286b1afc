// The rules of work without a network, without a browser.
import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import { test } from "node:test";
import { Clock } from "../src/offline/clock";
import { type Queued, type State, backOff, nextBatch, settled, waiting } from "../src/offline/queue";
import { base64url, canonical, newID, sign } from "../src/offline/record";
import { type Given, Roster } from "../src/offline/rules";
import type { Bundle, Item, Person } from "../src/offline/types";

const hour = 3_600_000;
const start = 1_764_036_000_000;

function item(allocation: string, changes: Partial<Item> = {}): Item {
  return { allocation, offer: "rice", title_zh: "大米", title_en: "Rice", category: "grocery", unit: "袋", qty_units: 1, value_fen: 3000, until_ms: 0, handover: { how: "delivery", place: "", place_en: "", note: "" }, ...changes };
}

function person(resident: string, changes: Partial<Person> = {}): Person {
  return { resident, name: "沈" + resident, place: "浮星桥村", birth_year: 1948, groups: [], card_no: "", household: "h-" + resident, codes: [], revoked: [], pin_hash: "", needs: [], room: {}, items: [], elsewhere: [], ...changes };
}

function roster(people: Person[], spares: Item[] = []): Roster {
  const lease = { id: "l1", device: "d1", division: "330502001006", place: "浮星桥村", from_ms: start, until_ms: start + 12 * hour, sync_until_ms: start + 36 * hour, items: 0, given: 0 };
  const bundle: Bundle = { lease, server_ms: start, pin_above_fen: 10_000, keys: { keys: [] }, people, spares, disputed: [] };
  return new Roster(bundle);
}

const given = (seq: number, allocation: string, resident: string, need = "", state: State = "accepted"): Given => ({ seq, state, allocation, resident, need, qty_units: 1 });

test("a clock never goes back, and stops at no hand's command", () => {
  let wall = start;
  let running = 0;
  const clock = new Clock({ offsetMs: 5000, highMs: 0 }, () => wall, () => running);
  assert.equal(clock.now(), start + 5000);
  wall = start - 48 * hour; // set back
  running = hour;
  const stopped = clock.now();
  assert.equal(stopped, start + 5000);
  wall = start + 2 * hour;
  assert.equal(clock.now(), start + 2 * hour + 5000);
});

test("a clock set back before the page was opened goes on from the latest time seen", () => {
  let running = 50;
  const clock = new Clock({ offsetMs: 0, highMs: start }, () => start - 24 * hour, () => running);
  assert.equal(clock.now(), start);
  running += hour;
  assert.equal(clock.now(), start + hour);
  assert.deepEqual(clock.mark(), { offsetMs: 0, highMs: start + hour });
});

test("a clock learns from other windows, forwards only, and goes on from there", () => {
  let running = 0;
  const clock = new Clock({ offsetMs: 0, highMs: start }, () => 0, () => running);
  clock.learn({ offsetMs: 0, highMs: start + hour });
  assert.equal(clock.now(), start + hour);
  running = 1000;
  assert.equal(clock.now(), start + hour + 1000);
  clock.learn({ offsetMs: 0, highMs: start });
  assert.equal(clock.now(), start + hour + 1000);
});

test("the server's word puts a clock right in either direction", () => {
  let wall = start + 100 * hour; // set forward
  const clock = new Clock({ offsetMs: 0, highMs: start }, () => wall, () => 0);
  assert.equal(clock.now(), start + 100 * hour);
  clock.heard(start + hour);
  assert.equal(clock.now(), start + hour);
  wall += hour;
  assert.equal(clock.now(), start + 2 * hour);
});

test("a handover is signed over one text", async () => {
  const r = { id: "i", seq: 7, lease: "l", allocation: "a", resident: "r", need: "", code: "00ff", how: "scan" as const, token: "12", pin: true, qty_units: 2, given_ms: 99 };
  assert.equal(canonical(r), "XFM-OFF-v1\ni\n7\nl\na\nr\n\n00ff\nscan\n12\n1\n2\n99");
  assert.equal(canonical({ ...r, pin: false }), "XFM-OFF-v1\ni\n7\nl\na\nr\n\n00ff\nscan\n12\n0\n2\n99");
  const keys = await webcrypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign", "verify"]);
  const signed = await sign(r, keys.privateKey as CryptoKey);
  const sig = Buffer.from(signed.sig, "base64url");
  assert.equal(sig.length, 64);
  const check = (text: string): Promise<boolean> => webcrypto.subtle.verify({ name: "ECDSA", hash: "SHA-256" }, keys.publicKey, sig, Buffer.from(text));
  assert.equal(await check(canonical(r)), true);
  assert.equal(await check(canonical({ ...r, qty_units: 3 })), false);
});

test("ids are UUIDs, and base64url has no padding", () => {
  assert.match(newID(), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal(base64url(new Uint8Array([251, 255, 254, 1])), "-__-AQ");
});

test("a code tells its person, its carer, its end and its death", () => {
  const r = roster([
    person("a", { codes: [{ id: "c1", carer_name: "", relation: "", until_ms: 0, pin_hash: "" }, { id: "c2", carer_name: "李四", relation: "儿子", until_ms: start + hour, pin_hash: "" }], revoked: ["c0"] }),
    person("b", { codes: [{ id: "c3", carer_name: "", relation: "", until_ms: 0, pin_hash: "" }] }),
  ]);
  const own = r.byCode("c1", start);
  assert.equal(own.as === "person" && own.person.resident, "a");
  const carer = r.byCode("c2", start);
  assert.equal(carer.as === "person" && carer.code.carer_name, "李四");
  assert.equal(r.byCode("c2", start + hour).as, "over");
  assert.equal(r.byCode("c0", start).as, "revoked");
  assert.equal(r.byCode("c9", start).as, "unknown");
});

test("people are found by card number and by a part of the name", () => {
  const r = roster([person("b"), person("a", { card_no: "123456789012" }), person("c", { name: "王五" })]);
  assert.equal(r.byCard("123456789012")?.resident, "a");
  assert.equal(r.byCard("999"), undefined);
  assert.deepEqual(r.byName("沈").map((p) => p.resident), ["a", "b"]);
  assert.deepEqual(r.byName(" "), []);
});

test("what is theirs is given once, to them alone, within its time and the list's", () => {
  const a = person("a", { items: [item("x"), item("late", { until_ms: start + hour })] });
  const b = person("b");
  const r = roster([a, b]);
  const may = (p: Person, allocation: string, at = start): string | undefined => r.refusal(p, allocation, "", "scan", undefined, false, at);
  assert.equal(may(a, "x"), undefined);
  assert.equal(may(b, "x"), "not_here");
  assert.equal(may(a, "nothing"), "not_here");
  assert.equal(may(a, "late", start + hour - 1), undefined);
  assert.equal(may(a, "late", start + hour), "item_over");
  assert.equal(may(a, "x", start + 12 * hour), "list_over");
  assert.equal(r.left(start), 2);
  r.learn([given(1, "x", "a")], 0);
  assert.equal(may(a, "x"), "given");
  assert.equal(r.left(start), 1);
  assert.deepEqual(r.for(a, start).map((t) => [t.item.allocation, t.given]), [["x", true], ["late", false]]);
});

test("spares serve a listed need, within what is left of it, each portion once", () => {
  const a = person("a", { needs: [{ id: "n1", category: "grocery", qty_units: 2, left_units: 2, urgency: 1 }], room: { grocery: -1 } });
  const r = roster([a, person("b", { room: { grocery: -1 } })], [item("s1"), item("s2"), item("s3"), item("m1", { category: "meal", offer: "soup" })]);
  const may = (allocation: string, need = "n1"): string | undefined => r.refusal(a, allocation, need, "scan", undefined, false, start);
  assert.equal(may("s1"), undefined);
  assert.equal(may("s1", ""), "not_here");
  assert.equal(may("s1", "n9"), "no_need");
  assert.equal(may("m1"), "no_need");
  assert.equal(r.refusal(person("b"), "s1", "n1", "scan", undefined, false, start), "no_need");
  const [spare] = r.for(a, start);
  assert.deepEqual([spare?.need, spare?.portions, spare?.given], ["n1", 3, false]);
  r.learn([given(1, "s1", "a", "n1")], 0);
  assert.deepEqual(r.wanted(a).map((x) => [x.need.id, x.left]), [["n1", 1]]);
  assert.equal(may("s1"), "given");
  assert.equal(may("s2"), undefined);
  r.learn([given(1, "s1", "a", "n1"), given(2, "s2", "a", "n1")], 0);
  assert.equal(may("s3"), "no_need");
  assert.deepEqual(r.wanted(a), []);
  assert.equal(r.for(a, start).filter((t) => !t.given).length, 0);
});

test("a list fetched anew counts what was synced before, and is not counted twice", () => {
  const a = person("a", { needs: [{ id: "n1", category: "grocery", qty_units: 3, left_units: 1, urgency: 1 }], room: { grocery: 1 } });
  const r = roster([a], [item("s1"), item("s2"), item("s3")]);
  const two = [given(1, "s1", "a", "n1"), given(2, "s2", "a", "n1")];
  r.learn(two, 2);
  assert.equal(r.refusal(a, "s3", "n1", "scan", undefined, false, start), undefined);
  r.learn(two, 1);
  assert.equal(r.refusal(a, "s3", "n1", "scan", undefined, false, start), "no_need");
});

test("what waits for a person, or was refused, counts as given after a list was fetched anew", () => {
  const needs = [{ id: "n1", category: "grocery", qty_units: 1, left_units: 1, urgency: 1 }];
  const a = person("a", { household: "h", needs, room: { grocery: 1 } });
  const b = person("b", { household: "h", needs: [{ ...needs[0]!, id: "n2" }], room: { grocery: 1 } });
  const r = roster([a, b], [item("s2")]);
  for (const state of ["flagged", "refused", "waiting"] as const) {
    r.learn([given(1, "s1", "a", "n1", state)], 1);
    assert.equal(r.refusal(a, "s2", "n1", "scan", undefined, false, start), "no_need", state);
    assert.equal(r.refusal(b, "s2", "n2", "scan", undefined, false, start), "no_room", state);
    assert.equal(r.for(a, start).length, 0, state);
  }
  r.learn([given(1, "s1", "a", "n1")], 1);
  assert.equal(r.refusal(a, "s2", "n1", "scan", undefined, false, start), undefined);
});

test("a phone that has lost its rows learns from its list what waits for a person", () => {
  const meal = { category: "meal", offer: "soup" };
  const needs = [{ id: "n1", category: "grocery", qty_units: 2, left_units: 2, urgency: 1 }, { id: "n2", category: "meal", qty_units: 1, left_units: 1, urgency: 1 }];
  const a = person("a", { needs, room: { grocery: 1, meal: 1 } });
  const { bundle } = roster([a], [item("s2"), item("m1", meal)]);
  const r = new Roster({ ...bundle, disputed: [{ ...item("s1"), resident: "a", need: "n1" }] });
  for (const rows of [[], [given(1, "s1", "a", "n1", "flagged")]]) {
    r.learn(rows, 1);
    assert.equal(r.refusal(a, "s1", "n1", "scan", undefined, false, start), "given");
    assert.equal(r.refusal(a, "s2", "n1", "scan", undefined, false, start), "no_room");
    assert.equal(r.refusal(a, "m1", "n2", "scan", undefined, false, start), undefined, "another category's room is its own");
  }
  assert.deepEqual(r.for(a, start).map((t) => [t.item.allocation, t.given]), [["s1", true], ["m1", false]]);
});

test("a household's room is shared, and no room is stated as none", () => {
  const needs = [{ id: "n1", category: "grocery", qty_units: 1, left_units: 1, urgency: 1 }];
  const a = person("a", { household: "h", needs, room: { grocery: 1 } });
  const b = person("b", { household: "h", needs: [{ ...needs[0]!, id: "n2" }], room: { grocery: 1 } });
  const c = person("c", { needs: [{ ...needs[0]!, id: "n3" }] });
  const r = roster([a, b, c], [item("s1"), item("s2")]);
  assert.equal(r.refusal(b, "s2", "n2", "scan", undefined, false, start), undefined);
  r.learn([given(1, "s1", "a", "n1")], 0);
  assert.equal(r.refusal(b, "s2", "n2", "scan", undefined, false, start), "no_room");
  assert.equal(r.refusal(c, "s2", "n3", "scan", undefined, false, start), "no_room");
});

test("what is worth more than the limit needs the PIN, and never goes by name", () => {
  const dear = item("x", { value_fen: 5_001, qty_units: 2 });
  const a = person("a", { items: [dear, item("cheap", { value_fen: 10_000 })], pin_hash: "$argon2id$" });
  const b = person("b", { items: [{ ...dear, allocation: "y" }] });
  const r = roster([a, b]);
  assert.equal(r.refusal(a, "cheap", "", "word", undefined, false, start), undefined);
  assert.equal(r.refusal(a, "x", "", "scan", undefined, false, start), "pin");
  assert.equal(r.refusal(a, "x", "", "card_no", undefined, true, start), undefined);
  assert.equal(r.refusal(a, "x", "", "word", undefined, false, start), "by_name");
  assert.equal(r.refusal(b, "y", "", "scan", undefined, false, start), "no_pin");
  // Where a carer shows the code it is the carer's PIN.
  const carer = { id: "c", carer_name: "李四", relation: "儿子", until_ms: 0, pin_hash: "$argon2id$" };
  assert.equal(r.refusal(b, "y", "", "scan", carer, false, start), "pin");
  assert.equal(r.refusal(a, "x", "", "scan", { ...carer, pin_hash: "" }, false, start), "no_pin");
});

test("the limit for PINs may be none, or nothing", () => {
  const a = person("a", { items: [item("x", { value_fen: 1_000_000 }), item("free", { value_fen: 0 })], pin_hash: "$argon2id$" });
  const r = roster([a]);
  const asks = (limit: number, allocation: string): boolean => new Roster({ ...r.bundle, pin_above_fen: limit }).needsPIN(r.item(allocation)!);
  assert.equal(asks(-1, "x"), false);
  assert.equal(asks(0, "free"), true);
  assert.equal(asks(1, "free"), false);
});

test("an offer's own cap counts beside the category's", () => {
  const needs = [{ id: "n1", category: "grocery", qty_units: 5, left_units: 5, urgency: 1 }];
  const a = person("a", { needs, room: { grocery: -1, "o:rice": 1 } });
  const r = roster([a], [item("s1"), item("s2"), item("s3", { offer: "flour" })]);
  r.learn([given(1, "s1", "a", "n1")], 0);
  assert.equal(r.refusal(a, "s2", "n1", "scan", undefined, false, start), "no_room");
  assert.equal(r.refusal(a, "s3", "n1", "scan", undefined, false, start), undefined);
});

test("handovers go in order, and what is settled goes no more", () => {
  const row = (seq: number, state: Queued["state"] = "waiting"): Queued => ({ seq, id: "i" + seq, state });
  const all = [row(3), row(1, "accepted"), row(2), row(4)];
  assert.deepEqual(nextBatch(all, 2).map((r) => r.seq), [2, 3]);
  assert.equal(waiting(all), 3);
  const reason = { code: "double", zh: "重复", en: "Twice" };
  const changed = settled(nextBatch(all), [
    { id: "i2", outcome: "accepted", was: "accepted" },
    { id: "i3", outcome: "known", was: "flagged", reason },
    { id: "i1", outcome: "refused", was: "refused" },
    { id: "i9", outcome: "accepted", was: "accepted" },
  ]);
  assert.deepEqual(changed.map((r) => [r.seq, r.state, r.reason?.code]), [[2, "accepted", undefined], [3, "flagged", "double"]]);
});

test("waiting before the next try grows, and ends at some minutes", () => {
  assert.equal(backOff(1, 0.5), 5_000);
  assert.equal(backOff(2, 0.5), 10_000);
  assert.equal(backOff(50, 0.5), 300_000);
  assert.ok(backOff(3, 0) < backOff(3, 1));
});
