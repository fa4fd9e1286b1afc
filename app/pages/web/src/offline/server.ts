// What the device asks of the server.
import { base64url } from "./record";
import type { Bundle, Handover, SyncAnswer } from "./types";

/** How a request failed, in the user's language where the server said it. */
export class Fault extends Error {
  constructor(
    readonly status: number, // 0: no answer came
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

export interface Me {
  account: string;
  role: string;
  division: string;
  name: string;
  csrf_token: string;
}

export interface Division {
  code: string;
  name: string;
  level: string;
}

export interface Choices {
  place: string;
  people: number; // one more than max_people: too many
  max_hours: number;
  max_people: number;
  max_spares: number; // of all offers, on all devices of the account
  held_units: number; // of these, on other devices
  spares: { offer: string; title_zh: string; title_en: string; unit: string; category: string; free_units: number; most_units: number }[] | null;
}

const patienceMs = 30_000;
const longPatienceMs = 120_000; // where a whole village is matched or settled

interface More {
  key?: string; // for a request that may be sent again
  patience?: number; // ms
}

export class Server {
  private csrf = "";
  constructor(
    private readonly lang: string,
    private readonly heard: (serverMs: number) => void,
  ) {}

  async me(): Promise<Me> {
    const me = await this.ask<Me>("GET", "/me");
    this.csrf = me.csrf_token;
    return me;
  }

  async below(division: string): Promise<Division[]> {
    return (await this.ask<{ items: Division[] | null }>("GET", "/divisions?parent=" + encodeURIComponent(division))).items ?? [];
  }

  async register(name: string, publicKey: CryptoKey): Promise<string> {
    const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", publicKey);
    return (await this.ask<{ id: string }>("POST", "/devices", { name, public_key: { kty, crv, x, y } })).id;
  }

  async devices(): Promise<{ id: string; state: string; lease?: unknown }[]> {
    return (await this.ask<{ items: { id: string; state: string; lease?: unknown }[] | null }>("GET", "/devices")).items ?? [];
  }

  choices(device: string, division: string): Promise<Choices> {
    return this.ask("GET", `/devices/${encodeURIComponent(device)}/choices?division=${encodeURIComponent(division)}`);
  }

  take(device: string, division: string, hours: number, spare: { offer: string; qty_units: number }[], key: string): Promise<Bundle> {
    return this.ask("POST", `/devices/${encodeURIComponent(device)}/leases`, { division, hours, spare }, { key, patience: longPatienceMs });
  }

  /** How far a take is, by its key. */
  progress(key: string): Promise<{ done: number; total: number }> {
    return this.ask("GET", "/imports/" + encodeURIComponent(key));
  }

  lease(device: string): Promise<Bundle> {
    return this.ask("GET", `/devices/${encodeURIComponent(device)}/lease`, undefined, { patience: longPatienceMs });
  }

  giveBack(device: string): Promise<unknown> {
    return this.ask("POST", `/devices/${encodeURIComponent(device)}/return`, undefined, { patience: longPatienceMs });
  }

  sync(device: string, records: Handover[]): Promise<SyncAnswer> {
    return this.ask("POST", `/devices/${encodeURIComponent(device)}/sync`, { records }, { patience: longPatienceMs });
  }

  /** Whether the device still counts: asked without being signed in. Its account may be shut out, or it was reported lost. */
  async stands(device: string): Promise<boolean> {
    return (await this.ask<{ stands: boolean }>("GET", `/devices/${encodeURIComponent(device)}/standing`)).stands;
  }

  private async ask<T>(method: string, path: string, body?: unknown, more: More = {}): Promise<T> {
    if (method !== "GET" && !this.csrf) await this.me();
    try {
      return await this.once<T>(method, path, body, more);
    } catch (error) {
      if (!(error instanceof Fault) || error.code !== "csrf") throw error;
      await this.me(); // signed in anew since the page was opened
      return this.once<T>(method, path, body, more);
    }
  }

  private async once<T>(method: string, path: string, body: unknown, more: More): Promise<T> {
    const headers: Record<string, string> = { Accept: "application/json", "Accept-Language": this.lang };
    if (method !== "GET") headers["X-CSRF-Token"] = this.csrf;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (more.key) headers["Idempotency-Key"] = more.key;
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), more.patience ?? patienceMs);
    try {
      const answer = await fetch("/api/v1" + path, { method, headers, cache: "no-store", signal: patience.signal, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
      const date = Date.parse(answer.headers.get("Date") ?? "");
      if (date) this.heard(date);
      const text = await answer.text();
      const content = (text ? JSON.parse(text) : undefined) as (T & { server_ms?: number }) | undefined;
      if (answer.ok) return content as T;
      const problem = (content ?? {}) as { code?: string; detail?: string; title?: string; fields?: { detail: string }[] };
      throw new Fault(answer.status, problem.code ?? "", problem.fields?.[0]?.detail || problem.detail || problem.title || "");
    } catch (error) {
      if (error instanceof Fault) throw error;
      throw new Fault(0, "offline", "");
    } finally {
      clearTimeout(timer);
    }
  }
}

/** A key for one request that may be sent again. */
export function newKey(): string {
  return base64url(crypto.getRandomValues(new Uint8Array(16)));
}
