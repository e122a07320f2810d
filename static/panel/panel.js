/* What the pages cannot do by themselves. Every page works without this file. */
"use strict";

/** What the other files of this folder use too. */
const panel = {};

// -- Small tools -----------------------------------------------------------------------------

panel.find = (selector, root = document) => root.querySelector(selector);
panel.all = (selector, root = document) => Array.from(root.querySelectorAll(selector));

panel.cookie = (name) => {
  const pairs = document.cookie.split("; ").map((pair) => pair.split("="));
  return pairs.find(([key]) => key === name)?.[1];
};

/** For what happens again and again: whether nobody sees the page, or it is being left. */
panel.resting = () => document.hidden || panel.leaving();

let leftAt = 0;
panel.leaving = () => Date.now() - leftAt < 10000;
addEventListener("beforeunload", () => {
  leftAt = Date.now();
});

// -- The address names its server ------------------------------------------------------------
// Loaded again, this page means the same, whatever other tabs do.

function nameTheServer() {
  const { server } = document.documentElement.dataset;
  if (!server) return;
  const here = new URL(location.href);
  here.searchParams.set("server", server);
  history.replaceState(history.state, "", here);
}

// -- Times in the reader's zone ---------------------------------------------------------------
// The server learns the zone from a cookie, and this page is put right at once.

const DATE = { day: "numeric", month: "short", year: "numeric" };
const TIME = { hour: "numeric", minute: "2-digit" };
const FORMS = {
  moment: { ...DATE, ...TIME, timeZoneName: "short" },
  exact: { ...DATE, ...TIME, second: "2-digit", timeZoneName: "short" },
  clock: { ...TIME, second: "2-digit" },
  day: DATE,
};

const timeZone = Intl.DateTimeFormat().resolvedOptions().timeZone;

function zoneIsKnown() {
  return !timeZone || document.documentElement.dataset.zone === timeZone || panel.cookie("zone_chosen");
}

/** A time as the server would have written it: see mpm/web/dates.py. */
function written(at, form) {
  const { lang, dataset } = document.documentElement;
  const english = lang === "en";
  const hours = { 12: { hour12: true }, 24: { hourCycle: "h23" } }[dataset.clock];
  const format = new Intl.DateTimeFormat(english ? "en-US" : lang, { ...FORMS[form], ...hours, timeZone });
  const text = format.format(at);
  if (!english || dataset.dates !== "day-first") return text;
  return text.replace(/^(\p{L}+) (\d+), /u, "$2 $1 ");
}

panel.localise = (root) => {
  if (zoneIsKnown()) return;
  for (const time of panel.all("time[data-form]", root)) {
    time.textContent = written(new Date(time.dateTime), time.dataset.form);
  }
};

function rememberTheZone() {
  if (zoneIsKnown()) return;
  document.cookie = `zone=${encodeURIComponent(timeZone)}; path=/; max-age=31536000; samesite=lax`;
}

for (const swapped of ["htmx:afterSwap", "htmx:oobAfterSwap"]) {
  document.addEventListener(swapped, (event) => panel.localise(event.detail.target));
}

// -- A running clock where something is going on ---------------------------------------------

function clockText(since) {
  const seconds = Math.max(0, Math.floor((Date.now() - Date.parse(since)) / 1000));
  const parts = [Math.floor(seconds / 60) % 60, seconds % 60];
  if (seconds >= 3600) parts.unshift(Math.floor(seconds / 3600));
  return parts.map((part) => String(part).padStart(2, "0")).join(":");
}

function runClocks(root = document) {
  for (const span of panel.all("[data-since]", root)) span.textContent = clockText(span.dataset.since);
}

setInterval(runClocks, 1000);
document.addEventListener("htmx:afterSwap", () => runClocks());

// -- The CSRF token as it is now, not as it was when the page was made ------------------------

addEventListener(
  "submit",
  () => {
    const token = panel.cookie("csrftoken");
    if (!token) return;
    for (const field of panel.all("[name=csrfmiddlewaretoken]")) field.value = token;
  },
  true,
);

document.addEventListener("htmx:configRequest", (event) => {
  if (event.detail.verb !== "get") event.detail.headers["X-CSRFToken"] = panel.cookie("csrftoken") || "";
});

// -- Trouble is shown once, in one place, and taken back when it is over -----------------------

const toast = panel.find("#toast");

