// Two versions of an image side by side, without a word on which is which, and a vote.
import { Pane, Place, zoomButtons } from "./pane.js";
import { complain, load, make, onKeys, send } from "./parts.js";

const guest = () => {
  const numbers = crypto.getRandomValues(new Uint32Array(2));
  return `guest ${[...numbers].map((number) => number.toString(36)).join("")}`;
};

// The browser's memory may be closed to pages; a name is then good for as long as the page is open.
const memory = {
  kept: {},
  get: (name) => { try { return localStorage.getItem(name); } catch { return memory.kept[name] ?? null; } },
  set: (name, value) => { try { localStorage.setItem(name, value); } catch { memory.kept[name] = value; } },
};

export const vote = async ({ main, facts, signal, whenLeft }) => {
  if (!memory.get("guest")) memory.set("guest", guest());
  const chosen = () => [...boxes].filter((box) => box.checked).map((box) => box.value);
  const labels = Object.fromEntries(facts.versions.map((version) => [version.name, version.label]));
  const former = (memory.get("versions") ?? "").split(",").filter((name) => facts.contenders.includes(name));
  const usual = facts.contenders.filter((name) => name !== "reference");
  const first = former.length > 1 ? former : usual.length > 1 ? usual : facts.contenders;
  const boxes = facts.contenders.map((name) => make("input", {
    type: "checkbox", value: name, checked: first.includes(name), onchange: () => begin(),
  }));
  const name = make("input", {
    type: "text", id: "voter", autocomplete: "nickname", maxLength: 80, size: 14, value: memory.get("voter") ?? "", onchange: () => begin(),
  });
  const voter = () => name.value.trim() || memory.get("guest");

  const place = new Place();
  const sides = ["left", "right"].map((side) => {
    const pane = new Pane(place, `the ${side} picture`);
    return { side, pane, layer: pane.layer("only") };
  });
  const status = make("p", { className: "quiet", role: "status" });
  const answers = [["left", "← the left one"], ["same", "↓ no difference"], ["right", "the right one →"]]
    .map(([choice, text]) => make("button", { type: "button", textContent: text, disabled: true, onclick: () => cast(choice) }));
  const enable = (isOn) => { for (const each of answers) each.disabled = !isOn; };

  let trial = null, since = 0, turn = 0;
  const begin = async () => {
    turn += 1;
    const mine = turn;
    trial = null;
    enable(false);
    complain("");
    memory.set("voter", name.value.trim());
    memory.set("versions", chosen().join(","));
    for (const { layer } of sides) layer.clear();
    if (chosen().length < 2) { status.textContent = "choose at least two versions to compare"; return; }
    status.textContent = "reading …";
    try {
      const drawn = await send("trials", { voter: voter(), versions: chosen() });
      if (mine !== turn || signal.aborted) return;
      if (drawn.id === null) {
        status.textContent = `thank you: you have seen all of them, and cast ${drawn.cast} votes`;
        return;
      }
      const shown = await Promise.all(sides.map(({ side }) => load(`trials/${drawn.id}/${side}`, signal)));
      if (mine !== turn || signal.aborted) return;
      for (const [index, { side, pane, layer }] of sides.entries()) {
        pane.picture = { width: drawn.width, height: drawn.height };
        layer.show(shown[index].image, `the ${side} picture`);
      }
      place.one();
      trial = drawn.id;
      since = performance.now();
      status.textContent = `Which one do you prefer? You have cast ${drawn.cast} ${drawn.cast === 1 ? "vote" : "votes"}.`;
      enable(true);
    } catch (error) {
      if (!signal.aborted && mine === turn) { status.textContent = ""; complain(error.message); retry.hidden = false; }
    }
  };
  const cast = async (choice) => {
    if (trial === null || answers[0].disabled) return;
    enable(false);
    try {
      await send(`trials/${trial}`, { choice, seconds: (performance.now() - since) / 1000 });
      await begin();
    } catch (error) {
      // The comparison stays, so that the same vote can be sent again; it counts once.
      if (!signal.aborted) { complain(`the vote is not stored yet: ${error.message}`); enable(true); }
    }
  };
  const retry = make("button", { type: "button", textContent: "another comparison", hidden: true, onclick: () => { retry.hidden = true; begin(); } });

  main.replaceChildren(
    make("details", { className: "who", open: !memory.get("voter") && !former.length },
      make("summary", { textContent: "Who compares what" }),
      make("label", {}, make("span", { textContent: "your name, if you like (votes under it go on where you stopped)" }), name),
      make("fieldset", {}, make("legend", { textContent: "versions" }),
        ...boxes.map((box) => make("label", { className: "check" }, box, ` ${labels[box.value]}`)))),
    status,
    make("div", { className: "duel" }, ...sides.map(({ pane }) => pane.element)),
    make("div", { className: "answers" }, ...answers, retry),
    make("div", { className: "bar" }, zoomButtons(place),
      make("span", { className: "quiet keys", textContent: "keys: ← ↓ → vote; + − 0 1 size. Both pictures move together." })),
  );
  const sized = new ResizeObserver(() => trial !== null && place.again());
  sized.observe(sides[0].pane.element);
  whenLeft(() => sized.disconnect());
  whenLeft(onKeys({ ...place.keys, ArrowLeft: () => cast("left"), ArrowDown: () => cast("same"), ArrowRight: () => cast("right") }));
  await begin();
};
