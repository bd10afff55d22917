
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

  // The whole image, to zoom into; its versions take each other's place, so that they can be compared.
  const whole = (() => {
    const dialog = document.querySelector("dialog.zoom");
    const pane = dialog.querySelector(".pane");
    const image = pane.querySelector("img");
    const versions = dialog.querySelector(".versions");
    const values = dialog.querySelector(".values");
    let scale = 1, x = 0, y = 0, from = null;

    const place = () => { image.style.transform = `translate(${x}px, ${y}px) scale(${scale})`; };
    const centre = (next) => {
      scale = next;
      x = (pane.clientWidth - image.naturalWidth * scale) / 2;
      y = (pane.clientHeight - image.naturalHeight * scale) / 2;
      place();
    };
    const fit = () => centre(Math.min(
      pane.clientWidth / image.naturalWidth, pane.clientHeight / image.naturalHeight));
    const zoom = (factor, left = pane.clientWidth / 2, top = pane.clientHeight / 2) => {
      const next = Math.min(32, Math.max(0.05, scale * factor));
      x = left - ((left - x) * next) / scale;
      y = top - ((top - y) * next) / scale;
      scale = next;
      image.style.imageRendering = scale > 2 ? "pixelated" : "auto";
      place();
    };
    const choose = (layer, button) => {
      image.src = layer.dataset.whole || layer.querySelector("img").src;
      image.alt = `${layer.querySelector("img").alt}, whole`;
      const said = layer.querySelector(".values");
      values.textContent = said ? said.textContent : "";
      for (const other of versions.children) other.setAttribute("aria-pressed", String(other === button));
    };
    pane.addEventListener("wheel", (event) => {
      event.preventDefault();
      const box = pane.getBoundingClientRect();
      zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15, event.clientX - box.left, event.clientY - box.top);
    }, { passive: false });
    pane.addEventListener("pointerdown", (event) => {
      pane.setPointerCapture(event.pointerId);
      from = { x: event.clientX - x, y: event.clientY - y };
    });
    pane.addEventListener("pointermove", (event) => {
      if (!pane.hasPointerCapture(event.pointerId)) return;
      x = event.clientX - from.x;
      y = event.clientY - from.y;
      place();
    });
    pane.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] };
      if (event.key === "+" || event.key === "-") zoom(event.key === "+" ? 1.25 : 0.8);
      if (!(event.key in steps)) return;
      event.preventDefault();
      x += steps[event.key][0];
      y += steps[event.key][1];
      place();
    });
    for (const button of dialog.querySelectorAll("[data-zoom]")) {
      const kind = button.dataset.zoom;
      button.addEventListener("click", () => (
        kind === "fit" ? fit() : kind === "one" ? centre(1) : zoom(Number(kind))));
    }
    dialog.querySelector(".close").addEventListener("click", () => dialog.close());
    return {
      show: (layers, shown, key) => {
        versions.replaceChildren();
        for (const layer of layers) {
          const button = document.createElement("button");
          button.type = "button";
          button.textContent = layer.dataset.name;
          button.addEventListener("click", () => choose(layer, button));
          versions.append(button, " ");
          if (layer === shown) choose(layer, button);
        }
        dialog.setAttribute("aria-label", `whole image of ${key}`);
        dialog.showModal();
        image.decode().then(fit, fit);
      },
    };
  })();

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
    const wide = Number(size.getAttribute("width"));
    stage.style.aspectRatio = `${wide} / ${size.getAttribute("height")}`;
    // One pixel of the image is one of the page; of a small image, a whole number of them.
    const enlarged = Math.max(1, Math.floor(256 / wide));
    stage.style.maxWidth = `${wide * enlarged}px`;
    if (enlarged > 1) stage.style.imageRendering = "pixelated";
    const values = viewer.querySelector(".shown-values");

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
      const exact = place.share === 0 ? knots[place.below] : place.share === 1 ? knots[place.above] : null;
      const said = exact && exact.layer.querySelector(".values");
      values.textContent = said ? said.textContent : "";
      values.hidden = !said;
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
      let from = null, moved = false;
      stage.addEventListener("pointerdown", (event) => {
        stage.setPointerCapture(event.pointerId);
        from = event.clientX;
        moved = false;
      });
      stage.addEventListener("pointermove", (event) => {
        if (!stage.hasPointerCapture(event.pointerId)) return;
        moved = moved || Math.abs(event.clientX - from) > 3;
        if (moved) drag(event);
      });
      stage.addEventListener("click", () => { if (!moved) openWhole(); });
    } else {
      viewer.querySelector(".sides").hidden = true;
      stage.addEventListener("click", () => openWhole());
    }
    const openWhole = () => {
      const { below, above, share } = around(knots, alphaNow());
      whole.show(layers, knots[share < 0.5 ? below : above].layer, key);
    };
    viewer.querySelector(".open-whole").addEventListener("click", openWhole);
    viewer.querySelector(".open-whole").setAttribute("aria-label", `whole image of ${key}`);
    showAlpha();
    viewers.push({ set });
    viewer.querySelector(".controls").hidden = false;
  };

  document.documentElement.classList.add("js");
  for (const viewer of document.querySelectorAll(".viewer")) start(viewer);
  for (const hint of document.querySelectorAll(".scripted")) hint.hidden = false;
})();
