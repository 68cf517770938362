// Runs before the first paint, so that a chosen scheme never flashes; so a plain script.
(function () {
  const root = document.documentElement;
  try {
    const theme = localStorage.getItem("clearance.theme");
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    if (localStorage.getItem("clearance.keys") === "off") root.dataset.keys = "off";
  } catch {
    // Storage is switched off.
  }
})();
