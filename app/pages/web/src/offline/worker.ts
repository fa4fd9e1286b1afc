// What the service worker does for work without a network: it destroys a list
// whose time is over although no page is open, and brings handovers to the
// server once there is a network, where the browser wakes it for that.
import { Fault, Server } from "./server";
import { type DB, existingStore, expire, forget, keepClock, openClock } from "./store";
import { synchronise } from "./sync";

interface Woken extends Event {
  waitUntil(work: Promise<unknown>): void;
}

/** The name under which a page asks to be synced when there is a network. */
export const syncTag = "happycode-offline";

const restMs = 60_000; // between looks at the list's time

export function serveOffline(worker: { addEventListener(kind: string, listener: (event: Event) => void): void }): void {
  let looked = -restMs;
  const look = (event: Event): void => {
    if (performance.now() - looked < restMs) return;
    looked = performance.now();
    (event as Woken).waitUntil(withStore(expire));
  };
  for (const kind of ["activate", "fetch", "periodicsync"]) worker.addEventListener(kind, look);
  worker.addEventListener("sync", (event) => {
    if ((event as Event & { tag?: string }).tag === syncTag) (event as Woken).waitUntil(withStore(bring));
  });
}

async function withStore(act: (db: DB) => Promise<unknown>): Promise<void> {
  const db = await existingStore();
  try {
    if (db) await act(db);
  } finally {
    db?.close(); // a page may want to replace the database
  }
}

/** Brings what waits; a failure has the browser wake the worker again. */
async function bring(db: DB): Promise<void> {
  await expire(db);
  const clock = await openClock(db);
  const server = new Server("zh", (ms) => clock.heard(ms));
  try {
    await synchronise(db, server);
  } catch (error) {
    if (!(error instanceof Fault) || error.code !== "device_lost") throw error;
    await forget(db);
    return;
  }
  await keepClock(db, clock, true);
}
