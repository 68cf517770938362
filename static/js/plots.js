// Draws the figures that a page carries as JSON, in the colours of the scheme.
const plots = [...document.querySelectorAll(".plot[data-figure]")];

// A figure names colours by token ("token:accent"): asked of an element, so that light-dark() is resolved.
function painted(value) {
  if (typeof value === "string" && value.startsWith("token:")) {
    const probe = document.body.appendChild(document.createElement("i"));
    probe.style.color = `var(--${value.slice(6)})`;
    const { color } = getComputedStyle(probe);
    probe.remove();
    return color;
  }
  if (Array.isArray(value)) return value.map(painted);
  if (!value || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, painted(inner)]));
}

function draw(plot) {
  const { data, layout } = painted(JSON.parse(document.getElementById(plot.dataset.figure).textContent));
  layout.dragmode = matchMedia("(pointer: fine)").matches && "zoom";
  plot.replaceChildren();
  window.Plotly.newPlot(plot, data, layout, { displayModeBar: false, responsive: true, doubleClick: false });
  plot.on("plotly_click", ({ points: [{ customdata }] }) => customdata && location.assign(customdata));
  plot.on("plotly_relayout", (to) => {
    const from = to["xaxis.range[0]"];
    if (!from) return;
    const next = new URL(location);
    ["window", "step"].forEach((name) => next.searchParams.delete(name));
    next.searchParams.set("from", from.slice(0, 19));
    next.searchParams.set("to", to["xaxis.range[1]"].slice(0, 19));
    location.assign(next);
  });
}

if (plots.length) {
  const drawAll = () => plots.forEach(draw);
  // plotly.js adds its maps' styles, which the policy refuses, unless this ID is there.
  document.head.append(Object.assign(document.createElement("meta"), { id: "9f215cf04c5486422605d13261cb87401f4e7763b6296af81e98efbc0130da53" }));
  const script = Object.assign(document.createElement("script"), { src: plots[0].dataset.library });
  script.onload = () => {
    drawAll();
    document.addEventListener("clearance:theme", drawAll);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  };
  script.onerror = () => plots.forEach((plot) => { plot.textContent = "The plots did not load; the tables hold the same numbers."; });
  document.head.append(script);
}
