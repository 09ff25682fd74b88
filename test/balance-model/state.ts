import { HAS_TTL, type KeyCode, KNOWN, ORPHAN, VALUE } from './lua-key.js';

/**
 * One account: what PostgreSQL, Redis and the processes know of it, plus one ghost (`NEED`, the highest version that
 * somebody was told). The reductions are those of cachemodel/state.go: a crash is a process that never moves again; relay,
 * replay and a reader that invalidates are one event; the sweeper has no state; a request begins at its first script and returns
 * with its last step; writers are interchangeable and so are readers.
 */
export type State = Uint8Array;

export const CUR = 0;
export const NEED = 1;
/** The key but for its tokens and its lease's owner, which lie with their writers and readers. */
export const KEY_LOW = 2;
export const VER = 3;
export const LEASE = 4;
export const DOWN = 5;
const FIRST_WRITER = 6;
const WRITER_BYTES = 6;
const READER_BYTES = 3;

/**
 * Fields of a writer. `W_CONFIRMED`: its fence was answered before COMMIT (kept only where that may fail). `W_UNDERWAY`: its
 * fence was sent and has not arrived.
 */
export const W_STATE = 0;
export const W_VER = 1;
export const W_BARRED = 2;
export const W_TOKEN = 3;
export const W_CONFIRMED = 4;
export const W_UNDERWAY = 5;
/** Fields of a reader. */
export const R_STATE = 0;
export const R_VAL = 1;
export const R_MINE = 2;

export const NO_LEASE = 0;
export const HELD = 1;
export const ABANDONED = 2;

export const WRITER = {
  idle: 0,
  fenced: 1,
  locked: 2,
  lockedFenced: 3,
  inserted: 4,
  committed: 5,
  aborted: 6,
  done: 7,
  /** Committed behind an unconfirmed fence: its token is removed, its version not invalidated yet; and the other way round. */
  unfenced: 8,
  invalidated: 9,
} as const;
/** `sent`: to the database, by a fence; the floor that `read` reported then is its value. */
export const READER = { idle: 0, leased: 1, got: 2, sent: 3 } as const;

export class Shape {
  readonly writers: number;
  readonly readers: number;
  readonly firstReader: number;
  readonly bytes: number;

  constructor(writers: number, readers: number) {
    this.writers = writers;
    this.readers = readers;
    this.firstReader = FIRST_WRITER + writers * WRITER_BYTES;
    this.bytes = this.firstReader + readers * READER_BYTES;
  }

  writer(index: number): number {
    return FIRST_WRITER + index * WRITER_BYTES;
  }

  reader(index: number): number {
    return this.firstReader + index * READER_BYTES;
  }

  initial(): State {
    return new Uint8Array(this.bytes);
  }

  /** Equal for states that differ only in which writer or reader is which. */
  pack(s: State): string {
    const writers: number[] = [];
    for (let i = 0; i < this.writers; i += 1) {
      const w = this.writer(i);
      writers.push(
        byte(s, w + W_STATE) |
          (byte(s, w + W_VER) << 4) |
          (byte(s, w + W_BARRED) << 7) |
          (byte(s, w + W_TOKEN) << 8) |
          (byte(s, w + W_CONFIRMED) << 9) |
          (byte(s, w + W_UNDERWAY) << 10),
      );
    }
    const readers: number[] = [];
    for (let i = 0; i < this.readers; i += 1) {
      const r = this.reader(i);
      readers.push(byte(s, r + R_STATE) | (byte(s, r + R_VAL) << 3) | (byte(s, r + R_MINE) << 6));
    }
    sortDown(writers);
    sortDown(readers);
    const rest =
      byte(s, CUR) |
      (byte(s, NEED) << 3) |
      ((byte(s, KEY_LOW) >> 5) << 6) |
      (byte(s, VER) << 9) |
      (byte(s, LEASE) << 12) |
      (byte(s, DOWN) << 14);
    return String.fromCharCode(rest, ...writers, ...readers);
  }

