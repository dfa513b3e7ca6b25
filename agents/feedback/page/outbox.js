// Answers on their way. Each is kept in the browser until the server has said that it is stored, and is sent again, under
// the same submission id, for as long as the server cannot be reached: after a reload, too.

const PREFIX = "textgym-feedback:outbox:";
const FOR_GOOD = [400, 404, 409, 413, 422]; // the answer is wrong; by others only the way it came
const memory = new Map(); // where the browser keeps nothing

export const kept = {
  get(name) {
    try { return localStorage.getItem(name) ?? memory.get(name) ?? null; } catch { return memory.get(name) ?? null; }
  },
  set(name, value) {
    try { localStorage.setItem(name, value); } catch { memory.set(name, value); }
  },
  remove(name) {
    memory.delete(name);
    try { localStorage.removeItem(name); } catch { /* nothing is kept */ }
  },
  names() {
    try { return [...Object.keys(localStorage), ...memory.keys()]; } catch { return [...memory.keys()]; }
  },
};

/** An id that nobody else makes; not randomUUID, which only encrypted pages have. */
export function newSubmission() {
  const random = crypto.getRandomValues(new Uint8Array(12));
  return Date.now().toString(36) + "-" + Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Refusal extends Error {
  constructor(status, code, detail) {
    super(code);
    Object.assign(this, { status, code, detail });
  }
}

/** The JSON that the server answers; a Refusal for what it refuses; another error where it cannot be reached. */
export async function ask(path, token, body) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const post = { method: "POST", body: JSON.stringify(body), headers: { ...headers, "Content-Type": "application/json" } };
  const answer = await fetch(path, body === undefined ? { headers } : post);
  if (answer.status >= 500) throw new Error(`status ${answer.status}`);
  const said = await answer.json();
  if (!answer.ok) throw new Refusal(answer.status, said.error, said.detail);
  return said;
}

export function put(path, body) {
  const name = PREFIX + body.submission;
  kept.set(name, JSON.stringify({ path, body }));
  return name;
}

/** Names of the answers that are still on their way, the oldest first. */
export const waiting = () => kept.names().filter((name) => name.startsWith(PREFIX)).sort();

/**
 * Send an answer until the server has it.
 * A refusal for good throws, and the answer is dropped; another one, such as for want of a token, throws, and it stays.
 */
export async function send(name, token, onRetry) {
  for (let wait = 250; ; wait = Math.min(2 * wait, 4000)) {
    const saved = kept.get(name);
    if (saved === null) return null; // another tab has sent it
    const { path, body } = JSON.parse(saved);
    try {
      const said = await ask(path, token(), body);
      kept.remove(name);
      return said;
    } catch (error) {
      if (error instanceof Refusal) {
        if (FOR_GOOD.includes(error.status)) kept.remove(name);
        throw error;
      }
      onRetry();
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
}
