/* Facets: the values that narrow down, with what they would leave. */

const quoted = word => /[\s"]/.test(word) ? `"${word.replace(/"/g, "")}"` : word;

const ofAll = Object.fromEntries(FACETS.map(name => [name, countTexts(cores, name)]));

function drawFacets() {
  const buttons = [];

  for (const name of FACETS) {
    const found = countTexts(state.cores, name), all = ofAll[name];
    const shown = found.length ? found : all;
    for (const [index, n] of shown.slice(0, 6)) {
      const word = `${name}:${quoted(texts[index])}`, on = state.filter.split(/\s+(?=(?:[^"]*"[^"]*")*[^"]*$)/).includes(word);
      if (all.length < 2 && !on)
        continue;
      buttons.push(element("button", { type: "button", title: word, "aria-pressed": String(on), onclick: () => toggle(word, on) },
        name === "program" ? baseName(texts[index]) : texts[index], element("small", {}, count(n))));
    }
  }
  const failed = state.cores.reduce((n, core) => n + (cell(core, "error") ? 1 : 0), 0), on = /(^|\s)is:failed(\s|$)/.test(state.filter);
  if (failed || on)
    buttons.push(element("button", { type: "button", "aria-pressed": String(on), onclick: () => toggle("is:failed", on) },
      "not read", element("small", {}, count(failed))));
  $("facets").replaceChildren(...buttons);
}

function toggle(word, on) {
  setFilter(on ? state.filter.replace(word, "").replace(/\s+/g, " ").trim() : (state.filter + " " + word).trim());
}
