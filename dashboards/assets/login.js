// A link from elsewhere arrives without the strict cookie; asked from here, the same browser has it.
(function () {
  const form = document.querySelector("form[data-check='1']");
  if (!form || window.location.search.indexOf("out=1") >= 0) return;
  fetch("/login/check", { credentials: "same-origin", cache: "no-store" })
    .then((answer) => answer.text())
    .then((text) => { if (text === "yes") window.location.replace(form.elements.next.value || "/"); })
    .catch(() => {});
})();
