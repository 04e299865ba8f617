/**
 * Short messages at the edge of the page. Errors stay until they are closed; the rest go after a while.
 */

import { byId, h, iconButton } from "../dom.js";

const SECONDS = 6;
const MOST = 3;

/**
 * @param {string} text
 * @param {{error?: boolean}} [options]
 */
export function toast(text, { error = false } = {}) {
  const holder = byId("toasts");
  const already = [...holder.children].find((one) => one.firstChild?.textContent === text);
  already?.remove();
  const close = iconButton("remove", "Close the message", { onclick: () => message.remove() });
  const message = h(
    "div",
    { class: error ? "toast error" : "toast", role: error ? "alert" : "status" },
    h("p", {}, text),
    close,
  );
  holder.append(message);
  while (holder.children.length > MOST) holder.firstChild?.remove();
  if (!error) setTimeout(() => message.remove(), SECONDS * 1000);
}
