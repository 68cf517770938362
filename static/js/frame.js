// The frame's small behaviours: drawers, the display menu, times, copy buttons. Every page works without them.
const root = document.documentElement;
const announcer = document.getElementById("announcer");

// Where a browser keeps nothing, nobody can sign in either.
const stored = (name, usual) => localStorage[`clearance.${name}`] ?? usual;

function say(words) {
  if (!announcer) return;
  announcer.textContent = "";
  requestAnimationFrame(() => { announcer.textContent = words; });
}

// --- drawers on a phone; a second press or Escape closes them
let opener = null;

function open(id, from) {
  const drawer = document.getElementById(id);
  drawer.classList.add("open");
  opener = from;
  drawer.querySelector("input, a")?.focus();
}

function closeAll(back = true) {
  const shown = document.querySelectorAll(".side.open, .find.open");
  shown.forEach((drawer) => drawer.classList.remove("open"));
  if (shown.length && back) opener?.focus();
  document.querySelectorAll("details[data-drop][open]").forEach((drop) => {
    const held = drop.contains(document.activeElement);
    drop.open = false;
    if (held && back) drop.querySelector("summary").focus();
  });
}

document.addEventListener("click", (event) => {
  const opens = event.target.closest("[data-opens]");
  const closes = event.target.closest("[data-closes]");
  if (opens || closes) event.preventDefault();
  if (opens) {
    const shown = document.getElementById(opens.dataset.opens).classList.contains("open");
    closeAll(false);
    if (!shown) open(opens.dataset.opens, opens);
  } else if (closes || !event.target.closest(".side, .find, details[data-drop]")) {
    closeAll(Boolean(closes));
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") closeAll();
});

// --- what a person chose: colours, times, single-key shortcuts
function bind(name, usual, show) {
  document.querySelectorAll(`[data-setting=${name}] input`).forEach((input) => {
    input.checked = input.value === stored(name, usual);
    input.addEventListener("change", () => {
      localStorage[`clearance.${name}`] = input.value;
      show(input.value);
    });
  });
}

function showTheme(theme) {
  root.dataset.theme = theme;
  document.dispatchEvent(new Event("clearance:theme"));
}

function bindKeys() {
  const keys = document.querySelector("[data-keys-switch]");
  if (!keys) return;
  keys.checked = root.dataset.keys !== "off";
  keys.addEventListener("change", () => {
    root.dataset.keys = localStorage["clearance.keys"] = keys.checked ? "on" : "off";
  });
}

// --- times: relative as the server wrote them, or exact; the title has my zone and UTC
const exact = (at, timeZone) => at.toLocaleString("sv-SE", { timeZone });

function showTimes() {
  const mode = stored("times", "relative");
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  document.querySelectorAll("time[datetime]").forEach((time) => {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) return;
    time.dataset.relative ??= time.textContent;
    time.title = `${exact(at, zone)} ${zone}\n${exact(at, "UTC")} UTC`;
    if (mode === "relative") time.textContent = time.dataset.relative;
    else time.textContent = mode === "utc" ? `${exact(at, "UTC")} UTC` : exact(at, zone);
  });
}

// --- copy buttons: data-copy holds the text, or the ID of the element that holds it
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy], [data-copy-from]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copyFrom ?? "");
  const text = button.dataset.copy ?? source?.textContent ?? "";
  try {
    await navigator.clipboard.writeText(text);
    say("Copied");
    button.dataset.label ??= button.textContent;
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = button.dataset.label; }, 1500);
  } catch {
    // Without a secure context the clipboard is closed: the text is selected, so that Ctrl C copies it.
    if (source) getSelection().selectAllChildren(source);
    say("Selected; press Ctrl C to copy");
  }
});

// --- htmx: what was swapped in, and a failed request is said
document.addEventListener("htmx:afterSettle", () => {
  showTimes();
  const news = document.querySelector("[data-say]");
  if (news) say(news.dataset.say);
  news?.removeAttribute("data-say");
});
document.addEventListener("htmx:sendError", () => say("The server does not answer; nothing was changed."));

bind("theme", "system", showTheme);
bind("times", "relative", showTimes);
bindKeys();
showTimes();
