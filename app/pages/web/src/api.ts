// Asking the server, and whose session it is.
import { randomName } from "./dom";

/** A request that was refused or never arrived. */
export class Refused extends Error {
  constructor(
    /** "offline", "signed_out", or the code of the problem. */
    readonly code: string,
    /** The server's words in the user's language; "" for the page's own. */
    detail: string,
    /** What is wrong with the first field at fault, likewise; "" where no field is. */
    readonly field = "",
  ) {
    super(detail);
  }
}

interface Problem {
  title?: string;
  detail?: string;
  code?: string;
  fields?: { field: string; detail: string }[];
}

const lang = document.documentElement.lang.startsWith("en") ? "en" : "zh";

// A page that came without a network has no token of its session: it asks
// when it needs one. So does one whose session was renewed elsewhere.
let csrf = document.querySelector<HTMLElement>("[data-csrf]")?.dataset["csrf"] ?? "";

async function send(method: string, path: string, body: BodyInit | undefined, headers: Record<string, string>): Promise<Response> {
  try {
    return await fetch(path, { method, body, headers: { Accept: "application/json", "Accept-Language": lang, ...headers } });
  } catch {
    throw new Refused("offline", "");
  }
}

async function answered<T>(answer: Response): Promise<T> {
  if (answer.ok) return (answer.status === 204 ? undefined : await answer.json()) as T;
  const problem = (await answer.json().catch(() => ({}))) as Problem;
  if (answer.status === 401 && problem.code !== "credentials") throw new Refused("signed_out", "");
  throw new Refused(problem.code ?? "failed", problem.detail || problem.title || "", problem.fields?.[0]?.detail);
}

export async function get<T>(path: string): Promise<T> {
  return answered<T>(await send("GET", path, undefined, {}));
}

async function renew(): Promise<void> {
  csrf = (await get<{ csrf_token: string }>("/api/v1/me")).csrf_token;
}

/**
 * Posts JSON, or a form with files, to the API. key makes it safe to repeat.
 * Errors: [Refused].
 */
export async function post<T>(path: string, body: unknown, key?: string): Promise<T> {
  const form = body instanceof FormData;
  const headers: Record<string, string> = form ? {} : { "Content-Type": "application/json" };
  if (key) headers["Idempotency-Key"] = key;
  if (!csrf) await renew();
  return submit<T>(path, form ? body : JSON.stringify(body), headers);
}

/**
 * Posts JSON where nobody need be signed in. Whose session was left in this
 * browser the page does not know: it asks only when the server says so. Pages
 * for visitors speak both languages, the answer the browser's.
 * Errors: [Refused].
 */
export async function postAsVisitor<T>(path: string, body: unknown): Promise<T> {
  return submit<T>(path, JSON.stringify(body), { "Content-Type": "application/json", "Accept-Language": navigator.language });
}

async function submit<T>(path: string, body: BodyInit, headers: Record<string, string>): Promise<T> {
  for (let again = false; ; again = true) {
    try {
      return await answered<T>(await send("POST", path, body, { ...headers, "X-CSRF-Token": csrf }));
    } catch (error) {
      if (again || !(error instanceof Refused) || error.code !== "csrf") throw error;
      await renew();
    }
  }
}

export function newKey(): string {
  return randomName(12);
}
