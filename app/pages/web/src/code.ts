// The page that a scanned code opens. The code stands in the URL's fragment,
// which never reaches a server; it is sent only together with the PIN.
import { byID } from "./dom";
import { forgetCodes } from "./kept";

const form = byID<HTMLFormElement>("pin-form");
const error = byID("pin-error");
const card = byID<HTMLInputElement>("card");
const pin = byID<HTMLInputElement>("pin");
const digits = /^#?(\d{193})$/.exec(window.location.hash)?.[1] ?? "";

form.hidden = false;
byID("card-field").hidden = digits !== "";
card.required = digits === "";
if (digits) {
  byID<HTMLAnchorElement>("to-scan").href = "/scan#" + digits;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  void open();
});

async function open(): Promise<void> {
  const button = form.querySelector("button");
  if (button) button.disabled = true;
  error.hidden = true;
  let message = form.dataset["offline"] ?? "";
  try {
    const answer = await fetch("/api/v1/resident-sessions", {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify({ code: digits || card.value.replace(/\s/g, ""), pin: pin.value }),
    });
    if (answer.ok) {
      forgetCodes(); // whoever signed in here before
      // A carer begins where the code is shown, a resident on the own page.
      const me = (await answer.json().catch(() => ({}))) as { carer?: string };
      window.location.replace(me.carer ? "/me/code" : "/me");
      return;
    }
    const problem = (await answer.json().catch(() => ({}))) as { title?: string; detail?: string };
    message = problem.detail || problem.title || form.dataset["broken"] || "";
  } catch {
    // Without a connection the message set above stands.
  }
  error.textContent = message;
  error.hidden = false;
  pin.value = "";
  pin.focus();
  if (button) button.disabled = false;
}
