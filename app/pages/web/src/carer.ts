// The code's page for somebody who shows it on a resident's behalf: it says so,
// and lets them sign out. The page itself names nobody and knows no session.
import { byID } from "./dom";
import { leave } from "./kept";

interface Me {
  carer: string;
  csrf_token: string;
}

const box = byID("carer-box");

async function whoAmI(): Promise<void> {
  let me: Me;
  try {
    const answer = await fetch("/api/v1/me", { headers: { Accept: "application/json" }, cache: "no-store" });
    if (!answer.ok) return;
    me = (await answer.json()) as Me;
  } catch {
    return; // without a network there is no signing out either
  }
  if (!me.carer) return;
  document.querySelector(".show-home")?.remove();
  box.hidden = false;
  byID("carer-out").addEventListener("click", () => void signOut(me.csrf_token));
}

async function signOut(csrf: string): Promise<void> {
  try {
    const answer = await fetch("/api/v1/sessions", { method: "DELETE", headers: { "X-CSRF-Token": csrf } });
    if (!answer.ok) throw new Error(String(answer.status));
  } catch {
    byID("carer-text").textContent = box.dataset["failed"] ?? "";
    return;
  }
  leave();
  window.location.replace("/signin");
}

void whoAmI();
