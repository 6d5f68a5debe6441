// Starts ReDoc on the address that its own tag names.
"use strict";

Redoc.init(
  document.currentScript.dataset.schema,
  {
    disableSearch: false,
    theme: { typography: { fontFamily: "system-ui, sans-serif", headings: { fontFamily: "system-ui, sans-serif" } } },
  },
  document.getElementById("redoc"),
);
