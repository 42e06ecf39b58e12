/* The cores, and how to open them. */

const COMMANDS = [
  ["serve", "serve to a debugger", ""], ["snapshot", "stacks and registers", "snapshot "], ["goroutines", "goroutines", "goroutines "],
];
let commandWord = "";

function copyButton(text) {
  const button = element("button", { type: "button", title: "Copy the command", onclick: async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(button.previousElementSibling);
      button.textContent = "selected";
    }
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  } }, "copy");
  return button;
}

function coreRow(core) {
  const path = cell(core, "core"), bare = path && !path.includes("/"); /* it may be the name of a command, or of an option */
  const command = "gocore-stub " + commandWord + shellWord(bare || path.startsWith("-") ? "./" + path : path);
  const time = cell(core, "time");

  return element("tr", {}, element("td", { class: "num" }, time === null ? "" : stamp(time)),
    element("td", { class: "path" }, path, cell(core, "problems") ? element("div", { class: "soft" }, textOf(core, "problems")) : null),
    element("td", { class: "num" }, cell(core, "pid") === null ? "" : String(cell(core, "pid"))),
    element("td", {}, textOf(core, "arch")),
    element("td", { class: "command" }, element("code", {}, command), " ", copyButton(command)));
}

function coresPart(group) {
  const body = element("tbody"), more = element("p");
  const sorted = [...group.cores].sort((a, b) => (cell(b, "time") || 0) - (cell(a, "time") || 0));
  let shown = 0;
  const add = n => {
    body.append(...sorted.slice(shown, shown + n).map(coreRow));
    shown = Math.min(sorted.length, shown + n);
    more.replaceChildren(shown < sorted.length
      ? element("button", { type: "button", onclick: () => add(PAGE) },
        `Show ${Math.min(PAGE, sorted.length - shown)} more of ${count(sorted.length - shown)}`) : "");
  };
  const select = element("select", { "aria-label": "Command", onchange: () => {
    const n = shown;
    commandWord = COMMANDS[select.selectedIndex][2];
    body.replaceChildren();
    shown = 0;
    add(n);
  } }, ...COMMANDS.map(([, title, word]) => element("option", { selected: word === commandWord }, title)));

  add(20);
  return [element("h2", {}, "Cores"), element("p", { class: "soft" }, "Command to ", select),
    element("div", { class: "scroll" }, element("table", {},
      element("thead", {}, element("tr", {},
        ...["Written (UTC)", "Core", "pid", "Architecture", "Command"].map(name => element("th", {}, name)))), body)), more];
}
