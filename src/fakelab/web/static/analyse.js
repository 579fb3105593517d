// Files handed in: sent in pieces, so that a broken connection costs one piece, and followed until there is a result.
import { _, ask, byteSize, csrf, listen, make, percent, showScripted, stageWords } from "./common.js";

const PIECE = 8 * 1024 * 1024;
const TRIES = 8;
const list = document.getElementById("jobs");
const none = document.getElementById("none");
const said = document.getElementById("said");
const drop = document.getElementById("drop");
const form = document.getElementById("hand-in");
const memory = "fakelab.uploads";
let queue = Promise.resolve();

showScripted();

// -- taking files in ---------------------------------------------------------------------------------------------

document.getElementById("files").addEventListener("change", (event) => take([...event.target.files], event.target));
document.getElementById("folder").addEventListener("change", (event) => take([...event.target.files], event.target));
form.addEventListener("submit", (event) => {
  event.preventDefault();
  const url = document.getElementById("url");
  if (url?.value.trim()) handInLink(url);
});

for (const name of ["dragenter", "dragover"]) {
  drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
}
for (const name of ["dragleave", "dragend", "drop"]) drop.addEventListener(name, () => drop.classList.remove("over"));
// A file dropped beside the field must not replace the page.
for (const name of ["dragover", "drop"]) window.addEventListener(name, (event) => event.preventDefault());
drop.addEventListener("drop", async (event) => {
  event.preventDefault();
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const plain = [...event.dataTransfer.files];
  take(entries.length ? (await Promise.all(entries.map(filesOf))).flat() : plain);
});

async function filesOf(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!part.length) break;
    found.push(...part);
  }
  return (await Promise.all(found.map(filesOf))).flat();
}

function take(files, input) {
  const wanted = files.filter((file) => file.size && !file.name.startsWith("."));
  said.textContent = files.length && !wanted.length ? _("There is nothing in it to analyse.") : "";
  // One after the other: each arrives sooner, and is analysed while the next is sent.
  const chosen = choices();
  for (const file of wanted) {
    const row = newRow(file.name, file.size);
    state(row, _("Waiting to be sent"));
    queue = queue.then(() => handIn(file, row, chosen)).catch(() => {});
  }
  if (input) input.value = "";
}

const YES_OR_NO = ["thorough", "generated", "lip_sync"];

function choices() {
  const chosen = {};
  for (const name of ["model", "finder", "thorough", "generated", "lip_sync", "prior"]) {
    const value = form.elements[name]?.value;
    if (value) chosen[name] = name === "prior" ? Number(value) : YES_OR_NO.includes(name) ? value === "true" : value;
  }
  return chosen;
}

async function handIn(file, row, chosen) {
  const mark = `${file.name}|${file.size}|${file.lastModified}`;
  try {
    const upload = await send(file, row, mark);
    state(row, _("Checking"));
    const answer = await patiently(row, () => ask("/api/v1/analyses", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ upload, ...chosen }),
    }));
    forget(mark);
    await follow(row, await answer.json());
  } catch (error) {
    failed(row, error, () => { queue = queue.then(() => handIn(file, row, chosen)).catch(() => {}); });
  }
}

async function send(file, row, mark) {
  let address = remembered()[mark];
  let offset = 0;
  if (address) {
    try {
      offset = Number((await ask(address, { method: "HEAD" })).headers.get("Upload-Offset"));
    } catch (error) {
      if (error.status !== 404) throw error;
      address = null;
    }
  }
  if (!address) {
    const name = btoa(String.fromCharCode(...new TextEncoder().encode(file.name.slice(0, 255))));
    const made = await patiently(row, () => ask("/api/v1/uploads", {
      method: "POST", headers: { "Tus-Resumable": "1.0.0", "Upload-Length": file.size, "Upload-Metadata": `filename ${name}` },
    }));
    address = made.headers.get("Location");
    remember(mark, address);
  }
  const bar = make("progress", { max: file.size, value: offset, "aria-label": _("Sent") });
  let tries = 0;
  while (offset < file.size) {
    state(row, _("Sending, {percent}", { percent: `${Math.floor((100 * offset) / file.size)} %` }), bar);
    bar.value = offset;
    try {
      await piece(address, file.slice(offset, offset + PIECE), offset, (sent) => {
        bar.value = offset + sent;
        row.querySelector(".words").textContent = _("Sending, {percent}", { percent: `${Math.floor((100 * (offset + sent)) / file.size)} %` });
      });
      offset = Math.min(file.size, offset + PIECE);
      tries = 0;
    } catch (error) {
      if (++tries > TRIES || (error.status >= 400 && error.status < 500 && ![408, 409, 429].includes(error.status))) throw error;
      state(row, _("The connection broke. Going on in a moment."), bar);
      await pause(Math.min(30, 2 ** tries) * 500);
      try {
        offset = Number((await ask(address, { method: "HEAD" })).headers.get("Upload-Offset"));
      } catch (again) { if (again.status === 404) { forget(mark); throw again; } }
    }
  }
  return address.split("/").pop();
}

// XMLHttpRequest, since fetch does not tell how much of a body was sent.
function piece(address, blob, offset, tell) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PATCH", address);
    request.setRequestHeader("Content-Type", "application/offset+octet-stream");
    request.setRequestHeader("Tus-Resumable", "1.0.0");
    request.setRequestHeader("Upload-Offset", offset);
    request.setRequestHeader("X-CSRF-Token", csrf);
    request.upload.onprogress = (event) => tell(event.loaded);
    request.onload = () => {
      if (request.status < 300) return resolve();
      let detail = `${request.status}`;
      try { detail = JSON.parse(request.responseText).detail; } catch { /* no words came */ }
      reject(Object.assign(new Error(detail), { status: request.status }));
    };
    request.onerror = () => reject(new Error(_("The server does not answer.")));
    request.send(blob);
  });
}

