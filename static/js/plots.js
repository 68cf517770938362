// Draws the figures that a page carries as JSON (script#<id>-figure beside div.plot#<id>), in the colours of the scheme.
const plots = [...document.querySelectorAll(".plot[data-figure]")];

function colour(name) {
  // light-dark() is resolved by asking for a colour that an element really has.
  const probe = document.createElement("i");
  probe.hidden = true;
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

// plotly.js adds the styles of its maps, which the content security policy refuses, unless this ID is there.
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

// A figure names colours by token ("token:accent"), so that the server knows no scheme.
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
  const config = { displayModeBar: false, responsive: true, scrollZoom: false, doubleClick: false };
  plot.replaceChildren();
  window.Plotly.newPlot(plot, figure.data, figure.layout, config).then(() => {
    plot.on("plotly_click", (event) => {
      const address = event.points[0]?.customdata;
      if (typeof address === "string" && address.startsWith("/")) location.assign(address);
    });
  });
}

function drawAll() {
  plots.forEach(draw);
}

if (plots.length) {
  load(plots[0].dataset.library).then(() => {
    drawAll();
    document.addEventListener("clearance:theme", drawAll);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  }, (error) => {
    plots.forEach((plot) => { plot.textContent = error.message; });
  });
}
