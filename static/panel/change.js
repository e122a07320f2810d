/* A change that is watched: the title of its tab, and what happens when it ends. */
"use strict";

const PRODUCT = document.title.split(" · ").pop();

/** The tab says how far the change is, so that it can be watched from another one. */
function showProgressInTitle() {
  const live = panel.find("#live[data-title]");
  if (live) document.title = `${live.dataset.title} · ${PRODUCT}`;
}

/** Whether somebody reads the log, or types into its search. */
function logIsRead() {
  const busy = "[data-pause][aria-pressed=true], #find:focus, #find:not(:placeholder-shown)";
  return Boolean(panel.find(busy)) || !panel.all("[data-log]").every(panel.atEnd);
}

// The result takes the place of the running change, unless somebody reads in it: then a button
// leads there.
document.addEventListener(
  "changeEnded",
  (event) => {
    if (logIsRead()) event.stopPropagation();
  },
  true,
);

document.addEventListener("htmx:afterSettle", (event) => {
  showProgressInTitle();
  if (event.detail.target?.id === "change") panel.find("#outcome-title")?.focus({ preventScroll: true });
});
