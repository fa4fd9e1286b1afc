// Brings handovers to the server: in order, in batches, one window at a time.
import { nextBatch, settled } from "./queue";
import { type Server } from "./server";
import { type DB, alone, openHandover, rows, settle, single } from "./store";
import type { Lease } from "./types";

/** What a synchronisation found: undefined lease: the server has none for this device. */
export interface Synced {
  sent: number;
  lease: Lease | undefined;
}

/**
 * Sends what the server does not have. Sending again changes nothing, so a
 * break anywhere is mended by the next run. With nothing to send it asks all
 * the same: a device that was lost learns of it.
 *
 * Returns undefined when another window is at it. Errors: Fault.
 */
export function synchronise(db: DB, server: Server): Promise<Synced | undefined> {
  return alone(db, async () => {
    const device = await single(db, "device");
    if (!device) return { sent: 0, lease: undefined };
    for (let sent = 0; ; ) {
      const batch = nextBatch(await rows(db));
      const records = await Promise.all(batch.map(async (row) => (await openHandover(device.queueKey, row)).record));
      const answer = await server.sync(device.id, records);
      const changed = settled(batch, answer.items ?? []);
      await settle(db, changed);
      sent += changed.length;
      // An answer that names nothing of what was sent would go on for ever.
      if (batch.length === 0 || changed.length === 0 || nextBatch(await rows(db)).length === 0) return { sent, lease: answer.lease ?? undefined };
    }
  });
}
