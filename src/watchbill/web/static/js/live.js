// "X changed" from the server; the parts of this page that care fetch themselves again under the person's own rights.
// One stream per visible tab: browsers allow six connections per origin, so hidden tabs close theirs and catch up.
let source = null;
let retry = 1000;
let missed = false;
let timer = 0;
const pending = new Set();

const regions = () => document.querySelectorAll("[data-live]");
const cares = (region, subject) => {
  const noun = subject.split(":")[0];
  return region.dataset.live.split(" ").some((want) => want === subject || want === `${noun}:*` || want === "*");
};

function refresh(region) {
  if (pending.has(region)) return;
  pending.add(region);
  // Several changes of one commit arrive together: one fetch for all of them.
  setTimeout(() => { pending.delete(region); if (region.isConnected) window.htmx.trigger(region, "live"); }, 120);
}

const refreshAll = () => regions().forEach(refresh);

function show(state, text) {
  for (const node of document.querySelectorAll(".livestate")) {
    node.dataset.state = state;
    const label = node.querySelector("span");
    if (label && label.textContent !== text) label.textContent = text;
  }
}

function open() {
  if (source || document.hidden || !document.querySelector('meta[name="stream"]')) return;
  source = new EventSource(document.querySelector('meta[name="stream"]').content);
  source.addEventListener("ready", () => {
    retry = 1000;
    show("live", "Live");
    if (missed) { missed = false; refreshAll(); }
  });
  source.addEventListener("changed", (event) => regions().forEach((region) => cares(region, event.data) && refresh(region)));
  source.addEventListener("resync", refreshAll);
  source.addEventListener("bye", () => { close(); missed = true; plan(500); });
  source.onerror = () => {
    close();
    missed = true;
    show("lost", "Reconnecting…");
    plan(retry);
    retry = Math.min(retry * 2, 30000);
  };
}

function close() {
  if (source) source.close();
  source = null;
}

function plan(after) {
  clearTimeout(timer);
  timer = setTimeout(open, after + Math.random() * 400);
}

export function start() {
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { close(); missed = true; } else { retry = 1000; open(); }
  });
  window.addEventListener("online", () => { retry = 1000; open(); });
  window.addEventListener("pagehide", () => { close(); missed = true; });
  window.addEventListener("pageshow", (event) => { if (event.persisted) open(); });
  open();
}
