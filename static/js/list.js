// Beside the list: Alt excludes a value; a drag over the histogram chooses the time.
document.addEventListener("click", (event) => {
  const value = event.target.closest("a[data-without]");
  if (!value || !event.altKey) return;
  event.preventDefault();
  location.assign(value.dataset.without);
});

let first = null;
let dragged = false;
const barAt = (event) => document.elementsFromPoint(event.clientX, event.clientY).find((one) => one.closest("[data-from]"))?.closest("[data-from]");

function between(from, to) {
  const bars = [...from.parentNode.children];
  const [low, high] = [bars.indexOf(from), bars.indexOf(to)].sort((a, b) => a - b);
  return bars.slice(low, high + 1);
}

document.addEventListener("pointerdown", (event) => {
  first = event.button === 0 && event.target.closest("[data-histogram]") ? barAt(event) : null;
  dragged = false;
  if (first) event.preventDefault();
});
document.addEventListener("pointermove", (event) => {
  const bar = first && barAt(event);
  if (!bar) return;
  dragged ||= bar !== first;
  const chosen = between(first, bar);
  [...first.parentNode.children].forEach((one) => one.classList.toggle("chosen", dragged && chosen.includes(one)));
});
document.addEventListener("pointerup", () => {
  if (!first || !dragged) return;
  const chosen = document.querySelectorAll("[data-histogram] .chosen");
  const address = new URL(location.href);
  for (const name of ["window", "cursor", "live"]) address.searchParams.delete(name);
  address.searchParams.set("from", chosen[0].dataset.from);
  address.searchParams.set("to", chosen[chosen.length - 1].dataset.to);
  first = null;
  location.assign(address);
});
