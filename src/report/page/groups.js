/* Groups. */

function groupsOf(list, by) {
  const c = column[by], found = new Map();

  for (const core of list) {
    const key = core[column.error] ? "error " + core[column.error] : core[c] || "other " + core[column.site];
    const group = found.get(key);
    if (group)
      group.cores.push(core);
    else
      found.set(key, { key, cores: [core] });
  }
  return [...found.values()].sort((a, b) => b.cores.length - a.cores.length);
}

/* What names a group to people, and in the page's address. */
function nameOf(group) {
  const core = group.cores[0];

  if (cell(core, "error"))
    return textOf(core, "error");
  return state.by === "exact" ? textOf(core, "top") || textOf(core, "site") || textOf(core, "exact")
    : textOf(core, state.by) || textOf(core, "site") || "nothing is known of these";
}

const addressOf = group => {
  const core = group.cores[0];
  return cell(core, "error") ? "error:" + textOf(core, "error") : textOf(core, state.by) || "other:" + textOf(core, "site");
};

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
