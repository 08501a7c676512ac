// Drag over a calendar strip to choose a time; the fields of its form say the same and work without any of this.
const HOUR = 3600e3;
const SNAP = HOUR / 2;

const zone = () => document.documentElement.dataset.zone || "UTC";

/** An instant as a datetime-local field writes it, on the page's wall clock. */
function written(at) {
  const parts = Object.fromEntries(
    new Intl.DateTimeFormat("en-CA", { timeZone: zone(), hourCycle: "h23", year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit" })
      .formatToParts(new Date(at))
      .map((part) => [part.type, part.value]),
  );
  return `${parts.year}-${parts.month}-${parts.day}T${parts.hour}:${parts.minute}`;
}

const days = () => [...document.querySelectorAll("[data-strip] svg.days")];
const bounds = (svg) => [Date.parse(svg.dataset.start), Date.parse(svg.dataset.end)];

function instantAt(svg, x) {
  const box = svg.getBoundingClientRect();
  const [start, end] = bounds(svg);
  const share = Math.min(1, Math.max(0, (x - box.left) / box.width));
  return Math.round((start + share * (end - start)) / SNAP) * SNAP;
}

let chosen = null; // [from, until] in milliseconds

function paint() {
  for (const svg of days()) {
    svg.querySelector(".selection")?.remove();
    if (!chosen) continue;
    const [start, end] = bounds(svg);
    const from = Math.max(start, chosen[0]);
    const until = Math.min(end, chosen[1]);
    if (from >= until) continue;
    const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    rect.setAttribute("class", "selection");
    rect.setAttribute("x", `${(100 * (from - start)) / (end - start)}%`);
    rect.setAttribute("width", `${(100 * (until - from)) / (end - start)}%`);
    rect.setAttribute("y", "0");
    rect.setAttribute("height", "100%");
    svg.append(rect);
  }
}

function choose(strip, from, until) {
  const earliest = Math.ceil(Date.now() / SNAP) * SNAP;
  chosen = [Math.max(earliest, Math.min(from, until)), Math.max(earliest + SNAP, Math.max(from, until))];
  const form = document.getElementById(strip.dataset.strip);
  form.elements.from.value = written(chosen[0]);
  form.elements.to.value = written(chosen[1]);
  const said = form.parentElement.querySelector("[data-strip-said]");
  if (said) said.textContent = `${written(chosen[0]).replace("T", " ")} – ${written(chosen[1]).replace("T", " ")}`;
  paint();
}

const preview = (strip) => document.getElementById(strip.dataset.strip).dispatchEvent(new Event("preview"));

let drag = null;

document.addEventListener("pointerdown", (event) => {
  const svg = event.target.closest("[data-strip] svg.days");
  if (!svg || event.button !== 0) return;
  event.preventDefault();
  drag = { strip: svg.closest("[data-strip]"), from: instantAt(svg, event.clientX), moved: false };
});
document.addEventListener("pointermove", (event) => {
  if (!drag) return;
  const svg = document.elementFromPoint(event.clientX, event.clientY)?.closest?.("[data-strip] svg.days");
  if (!svg) return;
  drag.moved = true;
  choose(drag.strip, drag.from, instantAt(svg, event.clientX));
});
document.addEventListener("pointerup", () => {
  if (!drag) return;
  const { strip, moved } = drag;
  drag = null;
  if (!moved) return;
  preview(strip);
  document.getElementById(strip.dataset.strip).scrollIntoView({ block: "nearest", behavior: "smooth" });
});
document.addEventListener("pointercancel", () => { drag = null; });

document.addEventListener("keydown", (event) => {
  const strip = event.target.closest?.("[data-strip]");
  if (!strip || event.target !== strip) return;
  const step = { ArrowLeft: -HOUR, ArrowRight: HOUR, ArrowUp: -7 * 24 * HOUR, ArrowDown: 7 * 24 * HOUR }[event.key];
  if (step) {
    event.preventDefault();
    const begin = Math.ceil(Date.now() / HOUR) * HOUR;
    const [from, until] = chosen || [begin, begin + HOUR];
    if (event.shiftKey) choose(strip, from, Math.max(from + SNAP, until + step));
    else choose(strip, chosen ? from + step : from, chosen ? until + step : until);
  } else if (event.key === "Enter" && chosen) {
    event.preventDefault();
    preview(strip);
  } else if (event.key === "Escape") {
    chosen = null;
    paint();
  }
});

// The strip is fetched again when somebody else changes the schedule: what is chosen stays.
document.body.addEventListener("htmx:afterSettle", paint);
document.body.addEventListener("toast", (event) => { if (event.detail.tone === "green") { chosen = null; paint(); document.getElementById("preview")?.replaceChildren(); } });
