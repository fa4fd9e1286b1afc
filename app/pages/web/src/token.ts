// Happiness codes without a network: what a scanner read, whether it is
// genuine, and whether it still stands. The same rules as package qrcode, and
// the same vectors (qrcode/testdata/vectors.json).

/** What a code says. */
export interface Token {
  kind: "card" | "screen";
  keyID: number;
  codeID: string; // 20 hex digits
  stamp: number; // card: Unix time / 60 s; screen: Unix time / 30 s
}

export type Verdict = "ok" | "not_code" | "unknown_key" | "bad_signature" | "expired";

const digitsOfToken = 193;
const sizeOfToken = 80; // bytes
const signedTo = 16; // bytes that the signature covers
const context = "XFM-QR-v1\0";
const slackMs = 30 * 60_000; // qrcode.Slack
const stepMs = 30_000;
const stepsBack = 2;
const stepsAhead = 1;
const maxScanned = 1024;

/** The 193 digits in what a scanner read, whichever host it names. */
export function extract(scanned: string): string | undefined {
  if (scanned.length > maxScanned) return undefined;
  let text = scanned.trim();
  const at = text.indexOf("#");
  if (at >= 0) {
    if (!/^https?:\/\/./i.test(text.slice(0, at))) return undefined;
    text = text.slice(at + 1);
  }
  return isDigits(text) ? text : undefined;
}

/** The digits in what was scanned or typed, a card number too, or "" if it is no code of ours. */
export function codeIn(text: string): string {
  const typed = text.replace(/[\s-]/g, "");
  return /^[0-9]{12}$/.test(typed) ? typed : (extract(text) ?? "");
}

/** The single-use code of a voucher in what was scanned or typed, or "" if it is none. */
export function voucherIn(text: string): string {
  if (text.length > maxScanned) return "";
  const at = text.indexOf("/v#");
  const code = (at >= 0 ? text.slice(at + 3) : text).replace(/[\s-]/g, "").toUpperCase();
  return /^V[0-9A-Z]{11}$/.test(code) ? code : "";
}

/** Which code the digits are of, also when they change with time; a card number is its own. */
export function codeIdentity(digits: string): string {
  return parse(digits)?.codeID ?? digits;
}

function isDigits(text: string): boolean {
  return text.length === digitsOfToken && /^[0-9]+$/.test(text);
}

function bytesOf(digits: string): Uint8Array<ArrayBuffer> | undefined {
  if (!isDigits(digits)) return undefined;
  let n = BigInt(digits);
  const bytes = new Uint8Array(sizeOfToken);
  for (let i = sizeOfToken - 1; i >= 0; i--) {
    bytes[i] = Number(n & 255n);
    n >>= 8n;
  }
  return n === 0n ? bytes : undefined;
}

function tokenOf(bytes: Uint8Array): Token | undefined {
  const first = bytes[0];
  if (first !== 0x10 && first !== 0x11) return undefined; // version 1, a card or a screen code
  return {
    kind: first === 0x10 ? "card" : "screen",
    keyID: bytes[1] ?? 0,
    codeID: hex(bytes.subarray(2, 12)),
    stamp: new DataView(bytes.buffer, bytes.byteOffset).getUint32(12),
  };
}

/** What the digits say; nothing of their signature. */
export function parse(digits: string): Token | undefined {
  const bytes = bytesOf(digits);
  return bytes && tokenOf(bytes);
}

/** A public key and when it counts; see qrcode.Key. */
interface Key {
  algorithm: "Ed25519" | "SM2";
  public: Uint8Array<ArrayBuffer>;
  fromMs: number;
  signUntilMs: number;
  cardDays: number;
  revokedMs: number;
  check?: Promise<Check | undefined>;
}

type Check = (message: Uint8Array<ArrayBuffer>, signature: Uint8Array<ArrayBuffer>) => Promise<boolean> | boolean;

/** The keys that codes are checked with, by key id. */
export type KeySet = ReadonlyMap<number, Key>;

