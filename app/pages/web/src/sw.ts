// The service worker: makes the pages start without a network.
//
// What it keeps is on the device for whoever opens the browser next, so it
// keeps built files and shells, and nothing that names anybody:
//  - the built files, under the hash of their content;
//  - shells: pages as /scan?shell=1 renders them, without a person and without
//    a session's token. A page is kept as one if it is listed below, its row in
//    the table of routes says Shell, and the answer says so in X-Shell;
//  - the page that says that there is no network.
// Pages come from the network first; the API is never touched.
//
// A new version takes over at once. A page that is still open keeps working: its
// files have names of their own, and those of the version before stay until
// the next one.

import { serveOffline } from "./offline/worker";

declare const VERSION: string; // of all that was built
declare const ASSETS: string[]; // files that every page may need
declare const DECODER_ASSETS: string[]; // the decoder of codes: half a megabyte, for who scans

const worker = self as unknown as ServiceWorkerGlobalScope;

/** Which pages start without a network, by role. */
const shells = new Map([
  ["admin", ["/scan", "/offline"]],
  ["caseworker", ["/scan", "/offline"]],
  ["resident", ["/me/code"]],
]);
const unreachable = "/unreachable";
const patienceMs = 8000; // for the network, where a shell is at hand

const filesPrefix = "happycode-files-";
const shellsPrefix = "happycode-shells-";
const files = filesPrefix + VERSION;
const pages = shellsPrefix + VERSION;

serveOffline(worker);

worker.addEventListener("install", (event) => {
  event.waitUntil(
    (async () => {
      // All or nothing: a version that is not whole does not take over.
      await (await caches.open(files)).addAll(ASSETS);
      await (await caches.open(pages)).add(new Request(unreachable, { credentials: "omit", cache: "no-store" }));
      await worker.skipWaiting();
    })(),
  );
});

worker.addEventListener("activate", (event) => {
  event.waitUntil(
    (async () => {
      const all = await caches.keys(); // the oldest first
      const before = all.filter((name) => name.startsWith(filesPrefix) && name !== files).slice(-1);
      const kept = new Set([files, pages, ...before]);
      await Promise.all(all.filter((name) => (name.startsWith(filesPrefix) || name.startsWith(shellsPrefix)) && !kept.has(name)).map((name) => caches.delete(name)));
      await worker.clients.claim();
    })(),
  );
});

// A page says who is at work, and in what language: their shells are made ready.
worker.addEventListener("message", (event) => {
  const { role, lang } = event.data as { role?: string; lang?: string };
  const wanted = shells.get(role ?? "");
  if (wanted) event.waitUntil(ready(wanted, role !== "resident", lang ?? "").catch(() => undefined)); // next time, then
});

async function ready(wanted: string[], scans: boolean, lang: string): Promise<void> {
  const cache = await caches.open(pages);
  for (const path of wanted) {
    const kept = await cache.match(path);
    if (kept?.headers.get("Content-Language") !== lang) await renew(cache, path);
  }
  if (!scans) return;
  const built = await caches.open(files);
  for (const url of DECODER_ASSETS) if (!(await built.match(url))) await built.add(url);
}

async function renew(cache: Cache, path: string): Promise<void> {
  const answer = await fetch(path + "?shell=1", { cache: "no-store", redirect: "manual" });
  if (answer.ok && answer.headers.get("X-Shell") === "1") await cache.put(path, answer);
}

worker.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || url.origin !== worker.location.origin) return;
  if (url.pathname.startsWith("/assets/")) event.respondWith(file(event.request));
  else if (event.request.mode === "navigate") event.respondWith(page(event, url.pathname));
});

async function file(request: Request): Promise<Response> {
  return (await caches.match(request)) ?? fetch(request);
}

async function page(event: FetchEvent, path: string): Promise<Response> {
  const cache = await caches.open(pages);
  const shell = await cache.match(path);
  const answer = fetch(event.request);
  try {
    if (!shell) return await answer;
    const first = await Promise.race([answer, late()]);
    if (first.ok) event.waitUntil(renew(cache, path).catch(() => undefined)); // what the page says may have changed
    return first;
  } catch {
    answer.catch(() => undefined); // nobody waits for it any more
    return shell ?? (await cache.match(unreachable)) ?? Response.error();
  }
}

function late(): Promise<never> {
  return new Promise((_, reject) => setTimeout(reject, patienceMs));
}
