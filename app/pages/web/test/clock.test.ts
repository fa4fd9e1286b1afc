import assert from "node:assert/strict";
import { test } from "node:test";
import { type Bundle, ServerClock, bundleOf, pause, shown } from "../src/clock";

const minute = 60_000;
const hour = 60 * minute;
const server = 1_764_036_000_000; // the first ms of a step
const token = (i: number): string => String(i).padStart(193, "0");

function bundle(): Bundle {
  return {
    server_ms: server + 7_000, from_step: server / 30_000, step_s: 30, tokens: Array.from({ length: 40 }, (_, i) => token(i)),
    prefix: "https://xf.gov.cn/c#", name: "李秀英", card_no: "734118205569",
  };
}

// A phone whose wall clock is three hours slow, some time after it was switched on.
const slow = { wall: server - 3 * hour, steady: 5_000 };
const later = (at: typeof slow, wall: number, steady = wall): typeof slow => ({ wall: at.wall + wall, steady: at.steady + steady });

test("each step has its code, before the first and after the last there is none", () => {
  const b = bundle();
  assert.equal(shown(b, server - 1).token, undefined);
  assert.deepEqual(shown(b, server), { token: token(0), nextMs: 30_000, leftMs: 20 * minute });
  assert.deepEqual(shown(b, server + 29_999), { token: token(0), nextMs: 1, leftMs: 20 * minute - 29_999 });
  assert.equal(shown(b, server + 30_000).token, token(1));
  assert.equal(shown(b, server + 15 * minute).token, token(30));
  assert.equal(shown(b, server + 20 * minute - 1).token, token(39));
  assert.deepEqual(shown(b, server + 20 * minute), { token: undefined, nextMs: 30_000, leftMs: 0 });
});

test("a wrong wall clock does not matter, and half the way of the answer is counted", () => {
  const clock = ServerClock.from(server, slow, later(slow, 800));
  assert.equal(clock.now(later(slow, 800), false), server + 400);
  assert.equal(clock.now(later(slow, 60_800), false), server + 60_400);
});

test("a wall clock that is set while the page is looked at is not followed", () => {
  for (const jump of [3 * hour, -3 * hour, 20_000]) {
    const clock = ServerClock.from(server, slow, slow);
    assert.equal(clock.now(later(slow, 10_000 + jump, 10_000), false), server + 10_000, `by ${jump}`);
    assert.equal(clock.now(later(slow, 20_000 + jump, 20_000), false), server + 20_000, `by ${jump}, later`);
  }
});

test("sleep is counted, whether or not the steady clock stands still in it", () => {
  for (const steady of [0, 200, 10 * minute]) {
    const clock = ServerClock.from(server, slow, slow);
    assert.equal(clock.now(later(slow, 10 * minute, steady), true), server + 10 * minute, `steady ${steady}`);
  }
});

test("a wall clock set back during sleep does not turn back the time", () => {
  const clock = ServerClock.from(server, slow, slow);
  assert.equal(clock.now(later(slow, -hour, 10 * minute), true), server + 10 * minute);
  assert.equal(clock.now(later(slow, -hour - minute, 10 * minute), true), server + 10 * minute);
});

test("a page opened again goes on by the wall clock, wrong as it is", () => {
  const clock = ServerClock.from(server, slow, slow);
  clock.now(later(slow, 5 * minute), false);
  const kept = clock.keep();
  const reopened = { wall: slow.wall + 9 * minute, steady: 40 }; // the steady clock begins anew
  assert.equal(ServerClock.again(kept, reopened)?.now(reopened, false), server + 9 * minute);
});

test("a page opened again after the clock was set back shows nothing rather than something wrong", () => {
  const clock = ServerClock.from(server, slow, slow);
  clock.now(later(slow, 5 * minute), false);
  const kept = clock.keep();
  assert.equal(ServerClock.again(kept, { wall: slow.wall - hour, steady: 0 }), undefined);
  // A few seconds are the phone's own correction.
  const close = { wall: slow.wall + 5 * minute - 3_000, steady: 0 };
  assert.equal(ServerClock.again(kept, close)?.now(close, false), server + 5 * minute);
});

test("only a whole bundle is taken", () => {
  assert.deepEqual(bundleOf(JSON.parse(JSON.stringify(bundle()))), bundle());
  for (const wrong of [
    null, "x", {}, [], { ...bundle(), tokens: [] }, { ...bundle(), tokens: ["12"] }, { ...bundle(), tokens: [7] },
    { ...bundle(), step_s: 0 }, { ...bundle(), server_ms: "1" }, { ...bundle(), prefix: undefined }, { ...bundle(), from_step: NaN },
  ]) {
    assert.equal(bundleOf(wrong), undefined, JSON.stringify(wrong));
  }
});

test("a bundle is renewed long before a quarter of an hour is all that is left", () => {
  const reach = 20 * minute - 30_000; // of a bundle, at the least
  assert.ok(reach - pause(0) - 10_000 >= 15 * minute);
  assert.deepEqual([1, 2, 3, 4, 50].map(pause), [5_000, 10_000, 20_000, 30_000, 30_000]);
});
