// One image in its versions: a divider between two of them, an alpha slider, and their numbers.
import { formatHash, formatValue, knotsOf, questionOf } from "./logic.js";
import { Pane, Place, zoomButtons } from "./pane.js";
import { ask, complain, load, make, onKeys, option, pathOf } from "./parts.js";

export const image = async ({ main, facts, state, signal, whenLeft }) => {
  const question = questionOf(state, facts);
  const place = Math.max(0, Number.parseInt(state.place, 10) || 0);
  main.replaceChildren(make("p", { className: "quiet", role: "status", textContent: "reading …" }));
  const page = await ask("rows", { ask: JSON.stringify({ question, start: place, count: 1 }) }, signal);
  if (!page.rows.length) throw new Error("there is no image at this place any more; go back to the list");
  const [{ shard, key }] = page.rows;
  const found = await ask("image", { shard, key }, signal);
  const there = (name) => found.versions.some((version) => version.name === name);
  const versions = facts.versions.filter((version) => there(version.name));
  const knots = knotsOf(versions);
  if (!knots.length) throw new Error("this image has no enhanced version; the column `reason` says why");

  const to = (next) => { window.location.hash = formatHash("image", { ...state, ...now(), place: next }); };
  const now = () => ({ alpha: knots[Number(slider.value)].name, left: left.value, share: wipe.value });
  const remember = () => window.history.replaceState(null, "", formatHash("image", { ...state, ...now() }));

  const view = new Place();
  const pane = new Pane(view, `${key}, two versions`);
  const right = pane.layer("right"), before = pane.layer("left");
  const shownSize = found.versions.find((version) => version.name === knots[0].name);
  pane.picture = { width: shownSize.width, height: shownSize.height };
  const divider = make("span", { className: "divider", ariaHidden: "true" });
  const tags = { left: make("span", { className: "tag at-left" }), right: make("span", { className: "tag at-right" }) };
  pane.element.append(divider, tags.left, tags.right);

  const chosen = knots.findIndex((knot) => knot.name === (state.alpha ?? question.at));
  const slider = make("input", { type: "range", id: "alpha", ariaLabel: "version on the right", min: 0, max: knots.length - 1, step: 1, value: String(Math.max(0, chosen)) });
  const output = make("output", { htmlFor: "alpha" });
  const wipe = make("input", { type: "range", id: "wipe", min: 0, max: 100, step: 1, value: state.share ?? "50" });
  const given = there(state.left) ? state.left : there("input") ? "input" : versions[0].name;
  const left = make("select", { id: "left" }, ...versions.map((version) => option(version.name, version.label, given)));
  const notes = make("p", { className: "quiet notes", role: "status" });
  const said = { left: "", right: "" };

  let turn = { left: 0, right: 0 };
  const show = async (side, layer, version) => {
    turn[side] += 1;
    const mine = turn[side];
    tags[side].textContent = version.label;
    try {
      const { image: picture, note } = await load(pathOf(shard, key, version.name), signal);
      if (mine !== turn[side]) return;
      layer.show(picture, `${key}, ${version.label}`);
      said[side] = note ? `${version.label}: ${note}` : "";
      notes.textContent = [...new Set(Object.values(said))].filter(Boolean).join("; ");
    } catch (error) {
      if (signal.aborted || mine !== turn[side]) return;
      layer.clear();
      complain(`${version.label}: ${error.message}`);
    }
  };
  const showAlpha = () => {
    const knot = knots[Number(slider.value)];
    output.textContent = knot.label;
    slider.setAttribute("aria-valuetext", knot.label);
    for (const row of main.querySelectorAll("tbody tr")) {
      if (row.dataset.version === knot.name) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    }
    return show("right", right, knot);
  };
  const showLeft = () => show("left", before, versions.find((version) => version.name === left.value));
  const showWipe = (share = Number(wipe.value)) => {
    before.element.style.clipPath = `inset(0 ${100 - share}% 0 0)`;
    divider.style.left = `${share}%`;
    tags.left.hidden = share < 12;
    tags.right.hidden = share > 88;
    wipe.setAttribute("aria-valuetext", `${share} percent ${tags.left.textContent}`);
  };
  slider.addEventListener("input", () => { remember(); showAlpha(); });
  left.addEventListener("change", () => { remember(); showLeft(); showWipe(); });
  wipe.addEventListener("input", () => { remember(); showWipe(); });
  divider.addEventListener("pointerdown", (event) => divider.setPointerCapture(event.pointerId));
  divider.addEventListener("pointermove", (event) => {
    if (!divider.hasPointerCapture(event.pointerId)) return;
    const box = pane.element.getBoundingClientRect();
    wipe.value = String(Math.round((100 * (event.clientX - box.left)) / box.width));
    remember();
    showWipe();
  });

  const step = (by) => {
    slider.value = String(Number(slider.value) + by);
    remember();
    return showAlpha();
  };
  const back = () => {
    const { place: _, alpha: __, left: ___, share: ____, ...list } = state;
    window.location.hash = formatHash("browse", { ...list, start: place - (place % 50) || "" });
  };
  const button = (text, onclick, disabled = false) => make("button", { type: "button", textContent: text, onclick, disabled });
  main.replaceChildren(
    make("div", { className: "bar" },
      make("span", { className: "buttons" }, button("← all images", back),
        button("previous", () => to(place - 1), place === 0), button("next", () => to(place + 1), place + 1 >= page.total)),
      make("span", { className: "quiet", textContent: `${(place + 1).toLocaleString("en")} of ${page.total.toLocaleString("en")}` })),
    make("h2", {}, make("bdi", { textContent: key })),
    pane.element,
    make("div", { className: "controls" },
      make("label", { className: "wide" }, make("span", {}, "right: ", output), slider),
      make("label", { className: "wide" }, make("span", { textContent: "divider" }), wipe),
      make("label", {}, make("span", { textContent: "left" }), left), zoomButtons(view)),
    notes,
    make("p", { className: "quiet keys", textContent: "keys: j k next and previous image; , . alpha; space (held) only the left version; + − 0 1 size, shift and arrows move; Escape back. Wheel and pinch enlarge, dragging moves." }),
    numbers(facts, versions, found),
  );
  view.one();
  showWipe();
  const sized = new ResizeObserver(() => view.again());
  sized.observe(pane.element);
  whenLeft(() => sized.disconnect());
  whenLeft(onKeys({
    ...view.keys,
    j: () => place + 1 < page.total && to(place + 1), k: () => place > 0 && to(place - 1),
    ",": () => step(-1), ".": () => step(1), Escape: back,
    " ": () => showWipe(100),
  }, { " ": () => showWipe() }));
  await Promise.all([showAlpha(), showLeft()]);
};

const numbers = (facts, versions, found) => {
  const columns = facts.columns.filter((column) => column.kind === "number" && column.is_metric);
  const valuesOf = (name) => found.versions.find((version) => version.name === name).values;
  const rows = versions.filter((version) => Object.keys(valuesOf(version.name)).length);
  if (!rows.length || !columns.length) return null;
  const line = (version) => {
    const cells = columns.map((column) => {
      const element = make("td", { className: "number", textContent: formatValue(valuesOf(version.name)[column.name], column.digits) });
      element.dataset.title = column.title;
      return element;
    });
    const row = make("tr", {}, make("th", { scope: "row", textContent: version.label }), ...cells);
    row.dataset.version = version.name;
    return row;
  };
  return make("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: "Numbers of this image" },
    make("table", { className: "numbers" },
      make("thead", {}, make("tr", {}, make("td"), ...columns.map((column) => make("th", {
        scope: "col", className: "number", title: column.meaning, textContent: `${column.title}${column.unit ? ` (${column.unit})` : ""}`,
      })))),
      make("tbody", {}, ...rows.map(line))));
};
