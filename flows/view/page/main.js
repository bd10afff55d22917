// The page: which view is shown, as the address after # says.
import { browse } from "./browse.js";
import { image } from "./image.js";
import { parseHash } from "./logic.js";
import { ask, complain } from "./parts.js";
import { result } from "./result.js";
import { vote } from "./vote.js";

const views = { browse, image, vote, result };
const main = document.getElementById("main");
let leave = () => {};

const show = async (facts) => {
  const { view, state } = parseHash(window.location.hash);
  const name = view in views ? view : "browse";
  leave();
  complain("");
  for (const link of document.querySelectorAll("nav [data-view]")) {
    const isHere = link.dataset.view === (name === "image" ? "browse" : name);
    if (isHere) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  main.className = name;
  main.setAttribute("aria-busy", "true");
  const stop = new AbortController();
  const ends = [() => stop.abort()];
  leave = () => { for (const end of ends.splice(0)) end(); };
  const whenLeft = (end) => (stop.signal.aborted ? end() : ends.push(end));
  try {
    await views[name]({ main, facts, state, signal: stop.signal, whenLeft });
  } catch (error) {
    if (!stop.signal.aborted) complain(error.message);
  }
  if (!stop.signal.aborted) main.setAttribute("aria-busy", "false");
};

const start = async () => {
  const facts = await ask("facts");
  const alphas = facts.versions.filter((version) => version.alpha !== null && version.name !== "input");
  document.title = `${facts.name} – dotpipe view`;
  document.getElementById("title").textContent = facts.name;
  document.getElementById("subtitle").textContent = `${facts.images.toLocaleString("en")} images at ${
    alphas.length} ${alphas.length === 1 ? "alpha" : "alphas"}${
    facts.unfinished ? `; ${facts.unfinished} shards are not finished` : ""}`;
  window.addEventListener("hashchange", () => show(facts));
  await show(facts);
};

start().catch((error) => complain(error.message));
