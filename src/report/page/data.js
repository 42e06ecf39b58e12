/*
 * The page of `gocore-stub report`. Its data are tables of numbers that point into lists of texts
 * (src/report/tables.c writes them). Texts come out of cores: they reach the page by textContent only.
 */

const data = JSON.parse(document.getElementById("data").textContent);
const texts = data.texts, values = data.values, stacks = data.stacks, cores = data.cores;
const column = Object.fromEntries(data.columns.map((name, i) => [name, i]));
const lowered = texts.map(text => text.toLowerCase());
const paths = new Map(cores.map(core => [core, core[column.core].toLowerCase()])); /* for the filter */

/* A cell of a core. Columns of texts hold a number in `texts`, 0 for none. */
const cell = (core, name) => core[column[name]];
const textOf = (core, name) => texts[cell(core, name)];

const KEYS = [
  ["top", "program and stack"], ["exact", "exact (build and offsets)"], ["site", "site (where it stopped)"],
  ["signal", "signal"], ["program", "program"], ["panic", "panic or fatal error"],
];
/* Filter names and the columns that they look in. */
const FIELDS = {
  program: ["program"], build: ["build_id"], arch: ["arch"], signal: ["signal", "code"], go: ["go"], module: ["module"], host: ["host"],
  panic: ["panic"], signature: ["top", "exact", "site"], error: ["error", "problems"], place: ["place"], function: [], core: [],
};
const FIELD_HELP = {
  program: "path of the program", build: "build ID", arch: "x86_64, aarch64", signal: "SIGSEGV, SEGV_MAPERR, ...",
  go: "version of Go", module: "Go's main module", host: "where it crashed", panic: "panic or fatal error", signature: "any of the three",
  error: "why a core was not read, or what was damaged", place: "function and line of the fault",
  function: "in the stack", core: "path of the core",
};
const FACETS = ["signal", "arch", "program", "go", "host"];
const PAGE = 50; /* rows added at a time */
