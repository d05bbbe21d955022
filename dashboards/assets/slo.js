// Cells of the table of objectives. Values come from data: they are set as text, never as HTML.
(function () {
  const cells = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});
  const functions = (window.dashAgGridFunctions = window.dashAgGridFunctions || {});
  const { missing, h, go } = window.observeCells; // of grid.js, which is loaded before
  const at = (v) => Math.max(0, Math.min(100, v * 100)) + "%";

  function link(path, change, text, name) {
    const query = new URLSearchParams(window.location.search);
    ["state", "model", "id"].forEach((part) => query.delete(part));
    Object.entries(change).forEach(([part, value]) => query.set(part, value));
    const href = path + (String(query) ? "?" + query.toString() : "");
    return h("a", { href, className: name, onClick: (e) => go(e, href) }, text);
  }
  // The objective, and below it its model.
  cells.SloCell = (p) => h("div", { className: "slo-cell" },
    link("/slos", { id: p.value }, String(p.data.slo), "slo-name"),
    link("/model/" + encodeURIComponent(p.data.model), {}, String(p.data.model), "dim"));
  // What is left as a bar; the thin line over it is the 95 % interval.
  cells.LeftCell = (p) => {
    if (missing(p.value)) return h("span", { className: "dim" }, "◌ not known");
    const kind = p.value <= 0 ? " out" : p.value < 0.25 ? " low" : "";
    const low = Math.max(0, Math.min(1, p.data.low)), high = Math.max(0, Math.min(1, p.data.high));
    const known = !missing(p.data.low) && !missing(p.data.high);
    const line = known ? h("div", { className: "sure", style: { left: at(low), width: Math.max(1, (high - low) * 100) + "%" } }) : null;
    const said = functions.observe_share(p.value) + (known ? ", 95 %: " + functions.observe_share(p.data.low) + " to " + functions.observe_share(Math.min(1, p.data.high)) : "");
    return h("div", { className: "budget-cell left-cell" + kind, title: said },
      h("span", { className: "text" }, functions.observe_share(p.value)),
      h("div", { className: "track" }, h("div", { className: "bar", style: { width: at(p.value) } }), line));
  };
  // The share of good requests with as many digits as tell it from what is promised.
  cells.PromiseCell = (p) => {
    const goal = functions.observe_share(p.data.objective);
    if (missing(p.value)) return h("span", { className: "dim" }, "– of " + goal);
    const digits = Math.max(1, Math.ceil(-Math.log10(1 - p.data.objective) - 1e-9));
    return h("span", null, (p.value * 100).toFixed(digits), h("span", { className: "dim" }, " of " + goal));
  };
  cells.BurnsCell = (p) => {
    const values = [p.value, p.data.burn_6h, p.data.burn_3d];
    if (values.every(missing)) return "–";
    return h("span", { className: "burns-cell" }, ...values.map((v, i) => h("span", { key: i, className: v >= 1 ? "over" : "" }, functions.observe_times(v))));
  };
})();
