// Single-key shortcuts: dead in fields, off when the person switched them off (WCAG 2.1.4), never with Ctrl, Alt or Meta.
const PLACES = { f: "/", t: "/traces/" };
let prefix = "";
let forget = 0;

function typing(target) {
  return target.closest("input:not([type=checkbox], [type=radio]), select, textarea, [contenteditable], dialog[open]") !== null;
}

function rows() {
  return [...document.querySelectorAll("[data-rows] tbody tr:has(a), .criterion")];
}

function move(step) {
  const all = rows();
  if (!all.length) return false;
  const held = all.findIndex((row) => row.matches(".now, :focus-within"));
  const next = held < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(Math.max(held + step, 0), all.length - 1);
  const link = all[next].querySelector("a.open, :checked") ?? all[next].querySelector("a, input");
  link.focus();
  link.scrollIntoView({ block: "nearest" });
  return true;
}

function focusFind() {
  const field = document.querySelector("[data-focus-key='/']");
  if (!field) return false;
  field.form.classList.add("open");
  field.focus();
  field.select();
  return true;
}

function showHelp() {
  const help = document.getElementById("keys-help");
  if (!help || help.open) return false;
  help.showModal();
  return true;
}

// What a page has under its own key, of several forms that of the one to go on with: a field takes the focus, all else
// is pressed.
function press(key) {
  const one = document.querySelector(`[data-key="${CSS.escape(key)}"]:not(.criterion:not(.now) *)`);
  one?.focus();
  if (!one?.matches("textarea")) one?.click();
  return one;
}

// The line that has the focus is chosen, or no more.
function choose() {
  const box = document.activeElement.closest("tr")?.querySelector("[name=choose]");
  box?.click();
  return box;
}

const ACTIONS = { "/": focusFind, "?": showHelp, x: choose, j: () => move(1), k: () => move(-1) };

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey) return;
  if (document.documentElement.dataset.keys === "off" || typing(event.target)) return;
  const place = prefix === "g" ? PLACES[event.key] : undefined;
  prefix = "";
  clearTimeout(forget);
  if (place) {
    event.preventDefault();
    location.assign(place);
  } else if (event.key === "g") {
    prefix = "g";
    forget = setTimeout(() => { prefix = ""; }, 1500);
  } else if (ACTIONS[event.key]?.() || press(event.key)) {
    event.preventDefault();
  }
});

// A swap must not drop the focus: the element of the same ID takes it, else the page.
let focused = "";
document.addEventListener("htmx:beforeSwap", (event) => {
  focused = event.detail.target.contains(document.activeElement) ? document.activeElement.id || "?" : "";
});
document.addEventListener("htmx:afterSettle", () => {
  if (!focused || document.activeElement !== document.body) return;
  const again = document.getElementById(focused) ?? document.getElementById("main");
  again?.focus({ preventScroll: true });
});
