// Counts the "in 23 h 59 min" down while the page is open. Without this script it stands still, that is all.
for (const time of document.querySelectorAll("time[data-in]")) {
  const end = Date.now() + 1000 * Number(time.dataset.in);
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const tick = () => {
    let rest = Math.round((end - Date.now()) / 1000);
    if (rest <= 0) {
      time.textContent = "over now: reload the page";
      return clearInterval(timer);
    }
    const counts = units.map(([unit, size]) => {
      const count = Math.floor(rest / size);
      rest %= size;
      return [count, unit];
    });
    const first = counts.findIndex(([count]) => count > 0);
    const said = counts.slice(first, first + 2).filter(([count]) => count > 0);
    time.textContent = "in " + said.map((pair) => pair.join(" ")).join(" ");
  };
  const timer = setInterval(tick, 1000);
}
