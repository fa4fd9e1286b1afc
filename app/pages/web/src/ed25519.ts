// Ed25519 where the browser has none; loaded only there.
import { ed25519 } from "@noble/curves/ed25519.js";

export function checkEd25519(key: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  return ed25519.verify(signature, message, key, { zip215: false });
}
