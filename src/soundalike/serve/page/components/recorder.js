/**
 * Record ten seconds with the microphone. `recorder` is null where the browser cannot record.
 */

import { fill, h, icon } from "../dom.js";

const SECONDS = 10;

/**
 * @param {(recording: Blob) => void} recorded
 * @param {(error: unknown) => void} failed
 */
export function recorder(recorded, failed) {
  if (!navigator.mediaDevices?.getUserMedia || typeof MediaRecorder === "undefined") return null;
  const button = h("button", { type: "button", class: "button" });
  /** @type {MediaRecorder | null} */
  let running = null;

  /** @param {string} text */
  function label(text) {
    fill(button, icon("microphone"), text);
  }

  async function record() {
    const stream = await navigator.mediaDevices.getUserMedia({
      // What cleans up speech takes music away.
      audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    });
    /** @type {Blob[]} */
    const parts = [];
    const taker = new MediaRecorder(stream);
    running = taker;
    taker.ondataavailable = (event) => parts.push(event.data);
    taker.onstop = () => {
      running = null;
      clearInterval(timer);
      for (const track of stream.getTracks()) track.stop();
      label("Record ten seconds");
      recorded(new Blob(parts, { type: taker.mimeType }));
    };
    let left = SECONDS;
    label(`Recording, ${left} s; press to stop`);
    const timer = setInterval(() => {
      left -= 1;
      if (left > 0) label(`Recording, ${left} s; press to stop`);
      else if (taker.state === "recording") taker.stop();
    }, 1000);
    taker.start();
  }

  button.addEventListener("click", () => {
    if (running) running.stop();
    else record().catch((error) => failed(named(error)));
  });
  label("Record ten seconds");
  return button;
}

/** @param {unknown} error */
function named(error) {
  if (error instanceof Error && error.name === "NotAllowedError") {
    return new Error("the browser was not allowed to use the microphone; allow it in the settings of this page");
  }
  if (error instanceof Error && error.name === "NotFoundError") return new Error("there is no microphone");
  return error;
}
