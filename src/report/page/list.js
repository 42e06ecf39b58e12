/* The list. */

function stackName(name) {
  const cut = name.indexOf(" < ");

  return cut < 0 ? [name] : [element("b", {}, name.slice(0, cut)), name.slice(cut)];
}

function groupRow(group, most) {
  const core = group.cores[0], address = addressOf(group), failed = cell(core, "error");
  const tags = element("div", { class: "tags" });

  if (failed)
    tags.append(element("span", { class: "tag signal" }, "not read"));
  else
    for (const [signal] of tally(group.cores, "signal").slice(0, 2))
      tags.append(element("span", { class: "tag signal" }, signal));
  const programs = tally(group.cores, "program");
  if (programs.length)
    tags.append(element("span", {}, baseName(programs[0][0]) + (programs.length > 1 ? ` and ${programs.length - 1} more` : "")));
  tags.append(...tally(group.cores, "arch").map(([arch]) => element("span", {}, arch)));

  const link = element("a", { href: "#", "aria-current": address === state.group && "true", onclick: event => {
    event.preventDefault();
    choose(address, true);
  } },
    element("div", { class: "row" }, element("span", { class: "count" }, count(group.cores.length)),
      element("span", { class: "name" }, ...stackName(nameOf(group)))),
    element("div", { class: "bar" }, element("span", { style: `width:${100 * group.cores.length / most}%` })), tags);

  link.dataset.address = address;
  return element("li", {}, link);
}

function drawList() {
  const list = $("groups"), most = state.groups.length ? state.groups[0].cores.length : 1;

  list.replaceChildren(...state.groups.slice(0, state.shown).map(group => groupRow(group, most)));
  if (!state.groups.length)
    list.append(element("li", { class: "empty" }, "No core matches this filter."));
  drawMore();
  $("matches").textContent = `${plural(state.groups.length, "group")} of ${plural(state.cores.length, "core")}` +
    (state.cores.length < cores.length ? `, out of ${count(cores.length)}` : "");
}

function drawMore() {
  const left = state.groups.length - state.shown, most = state.groups.length ? state.groups[0].cores.length : 1;

  $("more").replaceChildren();
  if (left <= 0)
    return;
  $("more").append(element("button", { type: "button", onclick: () => {
    const from = state.shown;
    state.shown += PAGE;
    $("groups").append(...state.groups.slice(from, state.shown).map(group => groupRow(group, most)));
    drawMore();
  } }, `Show ${Math.min(PAGE, left)} more of ${count(left)}`));
}
