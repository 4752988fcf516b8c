(() => {
  const root = document.documentElement;
  const wanted = location.hash.slice(1);
  if (wanted === "dark" || wanted === "light") root.classList.add(wanted);
  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.classList.contains("dark") ||
      (!root.classList.contains("light") && matchMedia("(prefers-color-scheme: dark)").matches);
    root.classList.remove("dark", "light");
    root.classList.add(dark ? "light" : "dark");
  });
})();
