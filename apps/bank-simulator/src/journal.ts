import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';

/**
 * What the bank must not forget: a file to which each change is appended before anybody hears of it, and which is read when the bank
 * starts. What `kill -9` cuts off in the middle of a line was told nobody. Without a file nothing is kept.
 */
export class Journal<Entry> {
  #fd: number | undefined;
  readonly #entries: Entry[] = [];

  constructor(file: string | undefined) {
    if (file === undefined) return;
    this.#fd = openSync(file, 'a+', 0o600);
    const text = readFileSync(this.#fd, 'utf8');
    const whole = text.slice(0, text.lastIndexOf('\n') + 1);
    ftruncateSync(this.#fd, Buffer.byteLength(whole));
    this.#entries = whole
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line));
  }

  /** What was there at the start, once. */
  read(): Entry[] {
    return this.#entries.splice(0);
  }

  append(entry: Entry): void {
    if (this.#fd !== undefined) writeSync(this.#fd, `${JSON.stringify(entry)}\n`);
  }

  /** Nothing is kept from now on. */
  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}
