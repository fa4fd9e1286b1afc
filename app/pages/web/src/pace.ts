// When a page that follows what happens asks again.

/** How long to wait after so many failures in a row, ms: 2 s, each time twice as long, 60 s at most. */
export function wait(failures: number): number {
  return Math.min(60_000, 1000 * 2 ** Math.max(failures, 1));
}

/**
 * How long until a page may be fetched anew, ms: everyMs after it was last
 * fetched sinceMs ago, later where that failed, and never at once, because
 * what happens often happens in handfuls.
 */
export function due(sinceMs: number, everyMs: number, failures: number): number {
  return Math.max(300, Math.max(everyMs, failures > 0 ? wait(failures) : 0) - sinceMs);
}

/**
 * What an answer means for who follows: "fresh" it is the page, "again" it may
 * be later, "over" it is not theirs to see any more, or there is no such page.
 */
export function verdict(status: number, redirected: boolean): "fresh" | "again" | "over" {
  if (redirected || [401, 403, 404, 405, 410].includes(status)) return "over";
  return status >= 200 && status < 300 ? "fresh" : "again";
}

/** Where a page can be asked for: as it was, or by its own address where it answered a form that was sent to another. */
export function address(own: string, at: { pathname: string; search: string }): string {
  return !own || own === at.pathname ? at.pathname + at.search : own;
}
