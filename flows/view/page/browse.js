// All images as a table or as pictures, sorted and filtered by any column.
import {
  describeFilter, formatHash, formatValue, parseFilters, questionOf, readNumber, sortable, verdict,
} from "./logic.js";
import { ask, make, onKeys, option, pathOf } from "./parts.js";

const COUNT = 50;

const titleOf = (facts, name) => {
  const isChange = name.endsWith(facts.change);
  const column = facts.columns.find((each) => each.name === (isChange ? name.slice(0, -facts.change.length) : name));
  return isChange ? `change of ${column.title}` : column.title;
};

const labelled = (text, field) => make("label", {}, make("span", { textContent: text }), field);

export const browse = async ({ main, facts, state, signal, whenLeft }) => {
  const question = questionOf(state, facts);
  const start = Math.max(0, Number.parseInt(state.start, 10) || 0);
  const go = (change) => { window.location.hash = formatHash("browse", { ...state, start: "", ...change }); };
  const status = make("p", { className: "quiet", role: "status", textContent: "reading …" });
  main.replaceChildren(controls(facts, state, question, go), filters(facts, state, question, go), status);
  const page = await ask("rows", { ask: JSON.stringify({ question, start, count: COUNT }) }, signal);
  if (start >= page.total && start > 0) {
    const final = Math.floor(Math.max(0, page.total - 1) / COUNT) * COUNT;
    window.location.replace(formatHash("browse", { ...state, start: final || "" }));
    return;
  }
  const last = Math.min(page.total, start + COUNT);
  status.textContent = page.total
    ? `${(start + 1).toLocaleString("en")} to ${last.toLocaleString("en")} of ${page.total.toLocaleString("en")} images`
    : "no image is like that";
  const open = (place) => formatHash("image", { ...state, start: "", place: start + place });
  const shown = state.as === "pictures" ? pictures : table;
  const turn = (text, to, isThere, key) => make("button", {
    type: "button", textContent: text, disabled: !isThere, ariaKeyShortcuts: key, onclick: () => go({ start: to }),
  });
  const back = () => start > 0 && go({ start: Math.max(0, start - COUNT) });
  const on = () => last < page.total && go({ start: start + COUNT });
  main.append(
    shown({ facts, state, question, rows: page.rows, open, go }),
    make("p", { className: "pages" },
      turn("← before", Math.max(0, start - COUNT), start > 0, "ArrowLeft"),
      turn("after →", start + COUNT, last < page.total, "ArrowRight"),
      make("span", { className: "quiet keys", textContent: "← → turn pages" })),
  );
  whenLeft(onKeys({ ArrowLeft: back, ArrowRight: on }));
};

const controls = (facts, state, question, go) => {
  const scored = facts.versions.filter((version) => version.scored);
  const at = make("select", { id: "at", onchange: () => go({ at: at.value }) },
    ...scored.filter((v) => v.name !== "input").map((v) => option(v.name, v.label, question.at)));
  const against = make("select", { id: "against", onchange: () => go({ against: against.value }) },
    make("option", { value: "none", textContent: "nothing" }),
    ...scored.filter((v) => v.name !== question.at).map((v) => option(v.name, v.label, question.against)));
  const sort = make("select", { id: "sort", onchange: () => go({ sort: sort.value }) },
    make("option", { value: "", textContent: "as in the shards" }),
    ...sortable(facts, question.against).map((name) => option(name, titleOf(facts, name), question.sort)));
  const order = make("select", { id: "order", onchange: () => go({ order: order.value }) },
    option("", "small first", question.descending ? "down" : ""),
    option("down", "large first", question.descending ? "down" : ""));
  const as = make("select", { id: "as", onchange: () => go({ as: as.value }) },
    option("", "table", state.as ?? ""), option("pictures", "pictures", state.as ?? ""));
  return make("div", { className: "controls", role: "group", ariaLabel: "What is listed" },
    labelled("numbers at", at), labelled("changes against", against),
    labelled("order by", sort), labelled("order", order), labelled("shown as", as));
};

