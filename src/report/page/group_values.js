/* Registers and the fault address: what is the same in all, and what is not. */
function valuesPart(group) {
  const found = new Map(), with_registers = group.cores.filter(core => cell(core, "registers"));

  for (const core of with_registers) {
    const [names, list] = cell(core, "registers");
    data.register_names[names].forEach((name, i) => {
      if (!found.has(name))
        found.set(name, new Map());
      const of = found.get(name);
      of.set(values[list[i]], (of.get(values[list[i]]) || 0) + 1);
    });
  }
  if (!found.size)
    return [];
  const n = with_registers.length, rows = [], same = [];
  for (const [name, of] of found) {
    const list = [...of].sort(byCount);
    if (list.length === 1 && n > 1)
      same.push(element("span", {}, element("span", { class: "soft" }, texts[name] + " "), element("code", {}, list[0][0])));
    else
      rows.push(element("tr", {}, element("td", {}, element("code", {}, texts[name])),
        n > 1 ? element("td", { class: "num" }, count(list.length)) : null,
        element("td", {}, valueList(list, 4, value => element("code", {}, value)))));
  }
  const parts = [element("h2", {}, "Values at the crash")];
  if (n < group.cores.length)
    parts.push(element("p", { class: "soft" }, `of ${count(n)} of the ${plural(group.cores.length, "core")}`));
  if (same.length)
    parts.push(element("h3", {}, "the same in all"), element("p", { class: "values" }, ...same));
  if (rows.length)
    parts.push(n > 1 ? element("h3", {}, "different") : null, element("div", { class: "scroll" }, element("table", {},
      element("thead", {}, element("tr", {}, element("th", {}, "Register"), n > 1 ? element("th", { class: "num" }, "Values") : null,
        element("th", {}, n > 1 ? "Most frequent" : "Value"))),
      element("tbody", {}, ...rows))));
  return parts.filter(Boolean);
}

function goroutinesPart(group) {
  const core = group.cores.find(c => cell(c, "goroutine_groups") >= 0);

  if (!core)
    return [];
  const parts = [element("h2", {}, "Goroutines"),
    element("p", { class: "soft" }, `${plural(cell(core, "goroutines") || 0, "goroutine")} of `, element("code", {}, cell(core, "core")))];
  const open = textOf(core, "kind") === "goroutines" ? 2 : 0; /* what they wait for is the crash */
  data.goroutine_groups[cell(core, "goroutine_groups")].forEach(([n, status, reason, stack], i) => {
    const title = [count(n), "×", texts[reason] || texts[status] || "", "–", stack >= 0 ? goName(stack) : ""].join(" ");
    const box = lazyDetails(title, () => stack >= 0 ? stackList(stack, {}) : element("p", {}, "no stack"));
    box.open = i < open;
    parts.push(box);
  });
  return parts;
}

function goName(stack) {
  const frames = stacks[stack].map(frame => texts[frame[0]]).filter(Boolean);

  return frames.find(name => !/^(runtime\.|sync\.|internal\/|syscall\.|time\.Sleep)/.test(name)) || frames[0] || "";
}
