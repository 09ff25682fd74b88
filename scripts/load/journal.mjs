// What k6's clients wrote to the console (k6/lib/notes.ts), read again: by their verification over HTTP, and by the report.
import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { createServer } from 'node:http';
import { listenLocally } from './listen.mjs';

const CHUNK = 1 << 20;
const NOTE = 'note ';

/** @typedef {{ why: string, name: string, status: number, ms: number, id: string, said?: string }} Trace */

export class Journal {
  /** @type {string} */
  #file;
  #read = 0;
  /** Of a line that is not whole yet. */
  #rest = Buffer.alloc(0);
  /** By merchant. @type {Map<string, string[]>} */
  #postings = new Map();
  /** By merchant and follower. @type {Map<string, Record<string, string[]>>} */
  #heard = new Map();
  /** @type {Trace[]} */
  traces = [];
  /** What is for people. @type {string[]} */
  said = [];

  /** @param {string} file */
  constructor(file) {
    this.#file = file;
  }

  /** Whatever has been written since. k6 writes a line before it goes on. */
  readOn() {
    if (!existsSync(this.#file)) return;
    const file = openSync(this.#file, 'r');
    const chunk = Buffer.alloc(CHUNK);
    for (let bytes = 1; bytes > 0; ) {
      bytes = readSync(file, chunk, 0, CHUNK, this.#read);
      this.#read += bytes;
      this.#take(Buffer.concat([this.#rest, chunk.subarray(0, bytes)]));
    }
    closeSync(file);
  }

  /** @param {Buffer} bytes */
  #take(bytes) {
    const end = bytes.lastIndexOf('\n') + 1;
    this.#rest = Buffer.from(bytes.subarray(end));
    for (const line of bytes.subarray(0, end).toString().split('\n')) {
      if (line.startsWith(NOTE)) this.#note(JSON.parse(line.slice(NOTE.length)));
      else if (line !== '') this.said.push(line);
    }
  }

  /** @param {{ postings?: { merchant: string }[], heard?: { merchant: string, follower: string, ids: string[] }, trace?: Trace }} note */
  #note({ postings = [], heard, trace }) {
    for (const posting of postings) {
      const own = this.#postings.get(posting.merchant) ?? [];
      // As text: of a long run there are many.
      own.push(JSON.stringify(posting));
      this.#postings.set(posting.merchant, own);
    }
    if (heard) {
      const followers = this.#heard.get(heard.merchant) ?? {};
      this.#heard.set(heard.merchant, followers);
      followers[heard.follower] ??= [];
      for (const id of heard.ids) followers[heard.follower]?.push(id);
    }
    if (trace) this.traces.push(trace);
  }

  /** @param {string} path @param {string} merchant JSON */
  answer(path, merchant) {
    this.readOn();
    if (path === '/postings') return `[${(this.#postings.get(merchant) ?? []).join()}]`;
    return path === '/heard' ? JSON.stringify(this.#heard.get(merchant) ?? {}) : undefined;
  }

  /** @returns its URL, on the loopback; it lives as long as this process */
  async serve() {
    const server = createServer((request, response) => {
      const { pathname, searchParams } = new URL(request.url ?? '/', 'http://journal');
      const text = this.answer(pathname, searchParams.get('merchant') ?? '');
      response.writeHead(text === undefined ? 404 : 200, { 'content-type': 'application/json' });
      response.end(text);
    });
    server.unref();
    return listenLocally(server);
  }
}
