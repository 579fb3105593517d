// A page that shows how far an analysis is, and the result as soon as there is one.
import { _, listen, stageWords } from "./common.js";

const box = document.getElementById("progress");
if (box) {
  const bar = document.getElementById("bar");
  const stage = document.getElementById("stage");
  const heading = document.getElementById("heading");
  listen(`/api/v1/analyses/${box.dataset.id}/events`, (job, stop) => {
    if (job.state !== "waiting" && job.state !== "running") {
      stop();
      location.reload();
      return;
    }
    heading.textContent = job.state === "waiting" ? _("Waiting") : _("Being analysed");
    stage.textContent = job.state === "waiting" ? _("Waiting in the queue") : stageWords(job);
    if (job.total) { bar.max = job.total; bar.value = job.done; } else { bar.removeAttribute("value"); }
  });
}
if (document.querySelector("[data-reload-when-done]")) {
  listen("/api/v1/events", (job) => {
    if (!["waiting", "running"].includes(job.state)) setTimeout(() => location.reload(), 400);
  });
}
