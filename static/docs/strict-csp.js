// ReDoc writes its styles into <style> elements and shows its maker's logo from another host. Under our content
// security policy the first need the page's nonce, and the second is not loaded: the image reports an error at once,
// which ReDoc answers by leaving it out.
"use strict";

const nonce = document.currentScript.nonce;
const createElement = document.createElement.bind(document);

document.createElement = (name, options) => {
  const element = createElement(name, options);
  if (element instanceof HTMLStyleElement) {
    element.nonce = nonce;
  } else if (element instanceof HTMLImageElement) {
    refuseOtherHosts(element);
  }
  return element;
};

function refuseOtherHosts(image) {
  const setAttribute = image.setAttribute.bind(image);
  image.setAttribute = (name, value) => {
    const address = name === "src" ? new URL(value, document.baseURI) : null;
    if (address && address.protocol.startsWith("http") && address.origin !== location.origin) {
      queueMicrotask(() => image.dispatchEvent(new Event("error")));
    } else {
      setAttribute(name, value);
    }
  };
  Object.defineProperty(image, "src", {
    get: () => image.getAttribute("src") ?? "",
    set: (value) => image.setAttribute("src", value),
  });
}
