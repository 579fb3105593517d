// The result page: boxes in step with the picture, lanes that seek, keys, the prior, copying.
import { _, clock, percent, showScripted } from "./common.js";

showScripted();
const SVG = "http://www.w3.org/2000/svg";
const NEAR_S = 0.6;
const block = document.getElementById("tracks");
const tracks = block ? JSON.parse(block.textContent) : { people: [] };
const video = document.getElementById("video");
const boxes = document.getElementById("boxes");
const player = document.getElementById("player");
const heads = [];

// -- boxes -------------------------------------------------------------------------------------------------------------

/** The face of a person at a moment: between two neighbouring samples it is moved in a straight line. */
function faceAt(faces, time) {
  let before = null;
  let after = null;
  for (const face of faces) {
    if (face[0] <= time + 1e-3) before = face; else { after = face; break; }
  }
  if (before && after && after[0] - before[0] <= NEAR_S) {
    const share = (time - before[0]) / (after[0] - before[0]);
    return before.map((value, at) => value + share * (after[at] - value));
  }
  const near = [before, after].filter((face) => face && Math.abs(face[0] - time) <= NEAR_S / 2);
  return near.sort((one, two) => Math.abs(one[0] - time) - Math.abs(two[0] - time))[0] ?? null;
}

function draw(time) {
  if (!boxes || !tracks.width_px) return;
  boxes.setAttribute("viewBox", `0 0 ${tracks.width_px} ${tracks.height_px}`);
  boxes.replaceChildren();
  if (document.getElementById("show-boxes") && !document.getElementById("show-boxes").checked) return;
  for (const person of tracks.people) {
    const face = time == null ? person.faces[0] : faceAt(person.faces, time);
    if (!face || face.slice(1, 5).some((side) => !Number.isFinite(side))) continue;
    const [, x, y, width, height, p] = face;
    const box = document.createElementNS(SVG, "rect");
    for (const [name, value] of Object.entries({ x, y, width, height })) box.setAttribute(name, value);
    const lines = tracks.lines ?? {};
    if (p >= (lines.strong_evidence ?? 2)) box.setAttribute("class", "strong");
    else if (p >= (lines.moderate_evidence ?? 2)) box.setAttribute("class", "moderate");
    const label = document.createElementNS(SVG, "text");
    const size = Math.max(tracks.height_px / 32, 10);
    label.setAttribute("font-size", size);
    label.setAttribute("x", x);
    label.setAttribute("y", Math.max(size, y - size / 3));
    label.textContent = `${person.person}: ${percent(p)}`;
    if (document.getElementById("show-heat")?.checked) {
      const heat = document.querySelector(`[data-person-heat="${person.key}"]`);
      if (heat) {
        const image = document.createElementNS(SVG, "image");
        image.setAttribute("href", heat.dataset.src);
        for (const [name, value] of Object.entries({ x, y, width, height })) image.setAttribute(name, value);
        image.setAttribute("opacity", "0.6");
        boxes.append(image);
      }
    }
    boxes.append(box, label);
  }
}

// -- seeking -------------------------------------------------------------------------------------------------------------

const duration = () => (video && Number.isFinite(video.duration) && video.duration) || tracks.duration_s || 0;

function seek(time) {
  if (!video) return;
  video.currentTime = Math.min(Math.max(0, time), duration());
  step();
}

function step() {
  const time = video.currentTime;
  draw(time);
  document.getElementById("now").textContent = clock(time);
  for (const head of heads) head.style.insetInlineStart = `${(100 * time) / (tracks.duration_s || duration() || 1)}%`;
}

if (video) {
  for (const name of ["timeupdate", "seeked", "loadedmetadata"]) video.addEventListener(name, step);
  if (video.requestVideoFrameCallback) {
    const frame = () => { step(); video.requestVideoFrameCallback(frame); };
    video.requestVideoFrameCallback(frame);
  }
  const broken = () => { document.getElementById("unplayable").hidden = false; };
  video.addEventListener("error", broken);
  for (const source of video.querySelectorAll("source")) source.addEventListener("error", broken);
  for (const box of ["show-boxes", "show-heat"]) document.getElementById(box)?.addEventListener("change", step);
  for (const button of document.querySelectorAll(".seek")) {
    button.addEventListener("click", () => {
      seek(Number(button.dataset.at));
      player.scrollIntoView({ block: "nearest", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
    });
  }
  for (const plot of document.querySelectorAll(".seekable")) {
    const inner = plot.querySelector("svg.fl-chart");
    const head = document.createElement("span");
    head.className = "head-line";
    const holder = document.createElement("span");
    holder.style.position = "absolute";
    holder.style.insetBlock = "0";
    holder.style.insetInlineStart = "0";
    holder.style.pointerEvents = "none";
    const fit = () => { holder.style.width = `${inner.getBoundingClientRect().width}px`; };
    new ResizeObserver(fit).observe(inner);
    holder.append(head);
    plot.append(holder);
    heads.push(head);
    plot.addEventListener("click", (event) => {
      const area = inner.getBoundingClientRect();
      seek(((event.clientX - area.left) / area.width) * tracks.duration_s);
    });
  }
  const frameS = 1 / (Number(player.dataset.fps) || 25);
  const keys = {
    ArrowLeft: () => seek(video.currentTime - 1), ArrowRight: () => seek(video.currentTime + 1),
    ",": () => seek(video.currentTime - frameS), ".": () => seek(video.currentTime + frameS),
    Home: () => seek(0), End: () => seek(duration()),
    " ": () => (video.paused ? video.play() : video.pause()),
    s: () => player.dataset.strongest && seek(Number(player.dataset.strongest)),
    b: () => document.getElementById("show-boxes")?.click(), h: () => document.getElementById("show-heat")?.click(),
  };
  player.addEventListener("keydown", (event) => {
    // The video's own controls keep their keys.
    if (event.target !== player || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = keys[event.key] ?? keys[event.key.toLowerCase()];
    // The video's own keys would seek a second time.
    if (act) { event.preventDefault(); event.stopPropagation(); act(); }
  }, true);
  step();
} else if (boxes) {
  draw(null);
}

// -- the prior: the odds of the score, moved by the odds of what is expected -------------------------------------------------

const slider = document.getElementById("prior");
const score = document.getElementById("score");
if (slider && score) {
  const p = Math.min(1 - 1e-9, Math.max(1e-9, Number(score.dataset.p)));
  const prior = Number(score.dataset.prior);
  const shown = () => {
    const wanted = Number(slider.value) / 100;
    const odds = (p / (1 - p)) * (wanted / (1 - wanted)) / (prior / (1 - prior));
    document.getElementById("prior-share").textContent = percent(wanted);
    document.getElementById("prior-score").textContent = percent(odds / (1 + odds));
  };
  slider.addEventListener("input", shown);
}

const copy = document.getElementById("copy");
copy?.addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(copy.dataset.text);
    document.getElementById("copied").textContent = copy.dataset.done;
  } catch {
    document.getElementById("copied").textContent = _("The browser does not allow copying here.");
  }
});
