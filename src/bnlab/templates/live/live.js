// The section: two workers, one a net, kept in step; the controls; and the drawing, a few times a second.
const ROUND = 350; // milliseconds between two looks at the nets
const ENOUGH = 10_000; // steps, after which it waits to be told to go on
const NAMES = { plain: "without BN", bn: "with BN" };
const PLURALS = { sigmoid: "sigmoids", relu: "ReLUs", tanh: "tanhs" };

class Race {
  // `show` is called whenever there is something new to see.
  constructor(section, settings, show) {
    Object.assign(this, { settings, show, id: 0, wanted: true, single: false, visible: false });
    this.source = section.querySelector("script.worker").textContent;
    this.digits = section.querySelector("script.digits");
    this.clear();
  }

  clear() {
    Object.assign(this, { traces: { plain: [], bn: [] }, step: 0, awaited: 0, updates: 0, speed: 0 });
    this.each = 20; // milliseconds an update, at first a guess
    this.until = ENOUGH;
  }

  // When it is first in view, as it costs memory and some work.
  boot() {
    const address = URL.createObjectURL(new Blob([this.source], { type: "text/javascript" }));
    const bytes = Uint8Array.from(atob(this.digits.textContent.trim()), (character) => character.charCodeAt(0));
    const { labels, train } = this.digits.dataset;
    this.workers = ARMS.map((arm) => {
      const worker = new Worker(address);
      worker.onmessage = ({ data }) => this.hear(arm, data);
      worker.onerror = () => this.fail();
      worker.postMessage({ kind: "digits", bytes, labels, train: Number(train) });
      return worker;
    });
  }

  // Where workers are not allowed, some browsers throw and others tell them of an error.
  begin() {
    try {
      this.boot();
      this.restart();
    } catch {
      this.fail();
    }
  }

  fail() {
    this.failed = true;
    this.workers = [];
    this.show();
  }

  restart() {
    this.clear();
    this.id++; // what comes of an earlier start is not listened to
    const settings = this.settings.values();
    this.tell((arm) => ({ kind: "start", id: this.id, norm: arm === "bn", settings }));
  }

  tell(message) {
    this.awaited = this.workers?.length ?? 0;
    this.workers?.forEach((worker, k) => worker.postMessage(message(ARMS[k])));
    this.show();
  }

  hear(arm, seen) {
    if (seen.id !== this.id) return;
    const trace = this.traces[arm];
    if (trace.length) trace.at(-1).samples = null; // only the last are shown, and they are large
    trace.push(seen);
    if (--this.awaited) return;
    if (this.updates) this.each = Math.max(...ARMS.map((each) => this.traces[each].at(-1).milliseconds)) / this.updates;
    this.speed = 1000 / this.each;
    this.step = seen.step;
    this.wanted &&= this.step < this.until;
    this.show();
    this.advance();
  }

  // The next round, unless one is under way or nobody wants it: short at first, where most happens.
  advance() {
    if (this.awaited || this.failed || !(this.single || this.running())) return this.show();
    if (!this.workers) return this.begin();
    const most = Math.max(1, Math.ceil(this.step / 4));
    this.updates = this.single ? 1 : Math.min(most, Math.max(1, Math.floor(ROUND / this.each)));
    this.single = false;
    this.tell(() => ({ kind: "run", updates: this.updates }));
  }

  running() {
    return this.wanted && this.visible && !document.hidden;
  }

  toggle() {
    this.wanted = !this.wanted;
    this.until = this.step + ENOUGH;
    this.advance();
  }

  once() {
    this.wanted = false;
    this.single = true;
    this.advance();
  }
}

class Page {
  constructor(section) {
    this.section = section;
    this.settings = new Settings(section.querySelector("form"));
    this.race = new Race(section, this.settings, () => this.show());
    this.cards();
    this.listen();
  }

  listen() {
    const { section, settings, race } = this;
    for (const button of section.querySelectorAll("[data-does]")) {
      button.addEventListener("click", () => race[button.dataset.does]());
    }
    settings.form.addEventListener("change", () => {
      history.replaceState(null, "", settings.address());
      this.renew();
    });
    window.addEventListener("hashchange", () => settings.restore() && this.renew());
    document.addEventListener("visibilitychange", () => race.advance());
    new IntersectionObserver((entries) => {
      race.visible = entries.at(-1).isIntersecting;
      race.advance();
    }).observe(section);
    new ResizeObserver(() => this.show()).observe(section);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.show());
    race.wanted = !matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (location.hash.startsWith("#live?")) section.scrollIntoView();
  }

  renew() {
    this.cards();
    this.race.restart();
  }

  // One for each hidden layer.
  cards() {
    const { depth, activation } = this.settings.values();
    const card = this.section.querySelector("template").content, all = Array.from({ length: depth });
    this.section.querySelector(".layers").replaceChildren(...all.map(() => card.cloneNode(true)));
    this.section.querySelectorAll(".layers figcaption").forEach((caption, k) => (caption.textContent = `Layer ${k + 1}`));
    this.text("units", PLURALS[activation]);
    this.section.querySelector(".share").href = this.settings.address();
  }

  text(name, text) {
    this.section.querySelector(`[data-shows=${name}]`).textContent = text;
  }

  show() {
    this.due ??= requestAnimationFrame(() => {
      this.due = undefined;
      this.write();
      this.draw();
    });
  }

  write() {
    const { race, section } = this, last = ARMS.map((arm) => race.traces[arm].at(-1));
    section.querySelector("[data-does=toggle]").textContent = race.wanted ? "Pause" : "Go";
    section.classList.toggle("off", Boolean(race.failed));
    section.classList.toggle("busy", race.awaited > 0);
    this.text("step", `step ${race.step.toLocaleString("en")}`);
    this.text("speed", race.running() && race.step ? `${Math.round(race.speed)} steps a second` : "");
    ARMS.forEach((arm, k) => this.text(arm, last[k] ? `${standing(last[k])} ${NAMES[arm]}` : ""));
    section.querySelectorAll(".layers small").forEach((line, layer) => {
      const shares = ARMS.map((arm, k) => {
        const now = document.createElement("span");
        now.className = arm;
        now.textContent = last[k] ? `${share(last[k].saturated[layer])} ${NAMES[arm]}` : "";
        return now;
      });
      line.replaceChildren("saturated: ", ...shares);
    });
  }

  draw() {
    const { race, section } = this, colours = this.colours(), x = stepsAxis(race.step);
    for (const canvas of section.querySelectorAll("canvas")) {
      const layer = [...section.querySelectorAll(".layers figure")].indexOf(canvas.parentElement);
      CHARTS[canvas.dataset.draws](canvas, race.traces, x, colours, layer);
      canvas.setAttribute("aria-label", `${canvas.parentElement.textContent.trim()}, after ${race.step} steps`);
    }
  }

  // As the browser has worked them out, whatever way the page says them.
  colours() {
    const style = (name) => {
      const probe = document.createElement("i");
      probe.style.color = `var(--live-${name})`;
      this.section.append(probe);
      const { color } = getComputedStyle(probe);
      probe.remove();
      return color;
    };
    return Object.fromEntries(["ink", "line", "muted", ...ARMS].map((name) => [name, style(name)]));
  }
}

function standing({ step, loss, accuracy }) {
  return step && !Number.isFinite(loss) ? "diverged" : share(accuracy, 1);
}

function share(x, digits = 0) {
  return `${(100 * x).toFixed(digits)} %`;
}

new Page(document.querySelector("section.live"));
