// What the page computes, apart from what it shows: no part of this touches the document.

// The state of a view is in the address after #, so that back, forward and reload keep it.
export const parseHash = (hash) => {
  const [view, query = ""] = hash.replace(/^#/, "").split("?");
  return { view: view || "browse", state: Object.fromEntries(new URLSearchParams(query)) };
};

export const formatHash = (view, state) => {
  const kept = Object.entries(state).filter(([, value]) => value !== "" && value !== undefined);
  const query = new URLSearchParams(kept.map(([name, value]) => [name, String(value)])).toString();
  return `#${view}${query ? `?${query}` : ""}`;
};

// Numbers as the report shows them; those that JSON lacks come as texts.
export const formatValue = (value, digits, signed = false) => {
  if (value === null || value === undefined) return "–";
  if (typeof value === "string") {
    return { inf: signed ? "+∞" : "∞", "-inf": "−∞", nan: "–" }[value] ?? value;
  }
  const text = digits === null || digits === undefined
    ? Number(Math.abs(value).toPrecision(4)).toString() : Math.abs(value).toFixed(digits);
  const isNegative = value < 0 && Number(text) !== 0;
  return `${isNegative ? "−" : signed ? "+" : ""}${text}`;
};

// A number as people type it, with a point or a comma; undefined for nothing, NaN for no number.
export const readNumber = (text) => {
  const plain = text.trim().replace(",", ".").replace("−", "-");
  if (plain === "") return undefined;
  return Number.isFinite(Number(plain)) ? Number(plain) : NaN;
};

// Whether a change is for the better: 1, 0 or -1.
export const verdict = (change, better) => {
  const number = { inf: Infinity, "-inf": -Infinity }[change] ?? change;
  if (typeof number !== "number" || !better) return 0;
  return Math.sign(number) * (better === "more" ? 1 : -1);
};

// Where a picture lies in a pane: its top left corner, and page pixels to one of its own.
export const centred = (pane, picture, scale) => ({
  scale, x: (pane.width - picture.width * scale) / 2, y: (pane.height - picture.height * scale) / 2,
});

export const fitted = (pane, picture) => centred(
  pane, picture, Math.min(pane.width / picture.width, pane.height / picture.height));

// One pixel of the picture on one of the screen; of a small one, on a whole number of them.
export const trueSize = (pane, picture, density) => {
  const room = Math.min(pane.width / picture.width, pane.height / picture.height) * density;
  return centred(pane, picture, Math.max(1, Math.floor(room)) / density);
};

// The same picture, larger or smaller, with the point (x, y) of the pane where it was.
export const zoomed = (place, factor, x, y) => {
  const scale = Math.min(64, Math.max(0.01, place.scale * factor));
  const ratio = scale / place.scale;
  return { scale, x: x - (x - place.x) * ratio, y: y - (y - place.y) * ratio };
};

// How much larger a picture gets by one event of a wheel: by a sixth for a notch, of which a mouse
// sends one, and by less for the many small ones of a trackpad.
export const wheelFactor = (delta, mode) => {
  const pixels = mode === 0 ? delta : 40 * delta;
  return Math.exp(-Math.max(-100, Math.min(100, pixels)) * 0.0015);
};

// The versions that have a place on the slider, in its order.
export const knotsOf = (versions) => versions
  .filter((version) => version.alpha !== null).sort((a, b) => a.alpha - b.alpha);

// The question of the browsing view, as the server wants it.
export const questionOf = (state, facts) => {
  const scored = facts.versions.filter((version) => version.scored).map((version) => version.name);
  const at = scored.includes(state.at) ? state.at : firstShown(facts);
  const given = state.against === undefined ? "input" : state.against;
  const against = scored.includes(given) && given !== at ? given : "";
  const isThere = sortable(facts, against).includes(state.sort);
  return {
    at, against, sort: isThere ? state.sort : "", descending: state.order === "down",
    where: parseFilters(state.where).filter((each) => sortable(facts, against).includes(each.column)),
  };
};

// The written alpha nearest to the full transport: what is shown first.
export const firstShown = (facts) => facts.versions
  .filter((version) => version.scored && version.name !== "input")
  .reduce((best, version) => (Math.abs(version.alpha) < Math.abs(best.alpha) ? version : best)).name;

export const sortable = (facts, against) => facts.columns.flatMap((column) => (
  column.has_change && against ? [column.name, `${column.name}${facts.change}`] : [column.name]));

export const parseFilters = (text) => {
  try {
    const found = JSON.parse(text || "[]");
    return Array.isArray(found) ? found.filter((each) => typeof each?.column === "string") : [];
  } catch { return []; }
};

export const describeFilter = (filter, title) => {
  if (filter.text !== undefined) return `${title} has “${filter.text}”`;
  const { least, most } = filter;
  if (least !== undefined && most !== undefined) return `${title} from ${least} to ${most}`;
  if (least !== undefined) return `${title} at least ${least}`;
  return most !== undefined ? `${title} at most ${most}` : `${title} is known`;
};

export const percent = (share) => `${(100 * share).toFixed(0)}\u00a0%`;

// What the interval of a pair says in words; it decides only where it leaves out one half.
export const sentence = (pair, label) => {
  const [first, second] = [label(pair.first), label(pair.second)];
  const said = `${percent(pair.low)} to ${percent(pair.high)}`;
  if (pair.low > 0.5) return `${first} is preferred to ${second} (${said})`;
  if (pair.high < 0.5) return `${second} is preferred to ${first} (${said} for ${first})`;
  return `undecided between ${first} and ${second} (${said})`;
};
