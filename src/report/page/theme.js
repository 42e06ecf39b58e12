/* Light or dark: as the system has it, until it is chosen. */
function theme() {
  const dark = matchMedia("(prefers-color-scheme: dark)"), root = document.documentElement;
  let own = null;

  try { own = localStorage.getItem("gocore-stub-theme"); } catch { /* a page from disk may have no storage */ }
  const show = () => {
    root.dataset.theme = own || (dark.matches ? "dark" : "light");
    $("theme").textContent = root.dataset.theme === "dark" ? "Light" : "Dark";
  };
  dark.addEventListener("change", show);
  $("theme").addEventListener("click", () => {
    own = root.dataset.theme === "dark" ? "light" : "dark";
    try { localStorage.setItem("gocore-stub-theme", own); } catch { /* it lasts as long as the page */ }
    show();
  });
  show();
}
