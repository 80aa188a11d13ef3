// Runs before the first paint: dark or light as the system says, unless this browser was told otherwise.
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const remembered = () => {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null; // storage is switched off: follow the system
    }
  };
  const apply = () => {
    root.dataset.bsTheme = remembered() ?? (dark.matches ? "dark" : "light");
  };
  root.classList.add("js");
  apply();
  dark.addEventListener("change", apply);
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-theme-toggle]")) return;
    const next = root.dataset.bsTheme === "dark" ? "light" : "dark";
    try {
      localStorage.setItem("theme", next);
    } catch {
      // not remembered then
    }
    root.dataset.bsTheme = next;
  });
})();
