// The timeline by keyboard: one row holds the focus (roving tabindex), htmx swaps the chosen span's panel.
const all = () => [...document.querySelectorAll(".trace-tree tbody tr")];
const link = (row) => row.cells[0].querySelector("a");
const held = (rows = all()) => rows.indexOf(document.activeElement?.closest?.("tr"));
const start = (rows) => Math.max(rows.findIndex((row) => row.ariaSelected === "true"), 0);
const address = document.querySelector("[data-copy-address]");

function hold(row, focus = true) {
  if (!row) return false;
  all().forEach((other) => { other.tabIndex = other === row ? 0 : -1; });
  if (!focus) return true;
  row.focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest", inline: "nearest" });
  return true;
}

function step(by) {
  const rows = all();
  const at = held(rows);
  return hold(rows[at < 0 ? start(rows) : Math.min(Math.max(at + by, 0), rows.length - 1)]);
}

function open() {
  if (document.activeElement.tagName === "A") return false;
  link(all()[held()]).click();
  return true;
}

function out() {
  const rows = all().slice(0, held() + 1).reverse();
  return hold(rows.find((row) => Number(row.ariaLevel) < Number(rows[0].ariaLevel))) || true;
}

const KEYS = { j: () => step(1), k: () => step(-1) };
const IN_TREE = {
  ArrowDown: KEYS.j,
  ArrowUp: KEYS.k,
  ArrowLeft: out,
  ArrowRight: () => (all()[held()].ariaExpanded === "false" ? open() : step(1)),
  Home: () => hold(all()[0]),
  End: () => hold(all().at(-1)),
  Enter: open,
};

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.target.closest?.("input, select, textarea, [contenteditable], dialog[open]")) return;
  const letter = event.key.length === 1 && document.documentElement.dataset.keys !== "off";
  const action = letter ? KEYS[event.key] : held() >= 0 && IN_TREE[event.key];
  if (action && action()) event.preventDefault();
});

const copied = () => { address.dataset.copy = location.href; };
copied();
document.addEventListener("htmx:pushedIntoHistory", copied);

const rows = all();
if (rows.length) {
  rows.forEach((row) => { link(row).tabIndex = -1; });
  const chosen = rows[start(rows)];
  hold(chosen, false);
  const box = chosen.closest(".trace-box");
  box.scrollTop = chosen.offsetTop - box.clientHeight / 2;
}

// A click anywhere in a row opens it; on the link itself the browser and htmx do.
document.addEventListener("click", (event) => {
  const row = event.target.closest(".trace-tree tbody tr");
  if (row && event.target.closest("a")) hold(row);
  else if (row) link(row).click();
});

// Whatever asked for a span: its row is the chosen one now. In another window or a folded row the whole page shows it.
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target.id !== "span-panel") return;
  const asked = new URL(event.detail.pathInfo.finalRequestPath, location.href).searchParams.get("span");
  const chosen = document.getElementById(`row-${asked}`);
  if (asked && !chosen) return location.reload();
  all().forEach((row) => { row.ariaSelected = String(row === chosen); });
  hold(chosen, held() >= 0);
});
