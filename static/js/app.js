// Small comforts. Every page works without them.
document.addEventListener("click", async (event) => {
  const menu = event.target.closest("[data-menu-toggle]");
  if (menu) {
    const open = menu.getAttribute("aria-expanded") !== "true";
    menu.setAttribute("aria-expanded", String(open));
    document.getElementById(menu.getAttribute("aria-controls")).classList.toggle("open", open);
  }
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    await navigator.clipboard.writeText(document.getElementById(copy.dataset.copy).textContent.trim());
    copy.querySelector("[data-copy-label]").textContent = copy.dataset.copied;
  }
});

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-select-all]")) {
    for (const box of event.target.closest("table").querySelectorAll("tbody input[type=checkbox]")) {
      box.checked = event.target.checked;
    }
  }
  if (event.target.matches("[data-submit-on-change]")) event.target.form.requestSubmit();
});
