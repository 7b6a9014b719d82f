// Which claims are shown: by answer, chapter and source. It stands in the address (#answer=NULL,OPEN&source=…), to be shared.
(() => {
  const form = document.getElementById("filters");
  const items = [...document.querySelectorAll(".filtered-by")];
  const claims = document.querySelectorAll("article.filtered-by").length;
  const chips = [...form.querySelectorAll("button[data-by]")];
  const selects = [...form.querySelectorAll("select")];
  const note = document.getElementById("filtered");

  function chosen() {
    const pressed = chips.filter(chip => chip.getAttribute("aria-pressed") === "true").map(chip => chip.value);
    const wanted = Object.fromEntries(selects.map(select => [select.dataset.by, select.value ? [select.value] : []]));
    return { answer: pressed, ...wanted };
  }

  function show() {
    const wanted = chosen();
    for (const item of items)
      item.hidden = Object.entries(wanted).some(([by, values]) => values.length && !values.includes(item.dataset[by]));
    for (const group of document.querySelectorAll("[data-holds]"))
      group.hidden = !group.querySelector(".filtered-by:not([hidden])");
    const left = document.querySelectorAll("article.filtered-by:not([hidden])").length;
    note.hidden = left === claims;
    note.firstElementChild.textContent = `${left} of ${claims} claims are shown.`;
  }

  function write() {
    const words = Object.entries(chosen()).filter(([, values]) => values.length).map(([by, values]) => [by, values.join(",")]);
    history.replaceState(null, "", words.length ? `#${new URLSearchParams(words)}` : "#overview");
    show();
  }

  function read() {
    const words = new URLSearchParams(location.hash.slice(1));
    const anchor = location.hash.length > 1 && !["answer", "chapter", "source"].some(by => words.has(by));
    const target = anchor ? document.getElementById(decodeURIComponent(location.hash.slice(1))) : null;
    if (anchor && !target?.closest(".filtered-by[hidden]")) return; // a link within the page leaves the filter alone
    const answers = (words.get("answer") ?? "").split(",");
    for (const chip of chips) chip.setAttribute("aria-pressed", answers.includes(chip.value));
    for (const select of selects) select.value = words.get(select.dataset.by) ?? "";
    for (const select of selects) if (select.selectedIndex < 0) select.value = "";
    show();
    target?.scrollIntoView();
  }

  form.addEventListener("click", event => {
    const chip = event.target.closest("button[data-by]");
    if (chip) chip.setAttribute("aria-pressed", chip.getAttribute("aria-pressed") !== "true");
    if (event.target.id === "show-all") {
      chips.forEach(each => each.setAttribute("aria-pressed", "false"));
      selects.forEach(each => (each.value = ""));
    }
    if (chip || event.target.id === "show-all") write();
  });
  form.addEventListener("change", write);
  form.addEventListener("submit", event => event.preventDefault());
  addEventListener("hashchange", read);
  const closed = [];
  addEventListener("beforeprint", () => {
    closed.splice(0, Infinity, ...document.querySelectorAll("details:not([open])"));
    closed.forEach(each => (each.open = true));
  });
  addEventListener("afterprint", () => closed.forEach(each => (each.open = false)));
  form.hidden = false;
  read();
})();
