// Draws the figures that a page carries as JSON, in the colours of the scheme.
const plots = [...document.querySelectorAll(".plot[data-figure]")];

function colour(name) {
  const probe = document.createElement("i");
  probe.hidden = true;
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

// plotly.js adds its maps' styles, which the policy refuses, unless this ID is there.
const MAP_STYLES = "9f215cf04c5486422605d13261cb87401f4e7763b6296af81e98efbc0130da53";

function load(address) {
  const stand = document.createElement("meta");
  stand.id = MAP_STYLES;
  document.head.append(stand);
  return new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = address;
    script.onload = done;
    script.onerror = () => failed(new Error("The plots did not load; the tables hold the same numbers."));
    document.head.append(script);
  });
}

// A figure names colours by token ("token:accent").
function painted(value) {
  if (typeof value === "string") return value.startsWith("token:") ? colour(value.slice(6)) : value;
  if (Array.isArray(value)) return value.map(painted);
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, painted(inner)]));
  }
  return value;
}

function draw(plot) {
  const figure = painted(JSON.parse(document.getElementById(plot.dataset.figure).textContent));
  const config = { displayModeBar: false, responsive: true, doubleClick: false };
  figure.layout.dragmode = matchMedia("(pointer: fine)").matches && "zoom";
  plot.replaceChildren();
  window.Plotly.newPlot(plot, figure.data, figure.layout, config).then(() => {
    plot.on("plotly_click", (event) => {
      const address = event.points[0]?.customdata;
      if (typeof address === "string" && address.startsWith("/")) location.assign(address);
    });
    plot.on("plotly_relayout", (to) => {
      const from = to["xaxis.range[0]"];
      if (!from) return;
      const next = new URL(location);
      for (const name of ["window", "step"]) next.searchParams.delete(name);
      next.searchParams.set("from", from.slice(0, 19));
      next.searchParams.set("to", to["xaxis.range[1]"].slice(0, 19));
      location.assign(next);
    });
  });
}

if (plots.length) {
  const drawAll = () => plots.forEach(draw);
  load(plots[0].dataset.library).then(() => {
    drawAll();
    document.addEventListener("clearance:theme", drawAll);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  }, (error) => {
    plots.forEach((plot) => { plot.textContent = error.message; });
  });
}
