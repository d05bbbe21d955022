// How table cells are drawn. Values come from data: they are set as text, never as HTML.
(function () {
  const functions = (window.dashAgGridFunctions = window.dashAgGridFunctions || {});
  const cells = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});
  const missing = (v) => v === null || v === undefined || Number.isNaN(v);
  const signs = { page: "■", ticket: "▲", ok: "●", inform: "◆", failing: "■", silent: "▲", spent: "▲" };
  const kinds = { failing: "page", silent: "ticket", spent: "ticket" };
  const h = (...args) => window.React.createElement(...args);

  function share(v) {
    if (missing(v)) return "–";
    const p = v * 100, gap = Math.min(Math.abs(p), Math.abs(100 - p)) + 1e-9;
    return String(Number(p.toFixed(gap >= 10 || gap < 1e-8 ? 0 : gap >= 1 ? 1 : gap >= 0.1 ? 2 : 3))).replace("-", "−") + " %";
  }
  functions.observe_share = share;
  functions.observe_count = (v) => (missing(v) ? "–" : Math.round(v).toLocaleString("en"));
  functions.observe_times = (v) => (missing(v) ? "–" : (v >= 10 ? v.toFixed(0) : v.toFixed(1)) + "×");
  functions.observe_usd = (v) => (missing(v) ? "–" : "$" + (v < 100 ? v.toFixed(2) : Math.round(v).toLocaleString("en")));
  functions.observe_seconds = (v) => (missing(v) ? "–" : v < 1 ? Math.round(v * 1000) + " ms" : v.toFixed(1) + " s");
  functions.observe_span = (v) => {
    if (missing(v)) return "–";
    const parts = [];
    let left = Math.floor(v);
    for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]]) {
      if (left >= size) { parts.push(Math.floor(left / size) + " " + unit); left %= size; } else if (parts.length) break;
    }
    return parts.slice(0, 2).join(" ") || "0 s";
  };
  functions.observe_celsius = (v) => (missing(v) ? "–" : Math.round(v) + " °C");
  functions.observe_clock = (v) => (missing(v) ? "–" : String(v).slice(0, 16).replace("T", " "));
  functions.observe_number = (v) => (missing(v) ? "–" : String(Number(Number(v).toPrecision(3))).replace("-", "−"));

  function go(event, href) {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    window.history.pushState({}, "", href);
    window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
    window.scrollTo(0, 0);
  }
  window.observeCells = { missing, h, go };
  function link(path, text) {
    const query = window.location.search.replace(/([?&])(id|feature|slo)=[^&]*/g, "$1");
    const href = path + (query.length > 1 ? query : "");
    return h("a", { href, onClick: (e) => go(e, href) }, text);
  }
  const model = (name) => link("/model/" + encodeURIComponent(name), name);
  cells.ModelCell = (p) => {
    if (missing(p.value)) return "–";
    const names = String(p.value).split(", "); // of an incident that several share
    return names.length === 1 ? model(names[0]) : h("span", null, ...names.flatMap((n, i) => (i ? [", ", model(n)] : [model(n)])));
  };
  function incident(id, text, name) {
    const query = new URLSearchParams(window.location.search);
    query.set("id", id);
    const href = "/incidents?" + query.toString();
    return h("a", { href, className: name, onClick: (e) => go(e, href) }, text);
  }
  cells.IncidentCell = (p) => (missing(p.value) ? "–" : incident(p.value, String(p.value)));
  cells.HappenedCell = (p) => h("div", { className: "said-cell" }, incident(p.data.id, String(p.value), "two"));
  cells.StateCell = (p) => {
    const word = missing(p.value) ? "unknown" : String(p.value);
    const kind = word === "inform" || word === "inform only" ? "info" : kinds[word] || (signs[word] ? word : "unknown");
    return h("span", { className: "badge " + kind }, h("span", { className: "sign", "aria-hidden": true }, signs[word] || "◌"), word);
  };
  cells.SaidCell = (p) => {
    const more = p.data[p.colDef.field + "_more"];
    return h("div", { className: "said-cell" }, h("span", { className: more ? "one" : "two" }, missing(p.value) ? "–" : String(p.value)),
      more ? h("span", { className: "one dim" }, String(more)) : null);
  };
  cells.BudgetCell = (p) => {
    if (missing(p.value)) return "–";
    const kind = p.value <= 0 ? " out" : p.value < 0.25 ? " low" : "";
    const bar = h("div", { className: "bar", style: { width: Math.max(0, Math.min(100, p.value * 100)) + "%" } });
    return h("div", { className: "budget-cell" + kind }, h("span", { className: "text" }, share(p.value)), h("div", { className: "track" }, bar));
  };
})();
