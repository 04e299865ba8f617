/**
 * Asks whether something should be done that cannot be taken back.
 */

import { freshId, h } from "../dom.js";

/**
 * Resolves to whether the person agreed.
 * @param {string} question
 * @param {Node} thing What it is about.
 * @param {string} consequence
 * @param {string} verb What the button says that agrees.
 * @returns {Promise<boolean>}
 */
export function confirmed(question, thing, consequence, verb) {
  const id = freshId("question");
  const agree = h("button", { type: "button", class: "button danger", onclick: () => dialog.close("yes") }, verb);
  const refuse = h("button", { type: "button", class: "button", onclick: () => dialog.close() }, "Cancel");
  const dialog = h(
    "dialog", { class: "confirm card", "aria-labelledby": id },
    h("h2", { id }, question), h("p", {}, thing, consequence), h("div", { class: "confirm-buttons" }, refuse, agree),
  );
  document.body.append(dialog);
  dialog.showModal();
  refuse.focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
  });
}
