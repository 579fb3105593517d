// A page that shows how far an analysis is, and the result as soon as there is one.
import { _, stageWords } from "./common.js";

const box = document.getElementById("progress");
if (box) {
  const bar = document.getElementById("bar");
  const stage = document.getElementById("stage");
  const events = new EventSource(`/api/v1/analyses/${box.dataset.id}/events`);
  events.addEventListener("job", (event) => {
    const job = JSON.parse(event.data);
    if (job.state !== "waiting" && job.state !== "running") {
      events.close();
      location.reload();
      return;
    }
    stage.textContent = job.state === "waiting" ? _("Waiting in the queue") : stageWords(job);
    if (job.total) { bar.max = job.total; bar.value = job.done; } else { bar.removeAttribute("value"); }
  });
}
if (document.querySelector("[data-reload-when-done]")) {
  const events = new EventSource("/api/v1/events");
  events.addEventListener("job", (event) => {
    if (!["waiting", "running"].includes(JSON.parse(event.data).state)) setTimeout(() => location.reload(), 400);
  });
}
