// A handover as text, signed by the device.
import type { Handover } from "./types";

/** The text that the device signs and the server verifies. */
export function canonical(r: Omit<Handover, "sig">): string {
  return [
    "XFM-OFF-v1", r.id, r.seq, r.lease, r.allocation, r.resident, r.need, r.code, r.how, r.token, r.pin ? "1" : "0", r.qty_units, r.given_ms,
  ].join("\n");
}

/** Signs a handover: ECDSA P-256 with SHA-256, in 64 bytes. */
export async function sign(r: Omit<Handover, "sig">, key: CryptoKey): Promise<Handover> {
  const sig = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, key, new TextEncoder().encode(canonical(r)));
  return { ...r, sig: base64url(new Uint8Array(sig)) };
}

export function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

/** A random id (UUID version 4), also where crypto.randomUUID is missing. */
export function newID(): string {
  const b = crypto.getRandomValues(new Uint8Array(16));
  b[6] = ((b[6] ?? 0) & 0x0f) | 0x40;
  b[8] = ((b[8] ?? 0) & 0x3f) | 0x80;
  const hex = [...b].map((x) => x.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
