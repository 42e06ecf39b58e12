/* The time line. */

const times = (() => {
  const at = column.time, list = cores.map(core => core[at]).filter(time => time !== null);
  let low = Infinity, high = -Infinity;

  for (const time of list) {
    low = Math.min(low, time);
    high = Math.max(high, time);
  }
  return list.length > 1 && high > low ? { low, high } : null;
})();
const BINS = 160;

function bins(list) {
  const found = new Uint32Array(BINS), at = column.time, scale = (BINS - 1) / (times.high - times.low);

  for (const core of list)
    if (core[at] !== null)
      found[Math.floor((core[at] - times.low) * scale)]++;
  return found;
}

function bars(found, most, name) {
  let path = "";

  for (let i = 0; i < BINS; i++)
    if (found[i]) {
      const high = Math.max(2, 44 * found[i] / most);
      path += `M${i + .08} 46v${-high}h.84v${high}z`;
    }
  const e = document.createElementNS("http://www.w3.org/2000/svg", "path");
  e.setAttribute("class", name);
  e.setAttribute("d", path);
  return e;
}

function drawTime() {
  const svg = $("time").querySelector("svg");

  $("time").hidden = !times;
  if (!times)
    return;
  const all = bins(state.cores), most = Math.max(1, ...all), group = chosen();
  svg.setAttribute("viewBox", `0 0 ${BINS} 46`);
  svg.replaceChildren(bars(all, most, "all"));
  if (group)
    svg.append(bars(bins(group.cores), most, "chosen"));
  $("time-caption").replaceChildren(element("span", {}, stamp(times.low) + " UTC"),
    element("span", {}, "when cores were written"), element("span", {}, stamp(times.high) + " UTC"));
}

/* Dragging over it writes a filter. */
function brush(svg) {
  const at = event => {
    const box = svg.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
  };
  let start = null, mark = null;

  svg.addEventListener("pointerdown", event => {
    start = at(event);
    svg.setPointerCapture(event.pointerId);
    mark = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    mark.setAttribute("class", "brush");
    mark.setAttribute("height", "46");
    svg.append(mark);
  });
  svg.addEventListener("pointermove", event => {
    if (start === null)
      return;
    mark.setAttribute("x", Math.min(start, at(event)) * BINS);
    mark.setAttribute("width", Math.abs(at(event) - start) * BINS);
  });
  svg.addEventListener("pointercancel", () => {
    start = null;
    drawTime();
  });
  svg.addEventListener("pointerup", event => {
    const end = at(event), whole = times.high - times.low, begin = start;

    start = null;
    mark.remove();
    if (begin === null || Math.abs(end - begin) < .004)
      return;
    const moment = part => stamp(Math.round(times.low + part * whole)).replace(" ", "T") + "Z";
    setFilter([...state.filter.replace(/(^|\s)time:\S+/g, "").split(/\s+/).filter(Boolean),
      `time:${moment(Math.min(begin, end))}..${moment(Math.max(begin, end))}`].join(" "));
  });
}
