// Tables that sort, links that open what they lead to, hints that a table scrolls; and the start of all.

function sortable(made) {
  all("thead th", made).forEach((head, column) => {
    const button = make("button", { type: "button" }, ...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending",
        body = made.tBodies[0];
      all("thead th", made).forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = line => line.cells[column].textContent.trim(),
        number = text => parseFloat(text.replace("Δ", "").replace("−", "-"));
      body.append(
        ...[...body.rows].sort((a, b) => {
          const [one, other] = [key(a), key(b)],
            difference = number(one) - number(other);
          if (Number.isNaN(difference))
            return Number.isNaN(number(one)) && Number.isNaN(number(other))
              ? (up ? 1 : -1) * one.localeCompare(other)
              : Number.isNaN(number(one))
                ? 1
                : -1;
          return up ? difference : -difference;
        }),
      );
    });
  });
}

const place = () => decodeURIComponent(location.hash.slice(1));

function follow() {
  if (DATA.runs[place()]) return showRun(place());
  if (dialog.open) dialog.close();
  const target = place() && document.getElementById(place());
  if (!target) return;
  for (let above = target; above; above = above.parentElement) if (above.tagName === "DETAILS") above.open = true;
  target.scrollIntoView();
}

all("details.row[data-row]").forEach(section => {
  section.addEventListener("toggle", () => section.open && drawRow(section));
  if (section.open) drawRow(section);
});
all("table.sortable").forEach(sortable);
for (const head of all("tbody th"))
  if (!head.childElementCount)
    head.replaceChildren(...head.textContent.split(/(?<=_)/).flatMap(part => [part, make("wbr")])); // logistic_regression
all("a[data-run]").forEach(link =>
  link.addEventListener("click", event => {
    event.preventDefault();
    location.hash = link.dataset.run;
  }),
);
function hint(box) {
  box.classList.toggle("more", box.scrollLeft + box.clientWidth < box.scrollWidth - 2);
  box.tabIndex = box.scrollWidth > box.clientWidth + 1 ? 0 : -1; // Tab stops only where there is something to scroll
}
const hints = new ResizeObserver(entries => entries.forEach(({ target }) => hint(target)));
all(".scroll").forEach(box => {
  hints.observe(box);
  box.addEventListener("scroll", () => hint(box));
  box.addEventListener("focusin", ({ target }) => target.scrollIntoView({ block: "nearest", inline: "nearest" }));
});
addEventListener("hashchange", follow);
fill();
follow();
