/* The log of a change: follows, pauses, and never holds more than MOST_LINES lines. */
"use strict";

const MOST_LINES = 2000;
const PAUSE_MS = 500;

/** Whether the reader is at the end of a log, and wants to see what comes next. */
panel.atEnd = (box) => box.scrollHeight - box.scrollTop - box.clientHeight < 40;

class Follower {
  constructor(box) {
    this.box = box;
    this.list = panel.find("[data-lines]", box);
    this.earlier = panel.find("[data-earlier]", box);
    this.button = panel.find("[data-pause]");
    this.next = Number(box.dataset.next);
    this.ended = box.dataset.ended === "1";
    this.paused = box.dataset.tail !== "1";
  }

  start() {
    this.button?.addEventListener("click", () => this.toggle());
    this.earlier.addEventListener("click", (event) => {
      event.preventDefault();
      this.addEarlier();
    });
    this.showEarlier();
    this.label();
    const sought = panel.find(".sought", this.list);
    if (sought) this.box.scrollTop = sought.offsetTop - this.box.offsetTop - 60;
    else this.toEnd();
    if (!this.ended) this.tick();
  }

  toEnd() {
    this.box.scrollTop = this.box.scrollHeight;
  }

  label() {
    if (!this.button) return;
    this.button.hidden = this.ended && !this.paused;
    this.button.textContent = this.paused ? this.button.dataset.resume : this.button.dataset.hold;
    this.button.setAttribute("aria-pressed", String(this.paused));
  }

  firstOffset() {
    return Number(this.list.firstElementChild?.dataset.at || 0);
  }

  showEarlier() {
    const first = this.firstOffset();
    this.earlier.hidden = first <= Number(this.box.dataset.start);
    this.earlier.href = `?before=${first}#log`;
  }

  async fetchLines(query) {
    const headers = { "HX-Request": "true", "HX-Current-URL": location.href };
    const answer = await fetch(`${this.box.dataset.url}?${query}`, { headers });
    const elsewhere = answer.headers.get("HX-Redirect");
    if (elsewhere && !panel.leaving()) location.assign(elsewhere);
    if (!answer.ok) throw new Error(String(answer.status));
    return answer;
  }

  /** Add what the server has written since. */
  async addLater() {
    const stick = panel.atEnd(this.box);
    const answer = await this.fetchLines(`after=${this.next}`);
    if (this.paused) return;
    this.list.insertAdjacentHTML("beforeend", await answer.text());
    this.next = Number(answer.headers.get("X-Log-Next"));
    this.ended = answer.headers.get("X-Log-Ended") === "1";
    this.showLag(answer.headers.get("X-Log-Lag"));
    while (this.list.children.length > MOST_LINES) this.list.firstElementChild.remove();
    this.showEarlier();
    panel.localise(this.list);
    if (stick) this.toEnd();
  }

  showLag(lag) {
    const place = panel.find("[data-lag]");
    if (place && lag) place.textContent = lag;
  }

  /** Add the lines above; when the page is full, the latest are pushed out, and it stands still. */
  async addEarlier() {
    const height = this.box.scrollHeight;
    const answer = await this.fetchLines(`before=${this.firstOffset()}`);
    this.list.insertAdjacentHTML("afterbegin", await answer.text());
    this.box.scrollTop += this.box.scrollHeight - height;
    if (this.list.children.length > MOST_LINES) {
      while (this.list.children.length > MOST_LINES) this.list.lastElementChild.remove();
      this.box.dataset.tail = "0";
      this.paused = true;
    }
    this.showEarlier();
    panel.localise(this.list);
    this.label();
  }

  async tick() {
    if (!this.box.isConnected) return; // Another part of the change is shown by now.
    if (!this.paused && !panel.resting()) {
      try {
        await this.addLater();
        panel.trouble("");
      } catch {
        panel.trouble("lost");
      }
      this.label();
    }
    if (!this.ended || this.paused) setTimeout(() => this.tick(), PAUSE_MS);
  }

  toggle() {
    if (this.paused && this.box.dataset.tail !== "1") {
      history.replaceState(null, "", `${location.pathname}?part=log#log`);
      location.reload();
      return;
    }
    this.paused = !this.paused;
    if (!this.paused) this.toEnd();
    this.label();
  }
}

function followLogs() {
  for (const box of panel.all("[data-log]:not([data-followed])")) {
    box.dataset.followed = "1";
    new Follower(box).start();
  }
}

followLogs();
document.addEventListener("htmx:load", followLogs);
