// The entry point: everything here enhances pages that work without it.
import { start as startTimes } from "./times.js";
import { start as startLive } from "./live.js";
import { start as startKeys } from "./keys.js";
import { start as startDialogs } from "./dialogs.js";
import { start as startControls } from "./controls.js";
import { draw as drawCharts, start as startCharts } from "./charts.js";

// A morph keeps what the person has opened, and never rebuilds a drawn chart whose data is the same.
if (window.Idiomorph) {
  window.Idiomorph.defaults.ignoreActiveValue = true;
  window.Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) => !(name === "open" && node.tagName === "DETAILS");
  window.Idiomorph.defaults.callbacks.beforeNodeMorphed = (before, after) =>
    !(before.dataset?.chart && before.dataset.chart === after.dataset?.chart) && before.dataset?.keep === undefined;
}

startTimes();
startControls();
startDialogs();
startKeys();
startCharts();
startLive();
document.body.addEventListener("htmx:afterSwap", () => drawCharts());
document.documentElement.dataset.ready = "true";
