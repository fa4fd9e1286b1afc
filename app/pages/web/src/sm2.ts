// SM2 signatures (GB/T 32918.2); loaded only where a key is of SM2.
import { sm2 } from "sm-crypto-v2";

const order = 0xfffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54123n;

/**
 * Makes the check of a key. A table of the key's point is made once, so that
 * each check takes a quarter of the time. Throws where the key is no point of the curve.
 */
export function checkSM2(key: Uint8Array): (message: Uint8Array, signature: Uint8Array) => boolean {
  const point = sm2.precomputePublicKey(hex(key));
  return (message, signature) => {
    const rs = hex(signature); // r ‖ s, each from 1 to the order less one
    for (const n of [BigInt("0x" + rs.slice(0, 64)), BigInt("0x" + rs.slice(64))]) {
      if (n < 1n || n >= order) return false;
    }
    return sm2.doVerifySignature(message, rs, point, { hash: true });
  };
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}
