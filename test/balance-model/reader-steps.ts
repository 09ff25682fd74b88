import { type Call, calls, DATABASE, GRANTED, HIT, KNOWN, REFRESH } from './lua-key.js';
import { Moves, type Next, raise } from './moves.js';
import {
  ABANDONED,
  byte,
  CUR,
  hasValue,
  KEY_LOW,
  LEASE,
  NEED,
  NO_LEASE,
  R_MINE,
  R_STATE,
  R_VAL,
  READER,
  type State,
  VER,
} from './state.js';

const STALE = 'a read returned less than somebody knew when it began';
const FUTURE = 'a read returned a version that was never committed';

/** Readers, those who invalidate nothing among them. */
export class ReaderSteps extends Moves {
  steps(s: State): void {
    const shape = this.shape;
    let idle = -1;
    for (let i = this.p.readers - 1; i >= 0; i -= 1) if (s[shape.reader(i) + R_STATE] === READER.idle) idle = i;

    if (idle < 0) this.#read(s, -1, 'read anonymously', calls.readAnonymously, [HIT]);
    else {
      this.#read(s, idle, `read ${idle}`, () => calls.read(idle), [HIT, GRANTED]);
      this.#read(s, idle, `read early ${idle}`, () => calls.readEarly(idle), [REFRESH]);
      const takesOver = this.p.takeover && s[LEASE] !== NO_LEASE;
      if (takesOver) this.#read(s, idle, `read over ${idle}`, () => calls.readOver(idle), [GRANTED]);
      if (this.p.reportsFloor && byte(s, KEY_LOW) & KNOWN) {
        this.#read(s, idle, `read ${idle}`, () => calls.read(idle), [DATABASE]);
      }
    }
    if (this.p.silent) {
      const n = s.slice();
      if (!this.p.ackOnly) raise(n, byte(s, CUR));
      this.add(n, `a silent reader reads the database: v${s[CUR]}`);
    }
    for (let i = 0; i < this.p.readers; i += 1) this.#reader(s, i);
  }

  /** One call of `read`. What it answers decides what the reader does; a reader sent to the database is the relay's step. */
  #read(s: State, i: number, name: string, call: () => Call, wanted: readonly number[]): void {
    const n = s.slice();
    const before = byte(s, VER);
    const reply = this.key.run(n, name, call);
    if (!wanted.includes(reply)) return;
    const who = i < 0 ? 'a reader' : `R${i + 1}`;
    if (reply === HIT) {
      this.#returned(this.add(n, `${who} is served v${before}`), before, byte(s, NEED));
      return;
    }
    if (reply === REFRESH) {
      n[this.shape.reader(i) + R_STATE] = READER.leased;
      this.#returned(this.add(n, `${who} is served v${before}, takes the lease to refresh`), before, byte(s, NEED));
      return;
    }
    if (reply === DATABASE) {
      n[this.shape.reader(i) + R_STATE] = READER.sent;
      n[this.shape.reader(i) + R_VAL] = before;
      this.add(n, `${who} meets a fence, hears of v${before}`);
      return;
    }
    n[this.shape.reader(i) + R_STATE] = READER.leased;
    this.add(n, `${who} takes ${s[LEASE] === NO_LEASE ? 'the' : 'over the'} lease`);
  }

  #reader(s: State, i: number): void {
    const r = this.shape.reader(i);
    const who = `R${i + 1}`;
    const state = s[r + R_STATE];
    if (state === READER.idle) return;
    const gone = s.slice();
    this.#release(gone, i);
    this.add(gone, `${who} gives up`);
    if (this.cut('grant sent once') && !s[r + R_MINE] && !hasValue(s) && s[LEASE] === NO_LEASE) {
      const n = s.slice();
      if (this.key.run(n, `read ${i}`, () => calls.read(i)) === GRANTED) {
        this.add(n, `${who}'s lease is granted again`);
      }
    }
    if (state === READER.sent) {
      // What is newer than `read` reported is told first: the relay's step. What is not is handed on at once.
      const v = byte(s, CUR);
      if (v > byte(s, r + R_VAL)) return;
      const n = s.slice();
      raise(n, v);
      this.#release(n, i);
      this.add(n, `${who} reads the database: v${v}, and invalidates nothing, since the cache knew`);
      return;
    }
    const invalidates = this.p.invalidates && !this.cut('invalidate before returning');
    if (state === READER.leased) {
      for (let v = this.cut('read the primary') ? 0 : byte(s, CUR); v <= byte(s, CUR); v += 1) {
        const n = this.set(s, r + R_STATE, READER.got);
        n[r + R_VAL] = v;
        if (v < byte(s, CUR)) {
          this.add(n, `${who} reads a replica: v${v}`);
          continue;
        }
        if (!invalidates && !this.p.ackOnly) raise(n, v);
        this.add(n, `${who} reads the database: v${v}`);
      }
      return;
    }
    this.#fill(s, i, false);
    if (this.p.mayBeLate) this.#fill(s, i, true);
    if (this.cut('join only an unsent read')) {
      const v = byte(s, r + R_VAL);
      this.#returned(this.add(s.slice(), `a joiner takes ${who}'s answer v${v}`), v, byte(s, NEED));
    }
  }

  #fill(s: State, i: number, late: boolean): void {
    const r = this.shape.reader(i);
    const v = byte(s, r + R_VAL);
    const n = s.slice();
    if (late) this.key.run(n, `fill late ${i} ${v}`, () => calls.fillLate(i, v));
    else this.key.run(n, `fill ${i} ${v}`, () => calls.fill(i, v));
    if (this.p.invalidates && !this.cut('invalidate before returning')) raise(n, v);
    n[r + R_STATE] = READER.idle;
    n[r + R_VAL] = 0;
    if (n[r + R_MINE]) {
      n[r + R_MINE] = 0;
      n[LEASE] = ABANDONED;
    }
    this.add(n, `R${i + 1} fills v${v}${late ? ' too late' : ''}`);
  }

  #returned(next: Next, v: number, need: number): void {
    if (v < need) next.bad = STALE;
    if (v > byte(next.state, CUR)) next.bad = FUTURE;
    raise(next.state, v);
  }

  #release(s: State, i: number): void {
    const r = this.shape.reader(i);
    if (s[r + R_MINE]) s[LEASE] = ABANDONED;
    s[r + R_STATE] = READER.idle;
    s[r + R_VAL] = 0;
    s[r + R_MINE] = 0;
  }
}
