// Parts of the page, and how it asks the server; texts never become markup.

export const make = (kind, facts = {}, ...children) => {
  const element = document.createElement(kind);
  for (const [name, value] of Object.entries(facts)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && name !== "list") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
};

export const option = (value, text, chosen) => make("option", { value, textContent: text, selected: value === chosen });

export const complain = (text) => {
  const box = document.getElementById("error");
  box.textContent = text;
  box.hidden = !text;
};

const asked = async (path, options) => {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("the server gives no answer; start `dotpipe view` again, and open its new address");
  }
  if (answer.ok) return answer;
  const said = await answer.text();
  let told = said;
  try { told = JSON.parse(said).error ?? said; } catch { /* a text for people already */ }
  throw new Error(told);
};

export const ask = async (path, query = {}, signal = undefined) => {
  const words = new URLSearchParams(query).toString();
  return (await asked(words ? `${path}?${words}` : path, { signal })).json();
};

export const send = async (path, body) => (await asked(path, {
  method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
})).json();

// A picture that is whole and decoded, with what was done to it for show.
export const load = async (path, signal) => {
  const answer = await asked(path, { signal });
  const image = new Image();
  image.src = URL.createObjectURL(await answer.blob());
  await image.decode().catch(() => {
    throw new Error("this browser cannot show the picture; another one may");
  });
  return { image, note: answer.headers.get("X-Note") ?? "" };
};

export const pathOf = (shard, key, version) => `picture?${new URLSearchParams({ shard, key, version })}`;

// Runs what a key asks for, unless it is for a field; gives the function that ends it.
export const onKeys = (keys, whenUp = {}) => {
  const isForField = (event) => event.target.closest("input:not([type=range]), select, textarea")
    || event.ctrlKey || event.metaKey || event.altKey;
  const run = (table) => (event) => {
    const action = table[event.key];
    if (!action || isForField(event)) return;
    const isSlider = event.target.matches("input[type=range]") && /^(Arrow|Home|End|Page)/.test(event.key);
    const isButton = event.target.matches("button, a, summary") && event.key === " ";
    if (isSlider || isButton) return;
    event.preventDefault();
    action(event);
  };
  const down = run(keys), up = run(whenUp);
  document.addEventListener("keydown", down);
  document.addEventListener("keyup", up);
  return () => {
    document.removeEventListener("keydown", down);
    document.removeEventListener("keyup", up);
  };
};