/** Reads the answer of /api/v1/keys; what it does not understand is left out. */
export function keysOf(jwks: unknown): KeySet {
  const keys = new Map<number, Key>();
  const list = typeof jwks === "object" && jwks !== null && "keys" in jwks ? jwks.keys : undefined;
  if (!Array.isArray(list)) return keys;
  for (const item of list as unknown[]) {
    if (typeof item !== "object" || item === null) continue;
    const j = item as Record<string, unknown>;
    const kid = j["kid"];
    if (typeof kid !== "string" || !/^(0|[1-9][0-9]{0,2})$/.test(kid) || Number(kid) > 255) continue;
    const dates = ["xfm_from_ms", "xfm_sign_until_ms", "xfm_card_days", "xfm_revoked_ms"].map((name) => j[name]);
    if (!dates.every((d): d is number => typeof d === "number" && Number.isFinite(d))) continue;
    const [fromMs, signUntilMs, cardDays, revokedMs] = dates as [number, number, number, number];
    const x = base64url(j["x"]);
    let key: Pick<Key, "algorithm" | "public"> | undefined;
    if (j["kty"] === "OKP" && j["crv"] === "Ed25519" && x?.length === 32) {
      key = { algorithm: "Ed25519", public: x };
    } else if (j["kty"] === "EC" && j["crv"] === "SM2" && x?.length === 32) {
      const y = base64url(j["y"]);
      if (y?.length === 32) key = { algorithm: "SM2", public: new Uint8Array([4, ...x, ...y]) };
    }
    if (key) keys.set(Number(kid), { ...key, fromMs, signUntilMs, cardDays, revokedMs });
  }
  return keys;
}

/**
 * Says whether the digits are a genuine code that stands at a time. Whether it
 * was revoked, or used before, is for others to know.
 */
export async function verify(digits: string, keys: KeySet, nowMs: number): Promise<{ verdict: Verdict; token?: Token }> {
  const bytes = bytesOf(digits);
  const token = bytes && tokenOf(bytes);
  if (!bytes || !token) return { verdict: "not_code" };
  const key = keys.get(token.keyID);
  if (!key || key.revokedMs !== 0) return { verdict: "unknown_key", token };
  const message = new Uint8Array(context.length + signedTo);
  for (let i = 0; i < context.length; i++) message[i] = context.charCodeAt(i);
  message.set(bytes.subarray(0, signedTo), context.length);
  key.check ??= checkOf(key);
  let good = false;
  let check: Check | undefined;
  try {
    check = await key.check;
  } catch (trouble) {
    delete key.check; // a script that could not be loaded may be there next time
    throw trouble;
  }
  if (!check) return { verdict: "unknown_key", token };
  try {
    good = await check(message, bytes.slice(signedTo));
  } catch {
    good = false; // a signature out of range
  }
  if (!good) return { verdict: "bad_signature", token };
  const stampMs = token.stamp * (token.kind === "screen" ? stepMs : 60_000);
  if (stampMs < key.fromMs - slackMs || (key.signUntilMs !== 0 && stampMs > key.signUntilMs + slackMs)) {
    return { verdict: "unknown_key", token };
  }
  if (token.kind === "screen") {
    const behind = Math.floor(nowMs / stepMs) - token.stamp;
    if (behind > stepsBack || behind < -stepsAhead) return { verdict: "expired", token };
  } else if (nowMs >= stampMs + key.cardDays * 86_400_000) {
    return { verdict: "expired", token };
  }
  return { verdict: "ok", token };
}

/**
 * The fastest check that this browser has, none for what is no key; the
 * scripts are loaded when needed.
 */
async function checkOf(key: Key): Promise<Check | undefined> {
  if (key.algorithm === "SM2") {
    const { checkSM2 } = await import("./sm2");
    try {
      return checkSM2(key.public);
    } catch {
      return undefined; // no point of the curve
    }
  }
  // Missing over plain HTTP, and without Ed25519 in browsers before 2024–25.
  const subtle = (globalThis.crypto as Crypto | undefined)?.subtle as SubtleCrypto | undefined;
  try {
    const imported = await subtle?.importKey("raw", key.public, { name: "Ed25519" }, false, ["verify"]);
    if (subtle && imported) return (message, signature) => subtle.verify({ name: "Ed25519" }, imported, signature, message);
  } catch {
    // Another way below.
  }
  const { checkEd25519 } = await import("./ed25519");
  return (message, signature) => checkEd25519(key.public, message, signature);
}

/** The card number that somebody typed: 12 digits with a right check digit. */
export function cardNumber(text: string): string | undefined {
  const digits = text.replace(/[\s-]/g, "");
  if (!/^[0-9]{12}$/.test(digits)) return undefined;
  let sum = 0;
  for (let i = 0; i < 12; i++) {
    let d = digits.charCodeAt(11 - i) - 48;
    if (i % 2 === 1 && (d *= 2) > 9) d -= 9;
    sum += d;
  }
  return sum % 10 === 0 ? digits : undefined;
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

function base64url(text: unknown): Uint8Array<ArrayBuffer> | undefined {
  if (typeof text !== "string" || !/^[A-Za-z0-9_-]*$/.test(text)) return undefined;
  try {
    return Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  } catch {
    return undefined;
  }
}
