// What every page does about a list taken along: it is destroyed when its time
// is over, and when its owner signs out or is shut out.
import { waiting } from "./queue";
import { Server } from "./server";
import { type DB, existingStore, expire, rows, single, wipe } from "./store";

/** Looks after the list on pages other than its own. */
export async function mindList(): Promise<void> {
  document.addEventListener("submit", (event) => {
    const form = event.target as HTMLFormElement;
    if (new URL(form.action).pathname !== "/signout" || form.dataset["wiped"]) return;
    event.preventDefault();
    void leave(form);
  }, { capture: true });
  if (window.location.pathname === "/offline") return;
  const db = await existingStore();
  if (!db) return;
  try {
    await expire(db);
    const device = await single(db, "device");
    if (window.location.pathname === "/signin" && device && (await single(db, "lease"))) await mindStanding(db, device.id);
  } finally {
    db.close();
  }
}

/** Signs out, without what was taken along. What is not synced stays for the next time. */
async function leave(form: HTMLFormElement): Promise<void> {
  const db = await existingStore().catch(() => undefined);
  if (db) {
    const unsent = waiting(await rows(db));
    const question = (form.dataset["unsent"] ?? "").replace("%d", String(unsent));
    if (unsent > 0 && !window.confirm(question)) return;
    await wipe(db);
    db.close();
  }
  form.dataset["wiped"] = "1";
  form.submit();
}

/** Destroys the list of a device that the server has cut off; says whether it did. */
export async function mindStanding(db: DB, device: string): Promise<boolean> {
  const stands = await new Server("zh", () => undefined).stands(device).catch(() => true); // no answer is no proof
  if (!stands) await wipe(db, "offline.account_ended");
  return !stands;
}
