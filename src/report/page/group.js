/* One group. */

function frameRow(frame, { shared, skipped, first }) {
  const [name, file, line, module, inlined] = frame, row = element("li", {}, name ? texts[name] : "?");
  const where = [file ? texts[file] + (line ? ":" + line : "") : module ? baseName(texts[module]) : "", inlined ? "inlined" : ""];

  if (where.some(Boolean))
    row.append(element("span", { class: "where" }, "  " + where.filter(Boolean).join(", ")));
  row.className = [shared && shared.has(name) && "shared", skipped && skipped.has(name) && "skipped", first && "first"]
    .filter(Boolean).join(" ");
  return row;
}

function stackList(index, options) {
  const list = element("ol", { class: "stack" }), skipped = options.skipped || new Set();
  let first = true;

  for (const frame of stacks[index]) {
    const marks = first && !skipped.has(frame[0]) && options.mark;
    list.append(frameRow(frame, { shared: options.shared, skipped, first: marks }));
    if (marks)
      first = false;
  }
  return list;
}

/* [number of a stack, how many cores], the most frequent first. */
function countStacks(list) {
  const c = column.stack, found = new Map();

  for (const core of list)
    if (core[c] >= 0)
      found.set(core[c], (found.get(core[c]) || 0) + 1);
  return [...found].sort(byCount);
}

function stacksPart(group) {
  const found = countStacks(group.cores);

  if (!found.length)
    return [];
  const skipped = new Set(group.cores.flatMap(core => cell(core, "skipped") >= 0 ? data.skipped[cell(core, "skipped")] : []));
  let shared = null;
  if (found.length > 1)
    for (const [index] of found) {
      const names = new Set(stacks[index].map(frame => frame[0]).filter(Boolean));
      shared = shared ? new Set([...shared].filter(name => names.has(name))) : names;
    }
  const parts = [element("h2", {}, found.length === 1 ? "Stack" : "Common stack"),
    element("p", { class: "soft" }, found.length === 1 ? "the same in all of them"
      : `of ${count(found[0][1])} of ${plural(group.cores.length, "core")}; ` +
        `functions in each of the ${count(found.length)} different stacks have a line at their left`),
    stackList(found[0][0], { shared, skipped, mark: true })];
  for (const [index, n] of found.slice(1, 13)) {
    const names = stacks[index].filter(frame => !skipped.has(frame[0])).slice(0, 3).map(frame => texts[frame[0]] || "?");
    parts.push(lazyDetails(`${plural(n, "core")}: ${names.join(" < ")}`, () => stackList(index, { shared, skipped, mark: true })));
  }
  if (found.length > 13)
    parts.push(element("p", { class: "soft" }, `and ${count(found.length - 13)} other stacks`));
  return parts;
}

function lazyDetails(title, make) {
  const box = element("details", {}, element("summary", {}, title));

  box.addEventListener("toggle", () => box.childElementCount === 1 && box.append(make()), { once: true });
  return box;
}

/* Where nothing was running, what the goroutines wait for says more than the runtime's stack. */
function bodyParts(group) {
  const stack = stacksPart(group), goroutines = goroutinesPart(group);

  return textOf(group.cores[0], "kind") === "goroutines" ? [...goroutines, ...stack] : [...stack, ...goroutines];
}

function drawDetail() {
  const group = chosen(), box = $("detail");

  document.body.classList.toggle("reading", Boolean(group));
  for (const link of $("groups").querySelectorAll("a"))
    if (link.dataset.address === state.group)
      link.setAttribute("aria-current", "true");
    else
      link.removeAttribute("aria-current");
  if (!group) {
    box.replaceChildren(element("p", { class: "empty" },
      cores.length ? "Choose a group to read its stack, values and cores." : "There are no cores in this report."));
    return;
  }
  const panics = tally(group.cores, "panic");
  box.replaceChildren(element("button", { type: "button", class: "back", onclick: () => choose(null, true) }, "← all groups"),
    element("h2", { class: "mono" }, ...stackName(nameOf(group))),
    ...panics.slice(0, 5).map(([text, n]) => element("div", { class: "message" }, text, panics.length > 1 ? `  × ${count(n)}` : "")),
    factsPart(group), ...bodyParts(group), ...valuesPart(group), ...coresPart(group), ...signaturesPart(group));
  box.scrollTop = 0;
}
