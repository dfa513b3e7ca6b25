// A text whose words can be marked good or bad, by pointer or by keys.

import { element, units } from "./text.js";

export class Marking {
  /** @param say what gives a word in the reader's language */
  constructor(container, text, say) {
    this.container = container;
    this.text = text;
    this.say = say;
    this.granularity = "word";
    this.labels = new Array([...text].length).fill(null); // of every code point: good, bad, null
    this.dragging = false;
    container.setAttribute("role", "listbox");
    container.setAttribute("aria-multiselectable", "true");
    container.tabIndex = 0;
    container.onpointerdown = (event) => this.press(event);
    container.onpointerover = (event) => this.dragging && event.pointerType === "mouse" && this.to(this.at(event), true);
    container.onpointerup = () => { this.dragging = false; };
    this.render(0, 0);
  }

  /** Draw anew; what lies between two code points is selected. */
  render(from, to) {
    this.container.setAttribute("aria-label", this.say("marking"));
    const boundaries = new Set([...this.labels.keys()].filter((i) => i > 0 && this.labels[i] !== this.labels[i - 1]));
    this.units = units(this.text, this.granularity, boundaries);
    this.elements = this.units.map((unit, i) => {
      const span = element(unit, i === 0 || i === this.units.length - 1);
      const label = this.labels[unit.start];
      span.id = `unit-${i}`;
      span.dataset.unit = i;
      span.classList.add("unit");
      if (!unit.space) span.setAttribute("role", "option");
      if (label) {
        span.classList.add(label);
        span.setAttribute("aria-description", this.say(`marked_${label}`));
      }
      return span;
    });
    this.container.replaceChildren(...this.elements);
    const inside = [...this.units.keys()].filter((i) => this.units[i].end > from && this.units[i].start < to);
    this.anchor = inside[0] ?? this.next(-1, 1);
    this.head = inside.at(-1) ?? this.anchor;
    this.select();
  }

  /** Draw anew, for another language. */
  redraw() {
    const [low, high] = [Math.min(this.anchor, this.head), Math.max(this.anchor, this.head)];
    this.render(this.units[low].start, this.units[high].end);
  }

  /** The nearest unit in a direction that is no space; the same one where there is none. */
  next(i, step) {
    let found = i + step;
    while (this.units[found]?.space) found += step;
    return this.units[found] ? found : Math.max(i, 0);
  }

  select() {
    const [low, high] = [Math.min(this.anchor, this.head), Math.max(this.anchor, this.head)];
    this.elements.forEach((span, i) => {
      const inside = i >= low && i <= high;
      span.classList.toggle("selected", inside);
      if (span.hasAttribute("role")) span.setAttribute("aria-selected", inside);
    });
    if (this.elements.length) this.container.setAttribute("aria-activedescendant", `unit-${this.head}`);
    this.elements[this.head]?.scrollIntoView({ block: "nearest" });
  }

  at(event) {
    const found = event.target.closest?.("[data-unit]");
    return found ? Number(found.dataset.unit) : null;
  }

  press(event) {
    const i = this.at(event);
    if (i === null || event.button !== 0) return;
    this.container.focus();
    event.preventDefault(); // no selection of the browser's own beside this one
    this.dragging = true;
    this.to(i, event.shiftKey);
  }

  to(i, extend) {
    if (i === null) return;
    this.head = i;
    if (!extend) this.anchor = i;
    this.select();
  }

  /** Whether a key was one of those that move or select. */
  key(event) {
    const rightToLeft = getComputedStyle(this.container).direction === "rtl";
    const step = { ArrowLeft: rightToLeft ? 1 : -1, ArrowRight: rightToLeft ? -1 : 1 }[event.key];
    if (step) this.to(this.next(this.head, step), event.shiftKey);
    else if (event.key === "Home") this.to(this.next(-1, 1), event.shiftKey);
    else if (event.key === "End") this.to(this.next(this.units.length, -1), event.shiftKey);
    else return false;
    return true;
  }

  /** Give the selected words a label; null: none. */
  label(label) {
    if (!this.units.length) return;
    const [low, high] = [Math.min(this.anchor, this.head), Math.max(this.anchor, this.head)];
    const [from, to] = [this.units[low].start, this.units[high].end];
    this.labels.fill(label, from, to);
    this.render(from, to);
  }

  toggleUnits() {
    this.granularity = this.granularity === "word" ? "grapheme" : "word";
    this.redraw();
  }

  /** What is marked, as the store takes it. */
  spans() {
    const found = [];
    this.labels.forEach((label, i) => {
      const last = found.at(-1);
      if (label && last?.end === i && last.label === label) last.end++;
      else if (label) found.push({ start: i, end: i + 1, label });
    });
    return found;
  }
}
