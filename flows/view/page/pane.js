// A pane: one picture or several over each other, that can be enlarged and moved; panes that are
// given one `Place` move together.
import { fitted, trueSize, wheelFactor, zoomed } from "./logic.js";
import { make } from "./parts.js";

export class Place {
  constructor() {
    this.panes = [];
    this.at = { scale: 1, x: 0, y: 0 };
    this.kind = "true";
  }

  set(at, kind = "") {
    this.at = at;
    this.kind = kind;
    for (const pane of this.panes) pane.draw();
  }

  zoom(factor, x = null, y = null) {
    const { width, height } = this.panes[0].size();
    this.set(zoomed(this.at, factor, x ?? width / 2, y ?? height / 2));
  }

  move(x, y) { this.set({ ...this.at, x: this.at.x + x, y: this.at.y + y }); }

  fit() { this.set(fitted(this.panes[0].size(), this.panes[0].picture), "fit"); }

  one() {
    this.set(trueSize(this.panes[0].size(), this.panes[0].picture, window.devicePixelRatio), "true");
  }

  // After the window or the picture has changed its size.
  again() {
    if (this.kind === "fit") this.fit();
    else if (this.kind === "true") this.one();
    else this.set(this.at, this.kind);
  }

  get keys() {
    return {
      "+": () => this.zoom(1.25), "=": () => this.zoom(1.25), "-": () => this.zoom(0.8),
      0: () => this.fit(), 1: () => this.one(),
    };
  }
}

export class Pane {
  constructor(place, label) {
    this.place = place;
    this.picture = { width: 1, height: 1 };
    this.layers = [];
    this.element = make("div", { className: "pane", tabIndex: 0, role: "group", ariaLabel: label });
    place.panes.push(this);
    this.listen();
  }

  size() {
    return { width: this.element.clientWidth || 1, height: this.element.clientHeight || 1 };
  }

  // Adds a layer over the others; its picture is set later.
  layer(name) {
    const element = make("div", { className: `layer ${name}` });
    this.layers.push(element);
    this.element.append(element);
    return {
      element,
      show: (image, alt) => {
        const former = element.querySelector("img");
        if (former) URL.revokeObjectURL(former.src);
        image.alt = alt;
        image.draggable = false;
        element.replaceChildren(image);
        this.draw();
      },
      clear: () => element.replaceChildren(),
    };
  }

  draw() {
    const { scale, x, y } = this.place.at;
    for (const image of this.element.querySelectorAll("img")) {
      image.style.width = `${this.picture.width}px`;
      image.style.height = `${this.picture.height}px`;
      image.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
      image.style.imageRendering = scale * window.devicePixelRatio >= 2 ? "pixelated" : "auto";
    }
  }

  listen() {
    const { element, place } = this;
    const pointers = new Map();
    let apart = 0;
    const distance = () => {
      const [a, b] = [...pointers.values()];
      return Math.hypot(a.x - b.x, a.y - b.y);
    };
    element.addEventListener("wheel", (event) => {
      event.preventDefault();
      const box = element.getBoundingClientRect();
      place.zoom(wheelFactor(event.deltaY, event.deltaMode), event.clientX - box.left, event.clientY - box.top);
    }, { passive: false });
    element.addEventListener("pointerdown", (event) => {
      if (event.target.closest(".divider")) return;
      element.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      if (pointers.size === 2) apart = distance();
    });
    element.addEventListener("pointermove", (event) => {
      const from = pointers.get(event.pointerId);
      if (!from) return;
      const to = { x: event.clientX, y: event.clientY };
      pointers.set(event.pointerId, to);
      if (pointers.size === 1) place.move(to.x - from.x, to.y - from.y);
      if (pointers.size === 2) {
        const box = element.getBoundingClientRect();
        const now = distance();
        place.zoom(now / apart, to.x - box.left, to.y - box.top);
        apart = now;
      }
    });
    for (const end of ["pointerup", "pointercancel"]) {
      element.addEventListener(end, (event) => pointers.delete(event.pointerId));
    }
    element.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: [48, 0], ArrowRight: [-48, 0], ArrowUp: [0, 48], ArrowDown: [0, -48] };
      if (event.target !== element || !event.shiftKey || !(event.key in steps)) return;
      event.preventDefault();
      event.stopPropagation();
      place.move(...steps[event.key]);
    });
  }
}

// Buttons that do what the keys do.
export const zoomButtons = (place) => make("span", { className: "buttons", role: "group", ariaLabel: "Size" },
  make("button", { type: "button", textContent: "−", ariaLabel: "smaller", onclick: () => place.zoom(0.8) }),
  make("button", { type: "button", textContent: "+", ariaLabel: "larger", onclick: () => place.zoom(1.25) }),
  make("button", { type: "button", textContent: "fit", onclick: () => place.fit() }),
  make("button", { type: "button", textContent: "1:1", onclick: () => place.one() }));
