/* What the pages cannot do by themselves. Every page works without this file. */
"use strict";
(() => {
  const find = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));
  const page = document.documentElement;
  const cookie = (name) =>
    document.cookie.split("; ").map((pair) => pair.split("=")).find(([key]) => key === name)?.[1];

  // -- The address names its server: loaded again, this page means the same, whatever other tabs do.
  const here = new URL(location.href);
  if (page.dataset.server) here.searchParams.set("server", page.dataset.server);
  if (page.dataset.server) history.replaceState(history.state, "", here);
  // -- Times in the reader's zone: the server is told, and this page is put right at once.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const forms = {
    moment: { day: "numeric", month: "short", year: "numeric", hour: "numeric", minute: "2-digit", timeZoneName: "short" },
    clock: { hour: "numeric", minute: "2-digit", second: "2-digit" },
    day: { day: "numeric", month: "short", year: "numeric" },
  };
  const language = page.lang === "en" ? "en-US" : page.lang;
  const zoneIsOurs = !zone || page.dataset.zone === zone || cookie("zone_chosen");
  if (!zoneIsOurs) document.cookie = `zone=${encodeURIComponent(zone)}; path=/; max-age=31536000; samesite=lax`;
  function localise(root) {
    if (zoneIsOurs) return;
    for (const time of all("time[data-form]", root)) {
      const format = new Intl.DateTimeFormat(language, { ...forms[time.dataset.form], timeZone: zone });
      time.textContent = format.format(new Date(time.dateTime));
    }
  }

  // -- A running clock where something is going on.
  setInterval(() => {
    for (const span of all("[data-since]")) {
      const seconds = Math.max(0, Math.floor((Date.now() - Date.parse(span.dataset.since)) / 1000));
      span.textContent = [...(seconds < 3600 ? [] : [Math.floor(seconds / 3600)]), Math.floor(seconds / 60) % 60, seconds % 60].map((n) => String(n).padStart(2, "0")).join(":");
    }
  }, 1000);

  // -- The CSRF token as it is now, not as it was when the page was made.
  addEventListener("submit", () => {
    for (const field of all("[name=csrfmiddlewaretoken]")) field.value = cookie("csrftoken") || field.value;
  }, true);
  document.addEventListener("htmx:configRequest", (event) => {
    if (event.detail.verb !== "get") event.detail.headers["X-CSRFToken"] = cookie("csrftoken") || "";
  });

  // -- Trouble is said once, in one place, and taken back when it is over.
  const toast = find("#toast");
  const say = (text) => {
    toast?.replaceChildren();
    if (!toast || !text) return;
    const note = document.createElement("p");
    note.className = "notice error";
    note.textContent = text;
    toast.append(note);
  };
  document.addEventListener("htmx:sendError", () => say(toast.dataset.lost));
  document.addEventListener("htmx:responseError", (event) => {
    say(event.detail.xhr.status >= 500 ? toast.dataset.lost : toast.dataset.refused);
  });
  document.addEventListener("htmx:afterOnLoad", (event) => {
    if (event.detail.successful !== false && event.detail.xhr.status < 400) say("");
  });
  // Nobody is asked for a page that nobody sees, or that is being left: each answer would begin the way anew.
  let left = 0;
  addEventListener("beforeunload", () => { left = Date.now(); });
  const leaving = () => Date.now() - left < 10000;
  for (const moment of ["htmx:beforeRequest", "htmx:beforeOnLoad"]) document.addEventListener(moment, (event) => {
    if ((document.hidden || leaving()) && event.detail.elt.matches("[data-poll]")) event.preventDefault();
  });
  document.addEventListener("htmx:afterSwap", (event) => localise(event.detail.target));
  const reveal = () => { for (const button of all("[data-copy], [data-print]")) button.hidden = false; };
  document.addEventListener("htmx:afterSettle", () => {
    reveal();
    if (!document.activeElement || document.activeElement === document.body) find("[data-land]")?.focus();
  });
  document.addEventListener("htmx:oobAfterSwap", (event) => localise(event.detail.target));

  // -- Keys and menus.
  addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input:not([type=radio], [type=checkbox]), textarea, select");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      const seen = () => all("[data-tool-search]").find((input) => input.checkVisibility());
      if (!seen()) find("#tools")?.showPopover();  // On a narrow page the field is in there.
      event.preventDefault();
      seen()?.focus();
    }
    const search = event.target.closest?.(".tool-search");
    if (search && event.key === "Escape") {
      find(".tools-found", search).replaceChildren();
      find("input", search).value = "";
    }
    if (search && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      const stops = [find("input[type=search]", search), ...all("a", search)];
      const next = stops.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1);
      if (stops[next]) { event.preventDefault(); stops[next].focus(); }
    }
  });
  addEventListener("click", async (event) => {
    const open = find(".tools-found:not(:empty)");
    if (open && !event.target.closest(".tool-search")) open.replaceChildren();
    const copy = event.target.closest("[data-copy]");
    if (copy) {
      const field = find(copy.dataset.copy);
      const copied = () => { copy.textContent = copy.dataset.done; };
      await navigator.clipboard.writeText(field.value ?? field.textContent).then(copied, () => field.select?.());
    }
    if (event.target.closest("[data-print]")) print();
  });

  // -- The log of a change: follows, pauses, and never holds more than `most` lines.
  const most = 2000;
  const atEnd = (box) => box.scrollHeight - box.scrollTop - box.clientHeight < 40;
  function follow(box) {
    const list = find("[data-lines]", box);
    const earlier = find("[data-earlier]", box);
    const button = find("[data-pause]");
    let next = Number(box.dataset.next);
    let ended = box.dataset.ended === "1";
    let paused = box.dataset.tail !== "1";

    const toEnd = () => { box.scrollTop = box.scrollHeight; };
    const label = () => {
      if (!button) return;
      button.hidden = ended && !paused;
      button.textContent = paused ? button.dataset.resume : button.dataset.hold;
      button.setAttribute("aria-pressed", String(paused));
    };
    const showEarlier = () => {
      const first = Number(list.firstElementChild?.dataset.at || 0);
      earlier.hidden = first <= Number(box.dataset.start);
      earlier.href = `?before=${first}#log`;
    };
    const fetchLines = async (query) => {
      const answer = await fetch(`${box.dataset.url}?${query}`, { headers: { "HX-Request": "true", "HX-Current-URL": location.href } });
      if (answer.headers.get("HX-Redirect") && !leaving()) location.assign(answer.headers.get("HX-Redirect"));
      if (!answer.ok) throw new Error(String(answer.status));
      return answer;
    };
    const more = async () => {
      const stick = atEnd(box);
      const answer = await fetchLines(`after=${next}`);
      if (paused) return;
      list.insertAdjacentHTML("beforeend", await answer.text());
      next = Number(answer.headers.get("X-Log-Next"));
      ended = answer.headers.get("X-Log-Ended") === "1";
      find("[data-lag]").textContent = answer.headers.get("X-Log-Lag") || find("[data-lag]").textContent;
      while (list.children.length > most) list.firstElementChild.remove();
      showEarlier();
      localise(list);
      if (stick) toEnd();
    };
    const tick = async () => {
      if (!paused && !document.hidden && !leaving()) {
        try { await more(); say(""); } catch { say(toast.dataset.lost); }
        label();
      }
      if (!ended || paused) setTimeout(tick, 500);
    };
    button?.addEventListener("click", () => {
      if (paused && box.dataset.tail !== "1") { history.replaceState(null, "", `${location.pathname}#log`); location.reload(); return; }
      paused = !paused;
      if (!paused) toEnd();
      label();
    });
    earlier.addEventListener("click", async (event) => {
      event.preventDefault();
      const before = list.firstElementChild?.dataset.at || 0;
      const height = box.scrollHeight;
      const answer = await fetchLines(`before=${before}`);
      list.insertAdjacentHTML("afterbegin", await answer.text());
      box.scrollTop += box.scrollHeight - height;
      if (list.children.length > most) {
        while (list.children.length > most) list.lastElementChild.remove();
        box.dataset.tail = "0";
        paused = true;
      }
      showEarlier();
      localise(list);
      label();
    });
    showEarlier();
    label();
    const sought = find(".sought", list);
    if (sought) box.scrollTop = sought.offsetTop - box.offsetTop - 60; else toEnd();
    if (!ended) tick();
  }

  // -- It has ended: the whole page, unless somebody reads or writes in this one.
  document.addEventListener("changeEnded", () => {
    const busy = find("[data-pause][aria-pressed=true], #find:focus, #find:not(:placeholder-shown)");
    if (!busy && all("[data-log]").every(atEnd)) location.reload();
  });

  localise(document);
  reveal();
  all("[data-log]").forEach(follow);
})();