/** Asks again while the server says that it has no room. */
async function patiently(row, request) {
  for (;;) {
    try {
      return await request();
    } catch (error) {
      if (error.status !== 429) throw error;
      state(row, _("The queue is full. Trying again in a moment."));
      await pause(1000 * (error.retryAfter || 10));
    }
  }
}

async function handInLink(url) {
  const text = url.value.trim();
  const isPath = /^(\/|~|\\\\|[A-Za-z]:[\\/])/.test(text);
  const row = newRow(text, null);
  try {
    const answer = await patiently(row, () => ask("/api/v1/analyses", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ [isPath ? "path" : "url"]: text, ...choices() }),
    }));
    url.value = "";
    await follow(row, await answer.json());
  } catch (error) { failed(row, error); }
}

// -- rows ----------------------------------------------------------------------------------------------------------

function newRow(name, size) {
  const row = make("li", { class: "job" },
    make("span", { class: "job-name clamp" }, make("bdi", {}, name)), make("span", { class: "job-size quiet" }, size == null ? "" : byteSize(size)),
    make("span", { class: "job-state" }), make("span", { class: "job-score number" }));
  list.prepend(row);
  none.hidden = true;
  return row;
}

function state(row, words, ...more) {
  row.querySelector(".job-state").replaceChildren(make("span", { class: "words" }, words), ...more);
}

function failed(row, error, again) {
  state(row, "", make("span", { class: "warn" }, error.message));
  if (again) {
    const button = make("button", { type: "button", class: "small" }, _("Try again"));
    button.addEventListener("click", () => { state(row, _("Waiting to be sent")); again(); });
    row.querySelector(".job-state").append(button);
  }
}

async function follow(row, analysis) {
  const twin = list.querySelector(`[data-id="${analysis.id}"]`);
  if (twin && twin !== row) twin.remove();
  row.dataset.id = analysis.id;
  row.dataset.state = analysis.state;
  const link = make("a", { class: "job-name clamp", href: `/runs/${analysis.id}` }, make("bdi", {}, analysis.name));
  row.querySelector(".job-name").replaceWith(link);
  show(row, analysis);
  if (analysis.known) row.querySelector(".job-state").append(make("span", { class: "quiet" }, _("known already")));
  if (analysis.state === "waiting" && analysis.position) row.querySelector(".words").textContent = _("Waiting, {count} before it", { count: analysis.position });
}

function show(row, job) {
  row.dataset.state = job.state;
  if (job.state === "done") return showResult(row);
  if (job.state === "failed") return state(row, "", make("span", { class: "warn" }, _("Could not be analysed")));
  if (job.state === "cancelled") return state(row, _("Cancelled"));
  const bar = job.state === "running" ? make("progress", { "aria-label": _("Progress"), max: job.total, value: job.total ? job.done : null }) : "";
  state(row, stageWords(job), bar);
}

async function showResult(row) {
  const analysis = await (await ask(`/api/v1/analyses/${row.dataset.id}`)).json();
  if (analysis.state !== "done") return;
  const mark = document.querySelector(`template[data-level="${analysis.level}"]`).content.cloneNode(true);
  row.querySelector(".job-state").replaceChildren(mark);
  row.querySelector(".job-score").textContent = analysis.p_fake == null ? "" : percent(analysis.p_fake);
}

listen("/api/v1/events", (job) => {
  let row = list.querySelector(`[data-id="${job.id}"]`);
  if (!row) {
    if (job.state !== "waiting" && job.state !== "running") return;
    if ([...list.children].some((each) => !each.dataset.id && each.querySelector("bdi").textContent === job.name)) return;
    row = newRow(job.name, job.size_bytes);
    row.dataset.id = job.id;
    row.querySelector(".job-name").replaceWith(make("a", { class: "job-name clamp", href: `/runs/${job.id}` }, make("bdi", {}, job.name)));
  }
  show(row, job);
}, () => {
  // What changed while nobody listened.
  for (const row of list.querySelectorAll('[data-state="waiting"], [data-state="running"]')) {
    ask(`/api/v1/analyses/${row.dataset.id}`).then(async (answer) => show(row, await answer.json())).catch(() => {});
  }
});

// -- what was being sent when the page was left ------------------------------------------------------------------------

function remembered() {
  try { return JSON.parse(localStorage.getItem(memory) ?? "{}"); } catch { return {}; }
}
function remember(mark, address) { localStorage.setItem(memory, JSON.stringify({ ...remembered(), [mark]: address })); }
function forget(mark) {
  const { [mark]: gone, ...rest } = remembered();
  localStorage.setItem(memory, JSON.stringify(rest));
}
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

for (const [mark, address] of Object.entries(remembered())) {
  ask(address, { method: "HEAD" }).then((answer) => {
    const [name, size] = mark.split("|");
    const row = newRow(name, Number(size));
    const share = Math.floor((100 * Number(answer.headers.get("Upload-Offset"))) / Number(size));
    state(row, _("Sent to {percent} when the page was left. Choose the file again to go on.", { percent: `${share} %` }));
  }).catch((error) => { if (error.status === 404) forget(mark); });
}
