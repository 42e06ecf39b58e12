/* Filtering. */

function tokens(line) {
  const list = [], pattern = /(-?)(?:([a-z]+):)?(?:"([^"]*)"?|(\S+))/gi;
  let m;

  while ((m = pattern.exec(line))) {
    let field = (m[2] || "").toLowerCase(), word = m[3] !== undefined ? m[3] : m[4];

    if (field && field !== "time" && field !== "is" && !(field in FIELDS)) {
      word = m[2] + ":" + word;
      field = "";
    }
    if (word)
      list.push({ not: m[1] === "-", field, word: word.toLowerCase() });
  }
  return list;
}

/* Which texts hold a word: looked up once, then a core costs a few array reads. */
const wordCache = new Map();

function textsWith(word) {
  let found = wordCache.get(word);

  if (!found) {
    if (wordCache.size > 64)
      wordCache.clear();
    found = { texts: new Uint8Array(texts.length), stacks: null };
    for (let i = 0; i < lowered.length; i++)
      if (lowered[i].includes(word))
        found.texts[i] = 1;
    found.stacks = Uint8Array.from(stacks, stack => stack.some(f => found.texts[f[0]] || found.texts[f[1]]) ? 1 : 0);
    wordCache.set(word, found);
  }
  return found;
}

const WORD_COLUMNS = [...new Set(Object.values(FIELDS).flat())].map(name => column[name]);

function timeTest(word) {
  const [from, to] = word.includes("..") ? word.split("..") : [word, word];
  const parse = (text, end) => {
    const whole = /^\d{4}-\d\d-\d\d$/.test(text), at = Date.parse(text.toUpperCase() + (whole ? "T00:00:00Z" : /z$/.test(text) ? "" : "Z"));
    return at / 1000 + (whole && end ? 86399 : 0);
  };
  const low = from ? parse(from, false) : -Infinity, high = to ? parse(to, true) : Infinity, at = column.time;

  return core => core[at] !== null && core[at] >= low && core[at] <= high;
}

function testOf({ field, word }) {
  if (field === "time")
    return timeTest(word);
  if (field === "is")
    return word === "failed" ? core => core[column.error] !== 0 : core => core[column.error] === 0;
  const found = textsWith(word), stack = column.stack;
  const columns = field ? FIELDS[field].map(name => column[name]) : WORD_COLUMNS;
  const inStack = !field || field === "function", inPath = !field || field === "core";

  return core => {
    for (const c of columns)
      if (found.texts[core[c]])
        return true;
    return inStack && core[stack] >= 0 && found.stacks[core[stack]] === 1 || inPath && paths.get(core).includes(word);
  };
}

function filtered(line) {
  const tests = tokens(line).map(token => {
    const test = testOf(token);
    return token.not ? core => !test(core) : test;
  });

  return tests.length ? cores.filter(core => tests.every(test => test(core))) : cores;
}
