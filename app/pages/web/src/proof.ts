// What is worth much is handed over against a PIN or a photo: the part of a
// promise where either is given.
import { post } from "./api";
import { el } from "./dom";

const maxPhotoBytes = 10 << 20;

/** The fields, and what stands in the PIN's. taken is called with the
 * allocation as it stands after a photo was sent. */
export function proving<A extends { id: string }>(
  a: A,
  taken: (changed: Partial<A>) => void,
  say: { t(key: string): string; reasonOf(error: unknown): string },
): { box: HTMLElement; pin: () => string } {
  const { t } = say;
  const pin = el("input", { id: "pin-" + a.id, type: "password", inputmode: "numeric", autocomplete: "off", maxlength: "12" });
  const file = el("input", { type: "file", accept: "image/jpeg,image/png,image/webp", capture: "environment" });
  const label = el("span", {}, t("scan.photo_take"));
  const failure = el("p", { class: "failure", role: "alert" });
  failure.hidden = true;
  const fail = (text: string): void => {
    failure.textContent = text;
    failure.hidden = false;
    file.disabled = false;
    file.value = "";
    label.textContent = t("scan.photo_take");
  };
  const send = async (photo: File): Promise<void> => {
    failure.hidden = true;
    if (photo.size > maxPhotoBytes) {
      fail(t("scan.photo_big"));
      return;
    }
    const body = new FormData();
    body.append("file", photo);
    file.disabled = true;
    label.textContent = t("scan.photo_sending");
    try {
      taken(await post<Partial<A>>(`/api/v1/allocations/${encodeURIComponent(a.id)}/photo`, body));
    } catch (error) {
      fail(say.reasonOf(error));
    }
  };
  file.addEventListener("change", () => {
    const photo = file.files?.[0];
    if (photo) void send(photo);
  });
  const box = el(
    "div",
    { class: "form proof" },
    el("p", { class: "hint" }, t("aid.proof_text")),
    failure,
    el("div", { class: "field" }, el("label", { for: pin.id }, t("aid.pin")), pin),
    el("label", { class: "button plain file-button wide" }, file, label),
  );
  return { box, pin: () => pin.value.trim() };
}
