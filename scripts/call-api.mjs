import { ServicesError } from './services/services-error.mjs';

/**
 * One request to the API, for scripts that are its clients like anybody.
 * @param {{ url: string, key: string, method: string, path: string, body?: unknown, text?: { type: string, content: string }, idempotencyKey?: string | undefined, headers?: Record<string, string> }} request
 *   text: in place of a body in JSON
 * @returns {Promise<any>} the answer's body; anything but success is an error with what the service said
 */
export async function callApi({ url, key, method, path, body, text: given, idempotencyKey, headers: more = {} }) {
  /** @type {Record<string, string>} */
  const headers = { authorization: `Bearer ${key}`, ...more };
  if (given || body !== undefined) headers['content-type'] = given?.type ?? 'application/json';
  if (idempotencyKey !== undefined) headers['idempotency-key'] = idempotencyKey;
  const init = { method, headers, body: given?.content ?? (body === undefined ? null : JSON.stringify(body)) };
  const response = await fetch(url + path, init).catch((error) => {
    throw new ServicesError(`${method} ${path}: ${url} does not answer (${error.cause?.code ?? error.message}).`);
  });
  const text = await response.text();
  if (!response.ok) throw new ServicesError(`${method} ${path} was answered ${response.status}: ${saidBy(text)}`);
  return text === '' ? undefined : JSON.parse(text);
}

/** A problem's code and detail; of another answer, all of it. @param {string} text */
function saidBy(text) {
  try {
    const { code, detail } = JSON.parse(text);
    return code && detail ? `${code}: ${detail}` : text;
  } catch {
    return text;
  }
}
