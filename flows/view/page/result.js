// What people have preferred: every version on one scale, and every pair with its interval.
import { percent, sentence } from "./logic.js";
import { ask, make } from "./parts.js";

const bar = (share, low, high) => {
  const range = make("span", { className: "range" }), mark = make("span", { className: "mark" });
  range.style.left = `${100 * low}%`;
  range.style.width = `${100 * (high - low)}%`;
  mark.style.left = `${100 * share}%`;
  return make("span", { className: "scale", ariaHidden: "true" }, make("span", { className: "half" }), range, mark);
};

const interval = (each) => `${percent(each.share)} (${percent(each.low)} to ${percent(each.high)})`;

const WORDS = "what it says";

const table = (label, titles, rows) => make("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: label },
  make("table", { className: "numbers" },
    make("thead", {}, make("tr", {}, ...titles.map((title) => make("th", { scope: "col", textContent: title })))),
    make("tbody", {}, ...rows.map(([first, ...others]) => make("tr", {}, make("th", { scope: "row", textContent: first }),
      ...others.map((value, index) => {
        const title = titles[index + 1];
        const cell = make("td", { className: title === WORDS ? "text" : "number" }, value);
        cell.dataset.title = title;
        return cell;
      }))))));

export const result = async ({ main, facts, signal }) => {
  const found = await ask("result", {}, signal);
  const labels = Object.fromEntries(facts.versions.map((version) => [version.name, version.label]));
  const label = (name) => labels[name] ?? name;
  if (!found.votes) {
    main.replaceChildren(make("p", {}, "Nobody has voted yet. ", make("a", { href: "#vote", textContent: "Compare blindly" }), "."));
    return;
  }
  const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
  const whole = `${counted(found.votes, "vote")} on ${counted(found.images, "image")} by ${
    found.voters === 1 ? "1 person" : `${found.voters} people`}`;
  main.replaceChildren(...[
    make("p", { className: "outcome", textContent: whole }),
    found.strengths.length > 2 ? make("h2", { textContent: "On one scale" }) : null,
    found.strengths.length > 2 ? table("Versions on one scale", ["version", "preferred to the mean one", "", "votes"],
      found.strengths.map((each) => [label(each.name), interval(each), bar(each.share, each.low, each.high), String(each.votes)])) : null,
    make("h2", { textContent: "Pair by pair" }),
    table("Pairs", ["pair", "for the first", "", "for first, neither, second", "images", "people", WORDS],
      found.pairs.map((pair) => [
        `${label(pair.first)} : ${label(pair.second)}`, interval(pair), bar(pair.share, pair.low, pair.high),
        `${pair.first_wins}, ${pair.same}, ${pair.second_wins}`, String(pair.images), String(pair.voters), sentence(pair, label),
      ])),
    make("p", { className: "quiet" }, "Intervals are of 95 %. A vote for neither is half a vote for each. For pairs they are Wilson’s, with fewer votes where several on one image agree; for the scale they are of a Bradley–Terry model with a weak prior. They speak of the people who voted, and of images like these. Whoever looks here before all votes are cast, and stops when it suits, finds too much."),
    make("p", { className: "quiet" }, "All votes are in ", make("code", { textContent: found.table }), ", as Parquet."),
  ].filter(Boolean));
};