  unpack(text: string): State {
    const s = this.initial();
    const rest = text.charCodeAt(0);
    s[CUR] = rest & 7;
    s[NEED] = (rest >> 3) & 7;
    s[KEY_LOW] = ((rest >> 6) & 7) << 5;
    s[VER] = (rest >> 9) & 7;
    s[LEASE] = (rest >> 12) & 3;
    s[DOWN] = (rest >> 14) & 1;
    for (let i = 0; i < this.writers; i += 1) {
      const w = this.writer(i);
      const code = text.charCodeAt(1 + i);
      s[w + W_STATE] = code & 15;
      s[w + W_VER] = (code >> 4) & 7;
      s[w + W_BARRED] = (code >> 7) & 1;
      s[w + W_TOKEN] = (code >> 8) & 1;
      s[w + W_CONFIRMED] = (code >> 9) & 1;
      s[w + W_UNDERWAY] = (code >> 10) & 1;
    }
    for (let i = 0; i < this.readers; i += 1) {
      const r = this.reader(i);
      const code = text.charCodeAt(1 + this.writers + i);
      s[r + R_STATE] = code & 7;
      s[r + R_VAL] = (code >> 3) & 7;
      s[r + R_MINE] = (code >> 6) & 1;
    }
    return s;
  }

  keyOf(s: State): KeyCode {
    let code = byte(s, KEY_LOW) | (byte(s, VER) << 8);
    for (let i = 0; i < this.writers; i += 1) code |= byte(s, this.writer(i) + W_TOKEN) << i;
    if (s[LEASE] === ABANDONED) return code | (ORPHAN << 11);
    if (s[LEASE] === HELD) {
      for (let i = 0; i < this.readers; i += 1) if (s[this.reader(i) + R_MINE]) return code | ((i + 1) << 11);
    }
    return code;
  }

  setKey(s: State, code: KeyCode): void {
    s[KEY_LOW] = code & (KNOWN | VALUE | HAS_TTL);
    s[VER] = (code >> 8) & 7;
    for (let i = 0; i < this.writers; i += 1) s[this.writer(i) + W_TOKEN] = (code >> i) & 1;
    const holder = code >> 11;
    s[LEASE] = holder === 0 ? NO_LEASE : holder === ORPHAN ? ABANDONED : HELD;
    for (let i = 0; i < this.readers; i += 1) s[this.reader(i) + R_MINE] = holder === i + 1 ? 1 : 0;
  }

  fenced(s: State): boolean {
    for (let i = 0; i < this.writers; i += 1) if (s[this.writer(i) + W_TOKEN]) return true;
    return false;
  }

  keyExists(s: State): boolean {
    return (byte(s, KEY_LOW) & (KNOWN | VALUE)) !== 0 || s[LEASE] !== NO_LEASE || this.fenced(s);
  }

  locked(s: State): boolean {
    for (let i = 0; i < this.writers; i += 1) {
      const state = s[this.writer(i) + W_STATE];
      if (state === WRITER.locked || state === WRITER.lockedFenced || state === WRITER.inserted) return true;
    }
    return false;
  }
}

export function hasValue(s: State): boolean {
  return (byte(s, KEY_LOW) & VALUE) !== 0;
}

export function hasTtl(s: State): boolean {
  return (byte(s, KEY_LOW) & HAS_TTL) !== 0;
}

export function byte(s: State, at: number): number {
  return s[at] as number;
}

function sortDown(numbers: number[]): void {
  for (let i = 1; i < numbers.length; i += 1) {
    for (let j = i; j > 0 && (numbers[j] as number) > (numbers[j - 1] as number); j -= 1) {
      const swap = numbers[j] as number;
      numbers[j] = numbers[j - 1] as number;
      numbers[j - 1] = swap;
    }
  }
}
