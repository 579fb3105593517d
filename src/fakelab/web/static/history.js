// How many are ticked, and a question before anything is deleted.
import { _, showScripted } from "./common.js";

showScripted();

const form = document.getElementById("selected");
if (form) {
  const said = document.getElementById("ticked");
  const ticks = [...form.querySelectorAll('input[name="run"]')];
  const told = () => {
    const count = ticks.filter((each) => each.checked).length;
    said.textContent = _("{count} selected", { count });
    for (const button of form.querySelectorAll('button[name="do"]')) button.disabled = button.value === "compare" ? count !== 2 : !count;
  };
  form.addEventListener("change", told);
  form.addEventListener("submit", (event) => {
    const question = event.submitter?.dataset.ask;
    if (question && !confirm(question)) event.preventDefault();
  });
  told();
}
