// Relative times and countdowns, kept current; the server has already written both in the person's zone.
const units = [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]];

/** Two units at most: "2h 5m", "41s". The same words as the server's. */
export function rough(seconds) {
  let left = Math.floor(Math.abs(seconds));
  const parts = [];
  for (const [name, size] of units) {
    const amount = Math.floor(left / size);
    left -= amount * size;
    if (amount) parts.push(`${amount}${name}`);
    else if (parts.length) break;
    if (parts.length === 2) break;
  }
  return parts.join(" ") || "0s";
}

// The server's clock is the one that pages; a phone's may be off.
const skew = Number(document.querySelector('meta[name="server-time"]')?.content || Date.now()) - Date.now();
export const now = () => Date.now() + (Math.abs(skew) > 5000 ? skew : 0);

function words(node) {
  const seconds = (Date.parse(node.dateTime) - now()) / 1000;
  if (node.dataset.time === "countdown") return seconds > 0 ? `in ${rough(seconds)}` : "now";
  if (node.dataset.time === "left") return seconds > 0 ? rough(seconds) : "0s";
  if (node.dataset.time === "length") return rough(-seconds);
  if (Math.abs(seconds) < 5) return "just now";
  return seconds > 0 ? `in ${rough(seconds)}` : `${rough(seconds)} ago`;
}

export function tick() {
  for (const node of document.querySelectorAll("time[data-time]")) {
    const text = words(node);
    if (node.textContent !== text) node.textContent = text;
  }
}

export function start() {
  tick();
  setInterval(() => { if (!document.hidden) tick(); }, 1000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) tick(); });
  document.body.addEventListener("htmx:afterSwap", tick);
}
