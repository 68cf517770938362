// The timeline by keyboard: one row holds the focus (roving tabindex), htmx swaps the chosen span's panel.
// Rows are looked up each time: a restored history entry brings new ones.
const all = () => [...document.querySelectorAll(".trace-tree tbody tr")];

function link(row) {
  return row.cells[0].querySelector("a");
}

function hold(row, focus = true) {
  all().forEach((other) => { other.tabIndex = other === row ? 0 : -1; });
  if (!focus) return;
  row.focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest", inline: "nearest" });
}

function choose(row) {
  all().forEach((other) => other.setAttribute("aria-selected", String(other === row)));
}

function held(rows = all()) {
  return rows.indexOf(document.activeElement?.closest?.("tr"));
}

function start(rows = all()) {
  return Math.max(rows.findIndex((row) => row.getAttribute("aria-selected") === "true"), 0);
}

function step(by) {
  const rows = all();
  if (!rows.length) return false;
  const at = held(rows);
  hold(rows[at < 0 ? start(rows) : Math.min(Math.max(at + by, 0), rows.length - 1)]);
  return true;
}

function edge(index) {
  // Home and End belong to the page unless the timeline has the focus.
  if (held() < 0) return false;
  hold(all().at(index));
  return true;
}

function open() {
  const row = all()[held()];
  if (!row || document.activeElement.tagName === "A") return false;
  link(row).click();
  return true;
}

// To the row that a level above begins with; a folded row opens.
function out() {
  const rows = all();
  const at = held(rows);
  const level = Number(rows[at]?.ariaLevel);
  const parent = rows.slice(0, Math.max(at, 0)).reverse().find((row) => Number(row.ariaLevel) < level);
  if (parent) hold(parent);
  return at >= 0;
}

function into() {
  const row = all()[held()];
  return row?.ariaExpanded === "false" ? open() : step(1);
}

// Links of the page that a key presses: next error, next found span, raw, prompt.
function press(key) {
  const found = document.querySelector(`[data-key="${CSS.escape(key)}"]`);
  found?.click();
  return Boolean(found);
}

const KEYS = { j: () => step(1), k: () => step(-1) };
const IN_TREE = { ArrowDown: () => step(1), ArrowUp: () => step(-1), ArrowLeft: out, ArrowRight: into, Home: () => edge(0), End: () => edge(-1), Enter: open };

function typing(target) {
  return target.closest?.("input, select, textarea, [contenteditable], dialog[open]") !== null;
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey || typing(event.target)) return;
  const letter = event.key.length === 1 && document.documentElement.dataset.keys !== "off";
  const single = letter ? KEYS[event.key] ?? (() => press(event.key)) : undefined;
  // Arrows move in the tree when it has the focus; elsewhere they scroll the page.
  const action = single ?? (held() >= 0 ? IN_TREE[event.key] : undefined);
  if (action?.()) event.preventDefault();
});

function prepare(focus = false) {
  const rows = all();
  if (!rows.length) return;
  rows.forEach((row) => { link(row).tabIndex = -1; });
  const chosen = rows[start(rows)];
  hold(chosen, focus);
  const box = chosen.closest(".trace-box");
  box.scrollTop = chosen.offsetTop - box.clientHeight / 2;
}

prepare();
document.addEventListener("htmx:historyRestore", () => prepare(true));

// A click anywhere in a row opens it; on the link itself the browser and htmx do.
document.addEventListener("click", (event) => {
  const row = event.target.closest(".trace-tree tbody tr");
  if (row && event.target.closest("a")) hold(row);
  else if (row) link(row).click();
});

// Whatever asked for a span (a row, a message): its row is the chosen one now.
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target.id !== "span-panel") return;
  const asked = new URL(event.detail.pathInfo.finalRequestPath, location.href).searchParams.get("span");
  const chosen = document.getElementById(`row-${asked}`);
  // A span in another window or a folded row: the whole page shows it.
  if (asked && !chosen) return location.reload();
  choose(chosen);
  if (chosen) hold(chosen, held() >= 0);
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy-address]");
  if (!button) return;
  try {
    await navigator.clipboard.writeText(location.href);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Copy it from the address bar";
  }
});
