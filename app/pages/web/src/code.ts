// The page that a scanned code opens. The code stands in the URL's fragment,
// which never reaches a server; it is sent only together with the PIN.
import { Refused, postAsVisitor } from "./api";
import { byID } from "./dom";
import { leave } from "./kept";

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
  let message: string;
  try {
    // A carer begins where the code is shown, a resident on the own page.
    const me = await postAsVisitor<{ carer?: string }>("/api/v1/resident-sessions", { code: digits || card.value.replace(/\s/g, ""), pin: pin.value });
    leave(); // whoever signed in here before
    window.location.replace(me.carer ? "/me/code" : "/me");
    return;
  } catch (failed) {
    const offline = failed instanceof Refused && failed.code === "offline";
    message = form.dataset[offline ? "offline" : "broken"] ?? "";
    if (failed instanceof Refused && failed.message) message = failed.message;
  }
  error.textContent = message;
  error.hidden = false;
  pin.value = "";
  pin.focus();
  if (button) button.disabled = false;
}
