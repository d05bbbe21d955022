// What the browser does by itself: theme, navigation on a phone, brushing a range, saving a table.
window.dash_clientside = window.dash_clientside || {};
(function () {
  const none = () => window.dash_clientside.no_update;

  function brushed(events) {
    for (const event of events || []) {
      if (event && event["xaxis.range[0]"] !== undefined) return [event["xaxis.range[0]"], event["xaxis.range[1]"]];
    }
    return null;
  }

  function instant(value) {
    const text = typeof value === "number" ? new Date(value).toISOString() : String(value).replace(" ", "T");
    return text.slice(0, 19) + "Z";
  }

  window.dash_clientside.observe = {
    // Another page or range is asked for: what is shown is dimmed until it has come.
    asked: () => {
      document.documentElement.dataset.asked = "";
    },
    drawn: () => {
      delete document.documentElement.dataset.asked;
    },
    toggleTheme: (_clicks, look) => (look === "dark" ? "light" : "dark"),
    look: (stored) => {
      const os = window.matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
      const look = stored === "light" || stored === "dark" ? stored : os;
      return [look, look];
    },
    toggleNav: (opened, _path, navbar) => {
      const asked = window.dash_clientside.callback_context.triggered.some((t) => t.prop_id === "burger.opened");
      const open = Boolean(asked && opened);
      return [Object.assign({}, navbar, { collapsed: { mobile: !open } }), open];
    },
    brush: (events, search) => {
      const range = brushed(events);
      if (!range) return none();
      const query = new URLSearchParams(search || "");
      query.delete("range");
      query.set("from", instant(range[0]));
      query.set("to", instant(range[1]));
      return "?" + query.toString();
    },
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest && event.target.closest("button[id*='\"csv\"']");
    if (!button || !window.dash_ag_grid) return;
    const name = JSON.parse(button.id).index;
    window.dash_ag_grid.getApi({ type: "grid", index: name }).exportDataAsCsv({ fileName: "observe-" + name + ".csv" });
  });
})();
