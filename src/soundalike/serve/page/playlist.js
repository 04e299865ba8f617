/**
 * The playlist that a person collects, kept in this browser. Events: "change".
 */

const KEY = "soundalike.playlist";

/** @typedef {{id: number, title: string, artist: string}} Entry */

/**
 * What is stored, as far as it is a playlist.
 * @param {string | null} text
 * @returns {Entry[]}
 */
export function readEntries(text) {
  try {
    const found = JSON.parse(text ?? "[]");
    if (!Array.isArray(found)) return [];
    return found
      .filter((one) => Number.isSafeInteger(one?.id) && one.id >= 1)
      .map((one) => ({ id: one.id, title: String(one.title ?? ""), artist: String(one.artist ?? "") }));
  } catch {
    return [];
  }
}

/**
 * A list with one entry moved by `step` places.
 * @template T
 * @param {T[]} list
 * @param {number} at
 * @param {number} step
 */
export function moved(list, at, step) {
  const to = Math.min(Math.max(at + step, 0), list.length - 1);
  const copy = [...list];
  copy.splice(to, 0, ...copy.splice(at, 1));
  return copy;
}

export class Playlist extends EventTarget {
  constructor() {
    super();
    this.entries = readEntries(localStorage.getItem(KEY));
    addEventListener("storage", (event) => {
      if (event.key === KEY) this.#set(readEntries(event.newValue), false);
    });
  }

  /** @param {number} id */
  has(id) {
    return this.entries.some((entry) => entry.id === id);
  }

  /**
   * Add tracks that it lacks. Returns how many there were.
   * @param {Entry[]} entries
   */
  add(entries) {
    const fresh = entries.filter((entry, at) => !this.has(entry.id) && entries.findIndex((one) => one.id === entry.id) === at);
    if (fresh.length) this.#set([...this.entries, ...fresh]);
    return fresh.length;
  }

  /** @param {number} id */
  remove(id) {
    this.#set(this.entries.filter((entry) => entry.id !== id));
  }

  /**
   * @param {number} at
   * @param {number} step
   */
  move(at, step) {
    this.#set(moved(this.entries, at, step));
  }

  clear() {
    this.#set([]);
  }

  /**
   * @param {Entry[]} entries
   * @param {boolean} [store]
   */
  #set(entries, store = true) {
    this.entries = entries;
    if (store) localStorage.setItem(KEY, JSON.stringify(entries));
    this.dispatchEvent(new Event("change"));
  }
}
