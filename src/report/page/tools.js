/* Small things. */

const $ = id => document.getElementById(id);

function element(name, attributes, ...children) {
  const e = document.createElement(name);

  for (const [key, value] of Object.entries(attributes || {})) {
    if (key === "class")
      e.className = value;
    else if (key.startsWith("on"))
      e.addEventListener(key.slice(2), value);
    else if (value !== false && value !== undefined)
      e.setAttribute(key, value === true ? "" : value);
  }
  e.append(...children.filter(child => child !== null && child !== undefined));
  return e;
}

const count = n => n.toLocaleString("en");
const plural = (n, one, many) => count(n) + " " + (n === 1 ? one : many || one + "s");
const baseName = path => path.slice(path.lastIndexOf("/") + 1) || path;
const stamp = seconds => new Date(seconds * 1000).toISOString().replace(".000", "").replace("T", " ").replace("Z", "");
const byCount = (a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1);

/* The texts in a column: [number, how many cores], the most frequent first. */
function countTexts(list, name) {
  const c = column[name], found = new Map();

  for (const core of list)
    if (core[c])
      found.set(core[c], (found.get(core[c]) || 0) + 1);
  return [...found].sort(byCount);
}

const tally = (list, name) => countTexts(list, name).map(([number, n]) => [texts[number], n]);

/* What a shell reads as one word, whatever is in it. */
function shellWord(text) {
  if (/^[\w@%+=:,./-]+$/.test(text) && !text.startsWith("-"))
    return text;
  if (/[\x00-\x1f\x7f]/.test(text))
    return "$'" + text.replace(/[\\']/g, "\\$&").replace(/[\x00-\x1f\x7f]/g,
      c => "\\x" + c.charCodeAt(0).toString(16).padStart(2, "0")) + "'";
  return "'" + text.replace(/'/g, "'\\''") + "'";
}
