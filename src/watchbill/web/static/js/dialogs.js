// A link with data-dialog opens its page's confirmation in a dialog; without script it is simply that page.
import { toast } from "./controls.js";

export function start() {
  const dialog = document.getElementById("dialog");
  document.addEventListener("click", async (event) => {
    const closer = event.target.closest("[data-close]");
    if (closer && closer.closest("dialog")) { event.preventDefault(); closer.closest("dialog").close(); return; }
    const opener = event.target.closest("[data-open]");
    if (opener) { event.preventDefault(); document.getElementById(opener.dataset.open)?.showModal(); return; }
    const link = event.target.closest("a[data-dialog]");
    if (!link || !dialog || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    try {
      const answer = await fetch(link.href, { headers: { "HX-Request": "true", "X-Dialog": "true" } });
      if (!answer.ok) { window.location.assign(link.href); return; }
      dialog.querySelector(".body").innerHTML = await answer.text();
      window.htmx.process(dialog);
      dialog.showModal();
      dialog.querySelector("[autofocus]")?.focus();
    } catch {
      toast("Watchbill does not answer. Check your connection and try again.", "red");
    }
  });
  document.addEventListener("click", (event) => { if (event.target instanceof HTMLDialogElement) event.target.close(); });
  document.body.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.successful && event.target.closest("dialog")) event.target.closest("dialog").close();
  });
}
