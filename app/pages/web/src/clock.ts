// What is shown when: the codes a phone was given, and the server's time by a
// phone whose own clock is wrong. Knows no page and no network.

/** Codes to show from now on without asking: one token a step. */
export interface Bundle {
  server_ms: number;
  from_step: number;
  step_s: number;
  tokens: string[];
  prefix: string;
  name: string;
  card_no: string;
}

/** Reads what the server sent, or what was kept of it. */
export function bundleOf(x: unknown): Bundle | undefined {
  const b = x as Partial<Bundle> | null | undefined;
  if (typeof b !== "object" || b === null) return undefined;
  const numbers = [b.server_ms, b.from_step, b.step_s].every((n) => typeof n === "number" && Number.isFinite(n));
  const texts = [b.prefix, b.name, b.card_no].every((s) => typeof s === "string");
  const tokens = Array.isArray(b.tokens) && b.tokens.length > 0 && b.tokens.every((t) => typeof t === "string" && /^\d{193}$/.test(t));
  return numbers && texts && tokens && Number(b.step_s) > 0 ? (b as Bundle) : undefined;
}

/** What is to be seen at a moment. */
export interface Shown {
  token: string | undefined; // none before the first step and after the last
  nextMs: number; // until the next step
  leftMs: number; // until the last token ends; 0 or less when it has
}

export function shown(b: Bundle, serverMs: number): Shown {
  const length = b.step_s * 1000;
  const step = Math.floor(serverMs / length);
  return {
    token: b.tokens[step - b.from_step],
    nextMs: (step + 1) * length - serverMs,
    leftMs: (b.from_step + b.tokens.length) * length - serverMs,
  };
}

/** Both clocks of a phone, in ms: wall may be set at any time; steady never is, but may stand still while the phone sleeps. */
export interface Reading {
  wall: number;
  steady: number;
}

/** How far the clocks may differ over a restart before they are not believed, ms. */
const doubt = 30_000;

/** The server's time, carried on from what the server last said. */
export class ServerClock {
  private constructor(
    private serverMs: number,
    private at: Reading,
  ) {}

  /** Begins with an answer: the server's time in it, when it was asked for and when it came. */
  static from(serverMs: number, asked: Reading, came: Reading): ServerClock {
    return new ServerClock(serverMs + Math.max(0, came.steady - asked.steady) / 2, came);
  }

  /** Goes on with what keep() returned in another life of the page: only the wall clock spans it. */
  static again(kept: Kept, at: Reading): ServerClock | undefined {
    const serverMs = at.wall + kept.ahead_ms;
    if (serverMs < kept.last_ms - doubt) return undefined; // the clock was set back: nothing is known
    return new ServerClock(Math.max(serverMs, kept.last_ms), at);
  }

  /**
   * The server's time. Where the clocks disagree, the steady one is right,
   * unless the page was out of sight since the last reading: then the phone
   * may have slept, and a wall clock that has gone further is believed.
   */
  now(at: Reading, away: boolean): number {
    const steady = Math.max(0, at.steady - this.at.steady);
    const wall = at.wall - this.at.wall;
    this.serverMs += away ? Math.max(steady, wall) : steady;
    this.at = at;
    return this.serverMs;
  }

  keep(): Kept {
    return { ahead_ms: this.serverMs - this.at.wall, last_ms: this.serverMs };
  }
}

/** How far the server is ahead of the wall clock, and its last known time. */
export interface Kept {
  ahead_ms: number;
  last_ms: number;
}

/** A bundle is asked for anew so long after the last one, ms. */
const renewal = 120_000;

/** How long to wait after so many failures in a row before asking again, ms. */
export function pause(failures: number): number {
  return failures === 0 ? renewal : Math.min(30_000, 2_500 * 2 ** failures);
}
