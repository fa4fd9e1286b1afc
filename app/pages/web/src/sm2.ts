// SM2 signatures (GB/T 32918.2); loaded only where a key is of SM2.
import { sm2 } from "sm-crypto-v2";

const order = 0xfffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54123n;

/** Signature: r ‖ s, each from 1 to the order less one. */
export function checkSM2(key: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  const rs = hex(signature);
  for (const n of [BigInt("0x" + rs.slice(0, 64)), BigInt("0x" + rs.slice(64))]) {
    if (n < 1n || n >= order) return false;
  }
  return sm2.doVerifySignature(message, rs, hex(key), { hash: true });
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}
