
"use strict";
(() => {
  const together = document.getElementById("together");
  const viewers = [];

  const text = (alpha) => String(Math.round(alpha * 100) / 100);

  // The two written alphas around this one, and how far it is from the first to the second.
  const around = (knots, alpha) => {
    const next = knots.findIndex((knot) => knot.alpha >= alpha);
    const above = next < 0 ? knots.length - 1 : next;
    const below = knots[above].alpha > alpha && above > 0 ? above - 1 : above;
    const width = knots[above].alpha - knots[below].alpha;
    return { below, above, share: width > 0 ? (alpha - knots[below].alpha) / width : 0 };
  };

  const describe = (knots, { below, above, share }, alpha) => {
    if (share > 0 && share < 1) {
      return `alpha ${text(alpha)}, blended from ${text(knots[below].alpha)} and ${text(knots[above].alpha)}`;
    }
    const knot = knots[share < 1 ? below : above];
    return `alpha ${text(alpha)}${knot.isInput ? ", the input" : ""}`;
  };

  const add = (parent, kind, name) => {
    const element = document.createElement(kind);
    element.className = name;
    parent.append(element);
    return element;
  };

  const start = (viewer) => {
    const stage = viewer.querySelector(".stage");
    const layers = [...stage.querySelectorAll("figure")];
    const key = viewer.querySelector("h3").textContent;
    const snaps = "snaps" in viewer.dataset;
    const knots = layers
      .filter((layer) => layer.dataset.alpha !== undefined)
      .map((layer) => ({ layer, alpha: Number(layer.dataset.alpha), isInput: layer.dataset.side === "input" }))
      .sort((a, b) => a.alpha - b.alpha);
    const sides = layers.filter((layer) => layer.dataset.side !== "enhanced");
    if (!knots.length) return;

    const alphaSlider = viewer.querySelector(".alpha-slider");
    const wipeSlider = viewer.querySelector(".wipe-slider");
    const select = viewer.querySelector("select");
    const output = viewer.querySelector("output");
    const size = knots[0].layer.querySelector("img");
    stage.style.aspectRatio = `${size.getAttribute("width")} / ${size.getAttribute("height")}`;

    // The left side shows a copy, as the input can be on both sides at once.
    const before = document.createElement("figure");
    before.className = "before shown";
    const beforeImage = add(before, "img", "");
    const divider = document.createElement("span");
    divider.className = "divider";
    const leftTag = document.createElement("span");
    leftTag.className = "tag at-left";
    const rightTag = document.createElement("span");
    rightTag.className = "tag at-right";
    for (const tag of [divider, leftTag, rightTag]) tag.setAttribute("aria-hidden", "true");

    const alphaNow = () => (snaps ? knots[Number(alphaSlider.value)].alpha : Number(alphaSlider.value));

    const showAlpha = () => {
      const alpha = alphaNow();
      const place = around(knots, alpha);
      knots.forEach(({ layer }, index) => {
        const isBelow = index === place.below;
        const isAbove = index === place.above && place.share > 0;
        layer.classList.toggle("shown", isBelow || isAbove);
        layer.style.zIndex = isAbove ? 2 : 1;
        layer.style.opacity = isAbove && !isBelow ? place.share : 1;
      });
      const words = describe(knots, place, alpha);
      output.textContent = words.replace("alpha ", "");
      alphaSlider.setAttribute("aria-valuetext", words);
      rightTag.textContent = `alpha ${text(alpha)}`;
    };

    const showWipe = () => {
      const share = Number(wipeSlider.value);
      before.style.clipPath = `inset(0 ${100 - share}% 0 0)`;
      divider.style.left = `${share}%`;
      leftTag.hidden = share < 15;
      rightTag.hidden = share > 80;
      wipeSlider.setAttribute("aria-valuetext", `${share} percent ${leftTag.textContent}`);
    };

    const showSide = () => {
      const side = sides[select.selectedIndex];
      const image = side.querySelector("img");
      beforeImage.src = image.src;
      beforeImage.alt = `${image.alt}, left of the divider`;
      leftTag.textContent = side.dataset.name;
      showWipe();
    };

    const set = (alpha, share, side) => {
      if (alpha !== null) {
        const { below, above, share: part } = around(knots, alpha);
        alphaSlider.value = snaps ? String(part < 0.5 ? below : above) : String(alpha);
        showAlpha();
      }
      if (share !== null) { wipeSlider.value = share; showWipe(); }
      if (side !== null && sides.length > side) { select.selectedIndex = side; showSide(); }
    };

    const change = (alpha, share, side) => {
      const moved = together && together.checked ? viewers : [{ set }];
      for (const other of moved) other.set(alpha, share, side);
    };

    const nearest = knots.reduce((best, knot, index) => (
      Math.abs(knot.alpha) < Math.abs(knots[best].alpha) ? index : best), 0);
    Object.assign(alphaSlider, snaps
      ? { min: "0", max: String(knots.length - 1), step: "1", value: String(nearest) }
      : { min: knots[0].layer.dataset.alpha, max: knots.at(-1).layer.dataset.alpha, step: "0.01" });
    if (!snaps) alphaSlider.value = knots[nearest].layer.dataset.alpha;
    alphaSlider.setAttribute("aria-label", `alpha of ${key}`);
    wipeSlider.setAttribute("aria-label", `divider of ${key}`);
    select.setAttribute("aria-label", `left of the divider of ${key}`);
    for (const side of sides) select.append(new Option(side.dataset.name));
    alphaSlider.addEventListener("input", () => change(alphaNow(), null, null));
    wipeSlider.addEventListener("input", () => change(null, Number(wipeSlider.value), null));
    select.addEventListener("change", () => change(null, null, select.selectedIndex));
    viewer.querySelector(".alpha").hidden = knots.length < 2;
    stage.append(rightTag);

    const drag = (event) => {
      const box = stage.getBoundingClientRect();
      const share = Math.round((100 * (event.clientX - box.left)) / box.width);
      change(null, Math.min(100, Math.max(0, share)), null);
    };
    if (sides.length) {
      stage.append(before, divider, leftTag);
      showSide();
      stage.addEventListener("pointerdown", (event) => {
        stage.setPointerCapture(event.pointerId);
        drag(event);
      });
      stage.addEventListener("pointermove", (event) => {
        if (stage.hasPointerCapture(event.pointerId)) drag(event);
      });
    } else {
      viewer.querySelector(".sides").hidden = true;
    }
    showAlpha();
    viewers.push({ set });
    viewer.querySelector(".controls").hidden = false;
  };

  document.documentElement.classList.add("js");
  for (const viewer of document.querySelectorAll(".viewer")) start(viewer);
  for (const hint of document.querySelectorAll(".scripted")) hint.hidden = false;
})();