/** Show the sentence that the page has for ``kind`` ("lost" or "refused"); nothing for "". */
panel.trouble = (kind) => {
  if (!toast) return;
  toast.replaceChildren();
  if (!kind) return;
  const note = document.createElement("p");
  note.className = "notice error";
  note.textContent = toast.dataset[kind];
  toast.append(note);
};

document.addEventListener("htmx:sendError", () => panel.trouble("lost"));
document.addEventListener("htmx:responseError", (event) => {
  panel.trouble(event.detail.xhr.status >= 500 ? "lost" : "refused");
});
document.addEventListener("htmx:afterOnLoad", (event) => {
  if (event.detail.successful !== false && event.detail.xhr.status < 400) panel.trouble("");
});

// -- Nothing is polled for a page that nobody sees, or that is being left -----------------------
// Each answer would begin the way to the next page anew.

for (const moment of ["htmx:beforeRequest", "htmx:beforeOnLoad"]) {
  document.addEventListener(moment, (event) => {
    if (panel.resting() && event.detail.elt.matches("[data-poll]")) event.preventDefault();
  });
}

/** A session that ended is no reason to leave a page that somebody is working on. */
document.addEventListener("htmx:beforeOnLoad", (event) => {
  const { elt, xhr } = event.detail;
  if (elt.dataset.poll === "quiet" && xhr.getResponseHeader("HX-Redirect")) event.preventDefault();
});

// -- What only works with a script is hidden until there is one ---------------------------------

function reveal() {
  for (const button of panel.all("[data-copy], [data-print]")) button.hidden = false;
}

function landOnNewContent() {
  const { activeElement } = document;
  if (!activeElement || activeElement === document.body) panel.find("[data-land]")?.focus();
}

document.addEventListener("htmx:afterSettle", () => {
  reveal();
  landOnNewContent();
});

// -- Keys ---------------------------------------------------------------------------------------

const TYPED_INTO = "input:not([type=radio], [type=checkbox]), textarea, select";

function visibleSearch() {
  return panel.all("[data-tool-search]").find((input) => input.checkVisibility());
}

function meansAKey(event) {
  const typing = event.target.closest?.(TYPED_INTO);
  return !typing && !event.ctrlKey && !event.metaKey && !event.altKey;
}

function showKeys(event) {
  if (event.key !== "?" || !meansAKey(event)) return;
  event.preventDefault();
  panel.find("[data-keys]")?.togglePopover();
}

function goToSearch(event) {
  if (event.key !== "/" || !meansAKey(event)) return;
  if (!visibleSearch()) panel.find("#tools")?.showPopover(); // On a narrow page the field is in there.
  event.preventDefault();
  visibleSearch()?.focus();
}

function clearSearch(search) {
  const field = panel.find("input[type=search]", search);
  panel.find(".tools-found", search).replaceChildren();
  field.value = "";
  field.focus();
}

function moveThroughFound(event, search) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  const stops = [panel.find("input[type=search]", search), ...panel.all("a", search)];
  const next = stops[stops.indexOf(document.activeElement) + step];
  if (!next) return;
  event.preventDefault();
  next.focus();
}

function leaveDrop(event) {
  const drop = event.key === "Escape" && event.target.closest?.(".drop[open]");
  if (!drop) return;
  drop.open = false;
  panel.find("summary", drop).focus();
}

addEventListener("keydown", (event) => {
  goToSearch(event);
  leaveDrop(event);
  showKeys(event);
  const search = event.target.closest?.(".tool-search");
  if (!search) return;
  if (event.key === "Escape") clearSearch(search);
  moveThroughFound(event, search);
});

// -- Clicks -------------------------------------------------------------------------------------

function closeSearch(event) {
  const open = panel.find(".tools-found:not(:empty)");
  if (open && !event.target.closest(".tool-search")) open.replaceChildren();
}

function closeDrops(target) {
  for (const drop of panel.all(".drop[open]")) if (!drop.contains(target)) drop.open = false;
}

async function copyText(button) {
  const field = panel.find(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(field.value ?? field.textContent);
    button.textContent = button.dataset.done;
  } catch {
    field.select?.(); // The clipboard is refused: the text is at least marked.
  }
}

addEventListener("click", async (event) => {
  closeSearch(event);
  closeDrops(event.target);
  const copy = event.target.closest("[data-copy]");
  if (copy) await copyText(copy);
  if (event.target.closest("[data-print]")) print();
});

// -- At once ------------------------------------------------------------------------------------

nameTheServer();
rememberTheZone();
panel.localise(document);
runClocks();
reveal();
