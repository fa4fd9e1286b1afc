// The order in which handovers go to the server, and when to try again.
import type { Outcome, Reason, SyncItem } from "./types";

/** The most that the server takes at once. */
export const batchSize = 200;

export type State = "waiting" | Outcome;

export interface Queued {
  seq: number;
  id: string;
  state: State;
  reason?: Reason;
}

/** The next handovers to send: the oldest first, without a gap. */
export function nextBatch<T extends Queued>(rows: T[], size = batchSize): T[] {
  return rows.filter((r) => r.state === "waiting").sort((a, b) => a.seq - b.seq).slice(0, size);
}

/**
 * The rows that the server's answer changes. What it does not name stays
 * waiting. For a repeat it says what became of the record at first.
 */
export function settled<T extends Queued>(rows: T[], answer: SyncItem[]): T[] {
  const found = new Map(answer.map((a) => [a.id, a]));
  const out: T[] = [];
  for (const row of rows) {
    const a = found.get(row.id);
    if (!a || row.state !== "waiting") continue;
    out.push(a.reason ? { ...row, state: a.was, reason: a.reason } : { ...row, state: a.was });
  }
  return out;
}

/**
 * How long to wait before try number n (from 1), in ms: 5 s, doubled each
 * time, at most 5 minutes; random (0 to 1) spreads phones that were cut off
 * together.
 */
export function backOff(n: number, random: number): number {
  const base = Math.min(5_000 * 2 ** Math.max(0, n - 1), 300_000);
  return Math.round(base * (0.75 + random / 2));
}

/** How many handovers the server does not have yet. */
export function waiting(rows: Queued[]): number {
  return rows.filter((r) => r.state === "waiting").length;
}
