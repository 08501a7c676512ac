// Keys for those who live in the page. Off when the person says so (their page), never inside a field.
const places = { h: "/", i: "/incidents", s: "/services", t: "/teams", o: "/slos", m: "/me" };
let waiting = 0;

const editing = (node) => node.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(node.tagName);

function move(step) {
  const rows = [...document.querySelectorAll("main a.row, main .board td.head a")].filter((row) => row.offsetParent);
  if (!rows.length) return;
  const at = rows.indexOf(document.activeElement);
  rows[Math.min(rows.length - 1, Math.max(0, at + step))].focus();
}

function press(key) {
  const target = [...document.querySelectorAll(`[data-key="${CSS.escape(key)}"]`)].find((node) => node.offsetParent);
  if (!target) return false;
  if (editing(target)) target.focus(); else target.click();
  return true;
}

export function start() {
  if (document.documentElement.dataset.keys === "off") return;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || editing(event.target)) return;
    if (document.querySelector("dialog[open]")) return;
    const key = event.key;
    if (Date.now() < waiting) {
      waiting = 0;
      if (places[key]) { event.preventDefault(); window.location.assign(places[key]); return; }
    }
    if (key === "g") { waiting = Date.now() + 1200; return; }
    if (key === "?") { event.preventDefault(); document.getElementById("shortcuts")?.showModal(); return; }
    if (key === "j" || key === "k") { event.preventDefault(); move(key === "j" ? 1 : -1); return; }
    if (press(key)) event.preventDefault();
  });
}
