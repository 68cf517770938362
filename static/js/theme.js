// Runs before the first paint, so that a chosen colour scheme never flashes; a plain script for that reason.
(function () {
  const root = document.documentElement;
  try {
    const theme = localStorage.getItem("clearance.theme");
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    if (localStorage.getItem("clearance.keys") === "off") root.dataset.keys = "off";
  } catch {
    // Storage is switched off: the system's scheme, and keys on.
  }
})();
