// Grading: a key's grade moves on, and what is typed stays on this device until the server has it.
const [form, saved, rows, blank, left] = ["grade", "saved", "comments", "comment", "left"].map((id) => document.getElementById(id));
const { kept } = form.dataset;
let now = form.querySelector(".now");
let sent;
let again;

function add(quote) {
  rows.append(blank.content.cloneNode(true));
  const [passage, comment] = rows.lastElementChild.children;
  passage.value = quote;
  return comment;
}

function count() {
  const open = form.querySelectorAll(".criterion:invalid").length;
  form.querySelector(".primary").ariaDisabled = open > 0;
  left.textContent = open ? `${open} criteri${open > 1 ? "a" : "on"} left` : "";
}

const away = () => saved.querySelector(".away");
const send = () => saved.dispatchEvent(new Event("retry"));

function later(event) {
  event.stopPropagation();
  away().hidden = false;
  clearTimeout(again);
  again = setTimeout(send, 2000);
}

form.oninput = () => {
  form.turn.value = Date.now();
  count();
  // The first entry is the form's token: a kept one would be stale.
  localStorage[kept] = JSON.stringify([...new FormData(form)].slice(1));
};
form.onclick = ({ target, isTrusted }) => {
  if (target.closest("[data-comment]")) add(getSelection().toString().trim()).focus();
  // Only keys.js presses a grade untrusted; arrows and the mouse stay where they are.
  else if (target.matches(".scale input") && (!isTrusted || matchMedia("(pointer: coarse)").matches)) {
    const next = now.nextElementSibling;
    (next?.querySelector(":checked") ?? next?.querySelector("input"))?.focus();
  }
};
// While the server does not answer, submitting would leave the page.
form.onsubmit = () => away().hidden || !send();
form.addEventListener("focusin", ({ target }) => {
  const at = target.closest(".criterion");
  if (!at) return;
  now.classList.remove("now");
  (now = at).classList.add("now");
});
document.addEventListener("keydown", ({ key, target }) => {
  if (key === "Enter" && target.matches("body, main")) form.requestSubmit();
});

saved.addEventListener("htmx:beforeRequest", () => { sent = localStorage[kept]; });
saved.addEventListener("htmx:sendError", later);
// A sign-in page or an error of the road is no answer.
saved.addEventListener("htmx:beforeSwap", (event) => {
  const { detail } = event;
  if (!(detail.shouldSwap = detail.serverResponse.includes("revision"))) later(event);
  else if (detail.xhr.status === 200 && localStorage[kept] === sent) delete localStorage[kept];
});

document.querySelectorAll("[data-done]").forEach((one) => delete localStorage[one.dataset.done]);
if (localStorage[kept]) {
  let comment;
  rows.replaceChildren();
  for (const [name, value] of JSON.parse(localStorage[kept])) {
    if (name === "quote") comment = add(value);
    else (name === "comment" ? comment : form[name] ?? {}).value = value;
  }
  addEventListener("load", send);
}
count();
