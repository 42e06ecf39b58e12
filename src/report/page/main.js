/* What people do. */

function choose(address, push) {
  state.group = address;
  writeAddress(push);
  drawDetail();
  drawTime();
  if (address !== null && matchMedia("(max-width: 860px)").matches) {
    scrollTo(0, 0);
    $("detail").focus({ preventScroll: true });
  }
}

function refresh() {
  state.cores = filtered(state.filter);
  state.groups = groupsOf(state.cores, state.by);
  state.shown = PAGE;
  drawList();
  drawFacets();
  drawDetail();
  drawTime();
}

function setFilter(line) {
  state.filter = line;
  if ($("filter").value !== line)
    $("filter").value = line;
  writeAddress(false);
  refresh();
}

function step(by) {
  if (!state.groups.length)
    return;
  const at = state.groups.findIndex(group => addressOf(group) === state.group);
  const next = Math.min(state.groups.length - 1, Math.max(0, at < 0 ? 0 : at + by));

  while (next >= state.shown)
    $("more").querySelector("button").click();
  choose(addressOf(state.groups[next]), false);
  const link = $("groups").children[next].firstElementChild;
  link.focus({ preventScroll: true });
  link.scrollIntoView({ block: "nearest" });
}

function key(event) {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);

  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open)
    return;
  if (event.key === "Escape") {
    if (state.group !== null && !typing)
      choose(null, true);
    else if (state.filter)
      setFilter("");
    event.target.blur();
  } else if (typing) {
    if (event.key === "Enter" || event.key === "ArrowDown" && event.target.id === "filter") {
      event.preventDefault();
      step(0);
    }
  } else if (event.key === "/") {
    event.preventDefault();
    $("filter").select();
  } else if (event.key === "j" || event.key === "k") {
    step(event.key === "j" ? 1 : -1);
  } else if (event.key === "Enter" && event.target.closest("#groups a")) {
    event.preventDefault();
    choose(event.target.closest("a").dataset.address, true);
    $("detail").focus();
  } else if (event.key === "?") {
    $("help").showModal();
  }
}

function begin() {
  const skipped = [[data.duplicates, "counted twice", "counted twice"], [data.unreadable, "line not understood", "lines not understood"]]
    .filter(([n]) => n).map(([n, one, many]) => `${count(n)} ${n === 1 ? one : many}`);
  let timer = 0;

  theme();
  $("summary").textContent = [plural(cores.length, "core") + " in " + plural(groupsOf(cores, "top").length, "group"), ...skipped,
    times ? `${stamp(times.low).slice(0, 10)} to ${stamp(times.high).slice(0, 10)}` : "",
    `made ${data.made} by gocore-stub ${data.version}`].filter(Boolean).join(" · ");
  $("by").append(...KEYS.map(([name, title]) => element("option", { value: name }, title)));
  $("fields").append(...Object.entries(FIELD_HELP).flatMap(([name, help]) =>
    [element("dt", {}, element("code", {}, name + ":")), element("dd", {}, help)]));
  $("filter").addEventListener("input", () => {
    cancelAnimationFrame(timer); /* of several keys in one frame the last counts */
    timer = requestAnimationFrame(() => setFilter($("filter").value));
  });
  $("filter-form").addEventListener("submit", event => event.preventDefault());
  $("by").addEventListener("change", () => {
    state.by = $("by").value;
    state.group = null;
    writeAddress(false);
    refresh();
  });
  $("help-button").addEventListener("click", () => $("help").showModal());
  document.addEventListener("keydown", key);
  document.querySelector(".skip-link").addEventListener("click", event => {
    event.preventDefault();
    $("groups").focus();
  });
  addEventListener("popstate", open);
  brush($("time").querySelector("svg"));
  open();
}

function open() {
  readAddress();
  $("filter").value = state.filter;
  $("by").value = state.by;
  refresh();
}
