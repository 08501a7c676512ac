// Lines over time, drawn by uPlot from the numbers the server put in data-chart. Colours are read from the style sheet.
const drawn = new Map();

function colour(name) {
  const probe = document.createElement("i");
  probe.className = name;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

const formats = new Map();

function format(options, zone, at) {
  const key = JSON.stringify([options, zone]);
  if (!formats.has(key)) formats.set(key, new Intl.DateTimeFormat("en-GB", { ...options, timeZone: zone }));
  return formats.get(key).format(new Date(at * 1000));
}

/** The hour within two days, else the day: the same 24 hours as on the rest of the page. */
const clock = (at, x, zone) =>
  x[x.length - 1] - x[0] > 2 * 86400
    ? format({ day: "numeric", month: "short" }, zone, at)
    : format({ hour: "2-digit", minute: "2-digit" }, zone, at);
const full = (at, zone) => format({ weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" }, zone, at);

const percent = (value, digits = 2) => (value == null ? "–" : `${value.toFixed(digits)}%`);

/** A click on a moment opens what happened then: data-open is a URL to which the moment's range is added. */
function openable(plot, node, x) {
  const half = x.length > 1 ? Math.max(30, (x[x.length - 1] - x[0]) / (x.length - 1) / 2) : 30;
  plot.over.classList.add("openable");
  plot.over.addEventListener("click", () => {
    const at = x[plot.cursor.idx];
    if (at === undefined || plot.select.width > 0) return;
    const url = new URL(node.dataset.open, location.href);
    url.searchParams.set("start", new Date((at - half) * 1000).toISOString());
    url.searchParams.set("end", new Date((at + half) * 1000).toISOString());
    location.assign(url);
  });
}

/** Vertical lines where something happened: deploys, incidents; the label stands at the top while there is room. */
function marked(plot, marks, tones) {
  const { ctx, bbox } = plot;
  let free = -Infinity;
  ctx.save();
  ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
  for (const mark of marks) {
    const x = Math.round(plot.valToPos(mark.at, "x", true));
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.strokeStyle = ctx.fillStyle = tones[mark.tone] || tones.muted;
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    const width = ctx.measureText(mark.label).width + 8 * devicePixelRatio;
    if (x > free && x + width < bbox.left + bbox.width) {
      ctx.fillText(mark.label, x + 4 * devicePixelRatio, bbox.top + 11 * devicePixelRatio);
      free = x + width;
    }
  }
  ctx.restore();
}

function make(node) {
  const given = JSON.parse(node.dataset.chart);
  const line = colour("swatch-line");
  const muted = colour("swatch-muted");
  const fill = colour("swatch-fill");
  const tones = { accent: colour("swatch"), red: colour("swatch-red"), muted };
  const zone = document.documentElement.dataset.zone || "UTC";
  const suffix = given.unit === "%" ? (value) => percent(value) : (value) => (value == null ? "–" : `${value.toFixed(1)}${given.unit}`);
  const axis = { stroke: muted, grid: { stroke: line, width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
  const options = {
    width: Math.max(200, node.clientWidth),
    height: Number(node.dataset.height || 170),
    tzDate: (ts) => window.uPlot.tzDate(new Date(ts * 1000), zone),
    cursor: { points: { size: 6 } },
    legend: { live: true },
    scales: { x: { time: true }, y: { range: (_, low, high) => [given.low ?? Math.min(low, high - 0.01), given.high ?? (high === low ? high + 1 : high * 1.05)] } },
    axes: [{ ...axis, values: (_, ticks) => ticks.map((tick) => clock(tick, given.x, zone)) }, { ...axis, size: 56, values: (_, ticks) => ticks.map((tick) => `${Number(tick.toFixed(3))}${given.unit}`) }],
    series: [
      { label: "Time", value: (_, at) => (at == null ? "–" : full(at, zone)) },
      ...given.series.map((series) => ({
        label: series.label,
        stroke: tones[series.tone || "accent"],
        width: series.dash ? 1 : 1.75,
        dash: series.dash ? [5, 4] : undefined,
        spanGaps: false,
        points: { show: false },
        value: (_, value) => suffix(value),
      })),
    ],
  };
  // Bands are filled between two series (their numbers count from 1): the interval of a forecast.
  if (given.bands?.length) options.bands = given.bands.map((series) => ({ series, fill }));
  node.replaceChildren();
  options.hooks = {};
  if (node.dataset.open) options.hooks.ready = [(plot) => openable(plot, node, given.x)];
  if (given.marks?.length) options.hooks.draw = [(plot) => marked(plot, given.marks, tones)];
  const plot = new window.uPlot(options, [given.x, ...given.series.map((series) => series.y)], node);
  drawn.set(node, plot);
}

export function draw() {
  for (const node of drawn.keys()) if (!node.isConnected) drawn.delete(node);
  for (const node of document.querySelectorAll("[data-chart]")) if (!drawn.has(node) || !node.querySelector("canvas")) make(node);
}

const redraw = () => { drawn.forEach((plot) => plot.destroy()); drawn.clear(); draw(); };

export function start() {
  if (!document.querySelector("[data-chart]") || !window.uPlot) return;
  draw();
  let timer = 0;
  window.addEventListener("resize", () => { clearTimeout(timer); timer = setTimeout(redraw, 150); });
  window.addEventListener("themechange", redraw);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
}
