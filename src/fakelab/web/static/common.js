// What every page's script needs: the session's token, words in the page's language, small helpers.

export const csrf = document.querySelector('meta[name="csrf"]').content;
let texts = {};
if (document.documentElement.lang !== "en") {
  texts = await (await fetch("/strings.json")).json();
}

/** A text in the page's language, with {parts} filled in. */
export function _(text, parts = {}) {
  return (texts[text] ?? text).replace(/\{(\w+)\}/g, (whole, name) => parts[name] ?? whole);
}

/** fetch with the session's token; an error becomes an Error that says what to do. */
export async function ask(address, options = {}) {
  const headers = new Headers(options.headers ?? {});
  headers.set("X-CSRF-Token", csrf);
  headers.set("Accept", "application/json");
  const answer = await fetch(address, { ...options, headers, credentials: "same-origin" });
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({}));
    const error = new Error(told.detail ?? `${answer.status} ${answer.statusText}`);
    error.status = answer.status;
    error.retryAfter = Number(answer.headers.get("Retry-After") ?? 0);
    throw error;
  }
  return answer;
}

/** Shows what works only with a script. */
export function showScripted() {
  for (const each of document.querySelectorAll(".scripted")) each.hidden = false;
}

/** An element with attributes and children. */
export function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value == null) continue;
    made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

export function byteSize(bytes) {
  let size = bytes;
  for (const unit of ["bytes", "kB", "MB", "GB"]) {
    if (size < 1000) return unit === "bytes" || size >= 100 ? `${Math.round(size)} ${unit}` : `${size.toFixed(1)} ${unit}`;
    size /= 1000;
  }
  return `${size.toFixed(1)} TB`;
}

export function clock(time) {
  const tenths = Math.round(Math.max(0, time) * 10);
  const minutes = Math.floor(tenths / 600);
  const seconds = `${String(Math.floor((tenths % 600) / 10)).padStart(2, "0")}.${tenths % 10}`;
  if (minutes < 60) return `${minutes}:${seconds}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${seconds}`;
}

export const percent = (p) => `${Math.min(99, Math.max(1, Math.round(100 * p)))}\u00a0%`;

const STAGES = {
  open: "Opening", model: "Loading the model", faces: "Looking at faces", picture: "Looking at the whole picture", voice: "Listening to the voice", lips: "Comparing lips with the sound",
  pictures: "Keeping pictures", fetch: "Fetching the link", done: "Finishing",
};

/** What a job is doing, in words. */
export function stageWords(job) {
  if (job.state === "waiting") return _("Waiting");
  const name = _(STAGES[job.stage] ?? "Running");
  return job.total ? `${name}, ${job.done} / ${job.total}` : name;
}

/**
 * Calls `tell` with each job that changes, and `begun` whenever listening begins. A page that nobody looks at does not listen:
 * a browser opens six connections to a server, and seven such pages would leave none for the eighth.
 */
export function listen(address, tell, begun = () => {}) {
  let events = null;
  const stop = () => { events?.close(); events = null; };
  const start = () => {
    if (document.hidden) return stop();
    if (events) return;
    events = new EventSource(address);
    events.addEventListener("open", begun);
    events.addEventListener("job", (event) => tell(JSON.parse(event.data), stop));
  };
  document.addEventListener("visibilitychange", start);
  addEventListener("pagehide", stop);
  addEventListener("pageshow", start);
  start();
}