const filters = (facts, state, question, go) => {
  const all = parseFilters(state.where);
  const set = (list) => go({ where: list.length ? JSON.stringify(list) : "" });
  const column = make("select", { id: "filter-column", ariaLabel: "column to filter by" },
    ...sortable(facts, question.against).map((name) => option(name, titleOf(facts, name), "psnr")));
  const isText = () => facts.columns.some((each) => each.name === column.value && each.kind === "text");
  const field = (id, text) => make("input", { id, type: "text", autocomplete: "off", size: 8, ariaLabel: text, placeholder: text });
  const least = field("filter-least", "at least"), most = field("filter-most", "at most");
  const text = field("filter-text", "has the letters");
  const fit = () => {
    for (const each of [least, most]) { each.hidden = isText(); each.inputMode = "decimal"; }
    text.hidden = !isText();
  };
  column.addEventListener("change", fit);
  fit();
  const number = (input) => {
    const value = readNumber(input.value);
    input.setCustomValidity(Number.isNaN(value) ? "a number, such as 27.5" : "");
    return value;
  };
  for (const each of [least, most]) each.addEventListener("input", () => each.setCustomValidity(""));
  const form = make("form", {
    className: "filter", noValidate: true,
    onsubmit: (event) => {
      event.preventDefault();
      const added = isText() ? { column: column.value, text: text.value }
        : { column: column.value, least: number(least), most: number(most) };
      if (!isText() && !form.reportValidity()) return;
      set([...all, added]);
    },
  }, column, least, most, text, make("button", { type: "submit", textContent: "filter" }));
  const chips = all.map((each, index) => make("li", {},
    make("button", {
      type: "button", className: "chip",
      onclick: () => set(all.filter((_, other) => other !== index)),
    }, sortable(facts, question.against).includes(each.column)
      ? describeFilter(each, titleOf(facts, each.column)) : `${each.column} (not there)`,
    make("span", { ariaHidden: "true", textContent: " ×" }),
    make("span", { className: "unseen", textContent: ", remove" }))));
  return make("div", { className: "filters", role: "group", ariaLabel: "Filters" }, form,
    chips.length ? make("ul", { className: "chips" }, ...chips) : null);
};

const thumbnail = (row, version) => make("img", {
  src: `${pathOf(row.shard, row.key, version)}&small=1`, alt: "", loading: "lazy", decoding: "async", className: "thumb",
});

const cell = (column, value, isChange, change) => {
  const digits = column.digits;
  const text = column.kind === "text" ? value ?? "" : formatValue(value, digits, isChange);
  const sign = isChange ? verdict(change, column.better) : 0;
  const element = make("td", { textContent: text, className: column.kind });
  element.dataset.title = isChange ? `change of ${column.title}` : column.title;
  if (sign) element.append(make("span", { className: sign > 0 ? "better" : "worse", ariaHidden: "true", textContent: sign > 0 ? " ▲" : " ▼" }),
    make("span", { className: "unseen", textContent: sign > 0 ? " better" : " worse" }));
  return element;
};

const table = ({ facts, question, rows, open, go }) => {
  const shown = facts.columns.filter((column) => column.name !== "key");
  const heading = (name, column, isChange) => {
    const isSorted = question.sort === name;
    const arrow = isSorted ? (question.descending ? " ↓" : " ↑") : "";
    const unit = column.unit && !isChange ? ` (${column.unit})` : "";
    return make("th", {
      scope: "col", className: column.kind, ariaSort: isSorted ? (question.descending ? "descending" : "ascending") : "none", title: column.meaning,
    }, make("button", {
      type: "button", textContent: `${isChange ? "change" : column.title}${unit}${arrow}`,
      onclick: () => go({ sort: name, order: isSorted && !question.descending ? "down" : "" }),
    }));
  };
  const columns = shown.flatMap((column) => (column.has_change && question.against
    ? [[column, false], [column, true]] : [[column, false]]));
  const nameOf = ([column, isChange]) => `${column.name}${isChange ? facts.change : ""}`;
  const body = rows.map((row, index) => make("tr", {},
    make("th", { scope: "row" }, make("a", { href: open(index) }, thumbnail(row, question.at), make("bdi", { textContent: row.key }))),
    ...columns.map((each) => cell(each[0], row[nameOf(each)], each[1], row[nameOf(each)]))));
  const key = facts.columns.find((column) => column.name === "key");
  return make("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: "Images" },
    make("table", { className: "numbers" },
      make("thead", {}, make("tr", {}, heading("key", key, false), ...columns.map((each) => heading(nameOf(each), ...each)))),
      make("tbody", {}, ...body)));
};

const pictures = ({ facts, question, rows, open }) => {
  const named = question.sort || (facts.columns.some((column) => column.name === "psnr") ? "psnr" : "");
  const isChange = named.endsWith(facts.change);
  const column = facts.columns.find((each) => each.name === (isChange ? named.slice(0, -facts.change.length) : named));
  return make("ul", { className: "pictures" }, ...rows.map((row, index) => make("li", {},
    make("a", { href: open(index) }, thumbnail(row, question.at), make("bdi", { textContent: row.key }),
      column && column.kind === "number" ? make("small", {
        textContent: `${isChange ? "change of " : ""}${column.title} ${formatValue(row[named], column.digits, isChange)}`,
      }) : null))));
};
