import assert from "node:assert/strict";
import { test } from "node:test";
import vectors from "../../../../qrcode/testdata/vectors.json";
import { cardNumber, extract, keysOf, parse, verify, type KeySet, type Verdict } from "../src/token";

const verdicts: Record<string, Verdict> = {
  ok: "ok",
  token: "not_code",
  key: "unknown_key",
  signature: "bad_signature",
  expired: "expired",
};

function base64url(hex: string): string {
  return Buffer.from(hex, "hex").toString("base64url");
}

/** The keys of the vectors as /api/v1/keys tells them. */
function jwks(): { keys: Record<string, unknown>[] } {
  return {
    keys: vectors.keys.map((k) => ({
      ...(k.algorithm === "SM2"
        ? { kty: "EC", crv: "SM2", alg: "SM2", x: base64url(k.public.slice(2, 66)), y: base64url(k.public.slice(66)) }
        : { kty: "OKP", crv: "Ed25519", alg: "EdDSA", x: base64url(k.public) }),
      use: "sig",
      kid: String(k.id),
      xfm_from_ms: k.from_ms,
      xfm_sign_until_ms: k.sign_until_ms,
      xfm_card_days: k.card_days,
      xfm_revoked_ms: k.revoked_ms,
    })),
  };
}

async function checkAll(keys: KeySet): Promise<void> {
  assert.ok(vectors.cases.length > 60, `only ${vectors.cases.length} vectors`);
  for (const c of vectors.cases) {
    const { verdict, token } = await verify(c.digits, keys, c.now_s * 1000);
    assert.equal(verdict, verdicts[c.want], c.name);
    const read = parse(c.digits);
    assert.deepEqual(read, token, c.name);
    if (c.want === "token") {
      assert.equal(read, undefined, c.name);
    } else {
      assert.deepEqual(read, { kind: c.kind === 0 ? "card" : "screen", keyID: c.key, codeID: c.code_id, stamp: c.stamp }, c.name);
    }
  }
}

test("every vector has the verdict that Go gives it", async () => {
  await checkAll(keysOf(jwks()));
});

test("the same where the browser has no Ed25519", async (t) => {
  const asked = t.mock.method(crypto.subtle, "importKey", () => Promise.reject(new DOMException("unknown", "NotSupportedError")));
  await checkAll(keysOf(jwks()));
  assert.ok(asked.mock.callCount() > 0);
});

test("the same over plain HTTP, where there is no WebCrypto", async (t) => {
  t.mock.getter(crypto, "subtle", () => undefined as unknown as SubtleCrypto);
  await checkAll(keysOf(jwks()));
});

test("a changed digit is never accepted", async () => {
  const keys = keysOf(jwks());
  for (const name of ["Ed25519: valid card", "SM2: valid card"]) {
    const good = vectors.cases.find((c) => c.name === name);
    assert.ok(good);
    for (let i = 0; i < good.digits.length; i++) {
      const digit = (Number(good.digits[i]) + 1 + (i % 9)) % 10;
      const changed = good.digits.slice(0, i) + String(digit) + good.digits.slice(i + 1);
      const { verdict } = await verify(changed, keys, good.now_s * 1000);
      assert.notEqual(verdict, "ok", `digit ${i}`);
    }
  }
});

test("keys that cannot be understood are left out", () => {
  assert.equal(keysOf(undefined).size, 0);
  assert.equal(keysOf({ keys: "none" }).size, 0);
  const [first] = jwks().keys;
  assert.ok(first);
  for (const [what, change] of Object.entries({
    "no key id": { kid: undefined },
    "key id of 256": { kid: "256" },
    "key id with a zero in front": { kid: "01" },
    "another curve": { crv: "P-256" },
    "a short key": { x: "AAAA" },
    "not base64url": { x: "+".repeat(43) },
    "no dates": { xfm_card_days: undefined },
  })) {
    assert.equal(keysOf({ keys: [{ ...first, ...change }, null, 7] }).size, 0, what);
  }
  assert.equal(keysOf({ keys: [first] }).size, 1);
});

test("an SM2 key that is no point of the curve verifies nothing", async () => {
  const good = vectors.cases.find((c) => c.name === "SM2: valid card");
  assert.ok(good);
  const changed = jwks().keys.map((k) => (k["kty"] === "EC" ? { ...k, x: "A".repeat(43) } : k));
  const { verdict } = await verify(good.digits, keysOf({ keys: changed }), good.now_s * 1000);
  assert.equal(verdict, "unknown_key");
});

test("the digits in what a scanner read", () => {
  const digits = vectors.cases[0]?.digits ?? "";
  for (const scanned of [digits, ` ${digits}\n`, `https://xf.example/c#${digits}`, `HTTP://127.0.0.1:8080/c#${digits}`]) {
    assert.equal(extract(scanned), digits);
  }
  for (const scanned of [
    "", `#${digits}`, `javascript:alert(1)#${digits}`, `https://#${digits}`, `https://xf.example/c?${digits}`,
    `https://xf.example/c#${digits}#${digits}`, digits.slice(1), digits + digits, "x".repeat(2000) + "#" + digits,
  ]) {
    assert.equal(extract(scanned), undefined, scanned.slice(0, 40));
  }
});

test("card numbers as they are typed", () => {
  for (const c of vectors.cards) assert.equal(cardNumber(c.typed) ?? "", c.want, c.typed);
});
