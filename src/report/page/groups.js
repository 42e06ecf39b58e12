/* Groups. */

/* Why a core was not read; the texts would keep apart what is alike. */
const FAILURES = {
  unusable: "cannot be read", timeout: "took too long", memory: "took too much memory", died: "the process that read it died",
};

/* Programs by the names of their files, as `triage --group` has them: names of functions mean little without. */
const programNames = texts.map(text => baseName(text));

function keyOf(core, by) {
  if (core[column.error])
    return "error:" + texts[core[column.error_kind]];
  if (!core[column[by]])
    return "other:" + texts[core[column.site]];
  return (by === "top" ? programNames[core[column.program]] + ": " : "") + texts[core[column[by]]];
}

function groupsOf(list, by) {
  const found = new Map(), keys = new Map(); /* keys: made once for equal numbers */

  for (const core of list) {
    const numbers = core[column.error] ? -core[column.error_kind] - 1
      : core[column[by]] ? core[column[by]] * texts.length + (by === "top" ? core[column.program] : 0) : -texts.length - core[column.site];
    let key = keys.get(numbers);
    if (key === undefined)
      keys.set(numbers, key = keyOf(core, by));
    const group = found.get(key);
    if (group)
      group.cores.push(core);
    else
      found.set(key, { key, cores: [core] });
  }
  return [...found.values()].sort((a, b) => b.cores.length - a.cores.length);
}

/* What names a group to people. */
function nameOf(group) {
  const core = group.cores[0];

  if (cell(core, "error"))
    return FAILURES[textOf(core, "error_kind")] || textOf(core, "error");
  return state.by === "exact" ? textOf(core, "top") || textOf(core, "site") || textOf(core, "exact")
    : textOf(core, state.by) || textOf(core, "site") || "nothing is known of these";
}

/* What names it in the page's address. */
const addressOf = group => group.key;

/* State: what the address says. */

const state = { filter: "", by: "top", group: null, shown: PAGE, cores, groups: [] };

function readAddress() {
  const words = new URLSearchParams(location.hash.slice(1));

  state.filter = words.get("filter") || "";
  state.by = KEYS.some(([key]) => key === words.get("by")) ? words.get("by") : "top";
  state.group = words.get("group");
}

function writeAddress(push) {
  const words = new URLSearchParams();

  if (state.filter)
    words.set("filter", state.filter);
  if (state.by !== "top")
    words.set("by", state.by);
  if (state.group !== null)
    words.set("group", state.group);
  const hash = "#" + words;
  if (hash !== (location.hash || "#"))
    history[push ? "pushState" : "replaceState"](null, "", hash);
}

const chosen = () => state.group === null ? null : state.groups.find(group => addressOf(group) === state.group) || null;
