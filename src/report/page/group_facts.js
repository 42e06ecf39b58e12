/* What the cores of a group have in common. */

/* Title, column, values shown, and whether they are code. */
const FACTS = [["Signal", "signal", 6], ["Code", "code", 6], ["At", "place", 4, true], ["Reason", "error", 6],
  ["Program", "program", 4], ["Build ID", "build_id", 4, true],
  ["Architecture", "arch", 4], ["Go", "go", 8], ["Module", "module", 4], ["Host", "host", 8]];
const SIGNATURES = [["Stack", "top", 3, true], ["Exact", "exact", 3, true], ["Site", "site", 3, true]];

function fact(list, name, ...value) {
  list.append(element("dt", {}, name), element("dd", {}, ...value));
}

function valueList(found, most, show) {
  const box = element("span", { class: "values" });

  for (const [value, n] of found.slice(0, most))
    box.append(element("span", {}, show ? show(value) : value,
      found.length > 1 ? element("span", { class: "soft" }, " × " + count(n)) : null));
  if (found.length > most)
    box.append(element("span", { class: "soft" }, `and ${count(found.length - most)} more`));
  return box;
}

function addFacts(list, group, facts) {
  for (const [title, name, most, code] of facts) {
    const found = tally(group.cores, name);
    const show = value => element("code", { title: value }, name === "build_id" ? value.slice(0, 16) : value);

    if (found.length && name !== state.by)
      fact(list, title, valueList(found, most, code && show));
  }
}

function signaturesPart(group) {
  const list = element("dl", { class: "facts" });

  addFacts(list, group, SIGNATURES);
  return list.childElementCount ? [element("h2", {}, "Signatures"), list] : [];
}

function factsPart(group) {
  const list = element("dl", { class: "facts" }), at = column.time, share = 100 * group.cores.length / cores.length;
  let low = Infinity, high = -Infinity;

  for (const core of group.cores)
    if (core[at] !== null) {
      low = Math.min(low, core[at]);
      high = Math.max(high, core[at]);
    }
  fact(list, "Cores", `${count(group.cores.length)} (${share < .1 ? "less than 0.1" : share.toFixed(1)} % of all)`);
  if (low <= high)
    fact(list, low < high ? "First, last" : "Written", low < high ? `${stamp(low)}, ${stamp(high)} UTC` : stamp(low) + " UTC");
  addFacts(list, group, FACTS);
  return list;
}
