import assert from "node:assert/strict";
import { test } from "node:test";
import { correction, generate } from "lean-qr";

// The arithmetic of ISO/IEC 18004 at level M, as in the Go package qrcode: the
// digits go in numeric mode, or the picture would be of version 10.
test("the page's codes are as small as the server's", () => {
  for (const [host, version] of [[4, 6], [13, 6], [14, 7], [29, 7], [30, 8]] as const) {
    const code = generate(`https://${"h".repeat(host)}/c#${"7".repeat(193)}`, { minCorrectionLevel: correction.M });
    assert.equal((code.size - 17) / 4, version, `host of ${host} characters`);
  }
});
