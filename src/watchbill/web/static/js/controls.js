// Copy, theme, toasts, filters that submit themselves.
const icon = (name) => {
  const base = document.querySelector('meta[name="sprite"]').content;
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `${base}#${name}`);
  svg.append(use);
  return svg;
};

export function toast(text, tone = "green", undo = null, undoAt = null) {
  const place = document.getElementById("toasts");
  if (!place) return;
  const box = document.createElement("div");
  box.className = `toast ${tone}`;
  const words = document.createElement("p");
  words.textContent = text;
  const close = document.createElement("button");
  close.className = "iconbtn";
  close.type = "button";
  close.setAttribute("aria-label", "Dismiss");
  close.append(icon("close"));
  close.addEventListener("click", () => box.remove());
  box.append(icon(tone === "red" ? "incident" : "checkcircle"), words);
  if (undo) {
    const back = document.createElement("button");
    back.className = "btn btn-s";
    back.type = "button";
    back.textContent = undo;
    back.addEventListener("click", () => { box.remove(); window.htmx.ajax("POST", undoAt, { source: document.body, swap: "none", values: {} }); });
    box.append(back);
  }
  box.append(close);
  place.append(box);
  if (tone !== "red") setTimeout(() => box.remove(), undo ? 12000 : 6000);
}

async function copy(button) {
  const text = button.dataset.copy === "page" ? window.location.href : button.dataset.copy;
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied.");
  } catch {
    window.prompt("Copy this:", text);
  }
}

function nextTheme() {
  const root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)").matches;
  const shown = root.dataset.theme === "auto" ? (dark ? "dark" : "light") : root.dataset.theme;
  const chosen = shown === "dark" ? "light" : "dark";
  root.dataset.theme = chosen;
  document.cookie = `watchbill_theme=${chosen}; path=/; max-age=31536000; samesite=lax`;
  window.dispatchEvent(new Event("themechange"));
}

export function start() {
  document.addEventListener("click", (event) => {
    const copier = event.target.closest("[data-copy]");
    if (copier) { event.preventDefault(); copy(copier); }
    if (event.target.closest("[data-theme-toggle]")) { event.preventDefault(); nextTheme(); }
  });
  document.addEventListener("change", (event) => {
    const form = event.target.closest("form[data-auto]");
    if (form && event.target.tagName === "SELECT") form.requestSubmit();
  });
  const body = document.body;
  body.addEventListener("toast", (event) => toast(event.detail.text, event.detail.tone, event.detail.undo, event.detail.undoAt));
  body.addEventListener("htmx:responseError", (event) => {
    if (event.detail.xhr.status === 401) { window.location.reload(); return; }
    if (!event.detail.xhr.getResponseHeader("HX-Trigger")) toast("That did not work. Reload the page and try again.", "red");
  });
  body.addEventListener("htmx:sendError", (event) => {
    if (event.detail.requestConfig?.verb !== "get") toast("Watchbill does not answer. Nothing was sent; try again.", "red");
  });
  body.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.successful && event.target.matches("form[data-reset]")) event.target.reset();
  });
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  for (const node of document.querySelectorAll("[data-zone-hint]")) {
    if (zone && zone !== node.dataset.zoneHint) {
      node.hidden = false;
      node.querySelectorAll("[data-zone-name]").forEach((place) => { place.textContent = zone; });
      node.querySelectorAll("input[name=time_zone]").forEach((input) => { input.value = zone; });
    }
  }
}
