import { KeyActions } from './key-actions.js';
import { type Call, calls, GRANTED, HIT, type LuaKey, REFRESH, VALUE } from './lua-key.js';
import type { Cut, Protocol } from './protocol.js';
import {
  ABANDONED,
  byte,
  CUR,
  DOWN,
  hasTtl,
  hasValue,
  KEY_LOW,
  LEASE,
  NEED,
  NO_LEASE,
  R_MINE,
  R_STATE,
  R_VAL,
  READER,
  type Shape,
  type State,
  VER,
  W_BARRED,
  W_CONFIRMED,
  W_STATE,
  W_TOKEN,
  W_VER,
  WRITER,
} from './state.js';

export interface Next {
  state: State;
  what: string;
  bad: string | undefined;
}

const STALE = 'a read returned less than somebody knew when it began';
const FUTURE = 'a read returned a version that was never committed';
const NOT_LATEST = 'a servable value is not the latest committed version';
const TTL_WRONG = 'a fenced key has a TTL, or an unfenced key has none';
const NOT_SERVING = 'the cache does not serve again';

/** Every step that somebody could take from a state. Each step on the key is a call of the real script. */
export class Stepper {
  readonly #p: Protocol;
  readonly #shape: Shape;
  readonly #key: KeyActions;
  #out: Next[] = [];

  constructor(protocol: Protocol, shape: Shape, lua: LuaKey) {
    this.#p = protocol;
    this.#shape = shape;
    this.#key = new KeyActions(protocol, shape, lua);
  }

  steps(s: State): Next[] {
    this.#out = [];
    if (s[DOWN]) this.#outage(s);
    else {
      for (let i = 0; i < this.#p.writers; i += 1) {
        this.#writer(s, i);
        this.#sweep(s, i);
      }
      this.#readers(s);
      this.#relay(s);
      this.#faults(s);
    }
    return this.#out;
  }

  /** What is wrong with a state by itself. */
  wrongWith(s: State): string | undefined {
    const shape = this.#shape;
    const servable = hasValue(s) && !shape.fenced(s);
    if (this.#p.checkLatest && servable && s[VER] !== s[CUR]) return NOT_LATEST;
    if (!this.#p.sound) return undefined;
    if (shape.keyExists(s) && shape.fenced(s) === hasTtl(s)) return TTL_WRONG;
    return this.#key.drained(s) ? undefined : NOT_SERVING;
  }

  #cut(rule: Cut): boolean {
    return this.#p.cut.has(rule);
  }

  #add(state: State, what: string): Next {
    const next = { state, what, bad: undefined };
    this.#out.push(next);
    return next;
  }

  #set(s: State, at: number, value: number): State {
    const n = s.slice();
    n[at] = value;
    return n;
  }

  #writer(s: State, i: number): void {
    const w = this.#shape.writer(i);
    const name = `W${i + 1}`;
    const locked = this.#shape.locked(s);
    const fencesLater = this.#cut('fence') || this.#cut('fence before the row lock') || this.#cut('fence before BEGIN');
    const abort = (): Next => this.#add(this.#set(s, w + W_STATE, WRITER.aborted), `${name}'s transaction aborts`);
    switch (s[w + W_STATE]) {
      case WRITER.idle:
        if ((fencesLater || this.#p.mayNotFence) && !locked) {
          this.#add(this.#set(s, w + W_STATE, WRITER.locked), `${name} begins, takes the row lock`);
        }
        if (!fencesLater) {
          const n = this.#set(s, w + W_STATE, WRITER.fenced);
          this.#key.fence(n, i);
          this.#add(n, `${name} fences`);
        }
        break;
      case WRITER.fenced:
        if (!locked) this.#add(this.#set(s, w + W_STATE, WRITER.locked), `${name} begins, takes the row lock`);
        abort();
        break;
      case WRITER.locked:
      case WRITER.lockedFenced:
        if (s[w + W_STATE] === WRITER.locked && this.#cut('fence before the row lock')) {
          const n = this.#set(s, w + W_STATE, WRITER.lockedFenced);
          this.#key.fence(n, i);
          this.#add(n, `${name} fences`);
        } else if (s[w + W_BARRED]) {
          this.#add(this.#set(s, w + W_STATE, WRITER.aborted), `${name}'s token is refused by write_fences`);
        } else {
          this.#add(this.#set(s, w + W_STATE, WRITER.inserted), `${name} inserts its token`);
        }
        abort();
        break;
      case WRITER.inserted: {
        abort();
        if (this.#cut('publish after COMMIT') && s[w + W_TOKEN]) {
          const n = s.slice();
          this.#key.run(n, `publish ${i} ${byte(s, CUR) + 1}`, () => calls.publish(i, byte(s, CUR) + 1));
          this.#add(n, `${name} publishes v${byte(s, CUR) + 1} before COMMIT`);
        }
        if (this.#cut('fence before BEGIN') && !s[w + W_CONFIRMED]) break;
        const n = this.#set(s, w + W_STATE, WRITER.committed);
        n[CUR] = byte(s, CUR) + 1;
        n[w + W_VER] = byte(n, CUR);
        if (this.#cut('ack after publish')) raise(n, byte(n, CUR));
        this.#add(n, `${name} COMMIT v${n[CUR]}${this.#cut('ack after publish') ? ', acknowledges' : ''}`);
        break;
      }
      case WRITER.committed:
        this.#finish(s, i, false);
        if (this.#p.mayBeLate) this.#finish(s, i, true);
        break;
      case WRITER.aborted: {
        if (this.#cut('new token after ROLLBACK')) {
          this.#add(this.#set(s, w + W_STATE, WRITER.fenced), `${name} tries again with its token`);
        }
        const n = s.slice();
        if (!this.#cut('fence')) this.#key.unfence(n, i);
        this.#done(n, i);
        this.#add(n, `${name} unfences`);
        break;
      }
    }
    this.#writerAgain(s, i);
  }

  /** Messages that come at odd times, or twice. */
  #writerAgain(s: State, i: number): void {
    const w = this.#shape.writer(i);
    const name = `W${i + 1}`;
    const state = s[w + W_STATE];
    const fence = (confirmed: number, what: string): void => {
      const n = s.slice();
      this.#key.fence(n, i);
      n[w + W_CONFIRMED] = confirmed;
      this.#add(n, what);
    };
    const pendingFence =
      this.#cut('fence before BEGIN') && state !== WRITER.idle && !s[w + W_CONFIRMED] && !s[w + W_VER];
    if (pendingFence && (state !== WRITER.done || !s[w + W_TOKEN])) fence(1, `${name}'s fence arrives`);
    const ambiguous = state === WRITER.inserted || state === WRITER.committed;
    if (this.#cut('token kept on ambiguous COMMIT') && s[w + W_TOKEN] && ambiguous) {
      const n = s.slice();
      this.#key.unfence(n, i);
      this.#add(n, `${name} unfences on an ambiguous COMMIT`);
    }
    if (this.#cut('fence sent once') && byte(s, w + W_STATE) >= WRITER.fenced) {
      fence(byte(s, w + W_CONFIRMED), `${name}'s fence is delivered again`);
    }
    if (this.#cut('publish sent once') && state === WRITER.done && s[w + W_VER]) {
      const n = s.slice();
      this.#key.publish(n, i, false);
      this.#add(n, `${name}'s publish of v${s[w + W_VER]} is delivered again`);
    }
  }

  #finish(s: State, i: number, late: boolean): void {
    const n = s.slice();
    const v = byte(s, this.#shape.writer(i) + W_VER);
    this.#key.publish(n, i, late);
    raise(n, v);
    this.#done(n, i);
    this.#add(n, `W${i + 1} publishes v${v}${late ? ' too late' : ''}, acknowledges`);
  }

  /** Forgets what nobody can ask for again. */
  #done(s: State, i: number): void {
    const w = this.#shape.writer(i);
    s[w + W_STATE] = WRITER.done;
    if (this.#cut('fence sent once') || this.#cut('publish sent once')) return;
    s[w + W_BARRED] = 0;
    if (!this.#cut('fence before BEGIN') || s[w + W_VER]) s[w + W_CONFIRMED] = this.#cut('fence before BEGIN') ? 1 : 0;
    if (!s[w + W_TOKEN]) s[w + W_VER] = 0;
  }

  /** The sweeper has no state: each of its steps is enabled whenever some sweeper, however slow, could do it. */
  #sweep(s: State, i: number): void {
    const w = this.#shape.writer(i);
    const name = `W${i + 1}`;
    if (s[w + W_STATE] === WRITER.idle || this.#cut('fence')) return;
    const remove = (what: string, act: (n: State) => void): void => {
      const n = s.slice();
      act(n);
      if (n[w + W_STATE] === WRITER.done && !this.#cut('fence sent once') && !this.#cut('publish sent once')) {
        n[w + W_VER] = 0;
        n[w + W_BARRED] = 0;
        n[w + W_CONFIRMED] = this.#cut('fence before BEGIN') ? 1 : 0;
      }
      this.#add(n, what);
    };
    const unfence = (what: string): void => remove(what, (n) => this.#key.unfence(n, i));
    const swept = (v: number): void =>
      remove(`the sweeper invalidates v${v} and removes ${name}'s token`, (n) => this.#key.swept(n, i, v));

    if (this.#cut('sweeper’s row')) {
      if (s[w + W_TOKEN]) {
        const n = s.slice();
        this.#key.unfence(n, i);
        this.#add(n, `${name}'s token is removed without proof`);
      }
      return;
    }
    const waits = !this.#cut('sweeper waits for an open row');
    const open = s[w + W_STATE] === WRITER.inserted;
    const mayBar = !s[w + W_VER] && !s[w + W_BARRED] && !(open && waits);
    if (mayBar && (s[w + W_STATE] !== WRITER.done || s[w + W_TOKEN])) {
      this.#add(this.#set(s, w + W_BARRED, 1), `the sweeper inserts ${name}'s token`);
    }
    if (s[w + W_BARRED] && s[w + W_TOKEN] && (!s[w + W_VER] || waits)) unfence(`the sweeper removes ${name}'s token`);
    if (s[w + W_BARRED] && this.#cut('proof kept')) {
      this.#add(this.#set(s, w + W_BARRED, 0), `${name}'s row of write_fences is purged`);
    }
    if (this.#cut('token row in the same transaction') && open && s[w + W_TOKEN]) swept(byte(s, CUR));
    if (!s[w + W_VER] || !s[w + W_TOKEN]) return;
    if (this.#cut('sweeper invalidates')) {
      unfence(`the sweeper finds ${name} committed and only removes its token`);
      return;
    }
    const oldest = this.#cut('version read after the conflict') ? 0 : byte(s, w + W_VER);
    for (let v = oldest; v <= byte(s, CUR); v += 1) swept(v);
  }

  #readers(s: State): void {
    const shape = this.#shape;
    let idle = -1;
    for (let i = this.#p.readers - 1; i >= 0; i -= 1) if (s[shape.reader(i) + R_STATE] === READER.idle) idle = i;

    if (idle < 0) this.#read(s, -1, 'read anonymously', calls.readAnonymously, [HIT]);
    else {
      this.#read(s, idle, `read ${idle}`, () => calls.read(idle), [HIT, GRANTED]);
      this.#read(s, idle, `read early ${idle}`, () => calls.readEarly(idle), [REFRESH]);
      const takesOver = this.#p.takeover && s[LEASE] !== NO_LEASE;
      if (takesOver) this.#read(s, idle, `read over ${idle}`, () => calls.readOver(idle), [GRANTED]);
    }
    if (this.#p.silent) {
      const n = s.slice();
      if (!this.#p.ackOnly) raise(n, byte(s, CUR));
      this.#add(n, `a silent reader reads the database: v${s[CUR]}`);
    }
    for (let i = 0; i < this.#p.readers; i += 1) this.#reader(s, i);
  }

  /** One call of `read`. What it answers decides what the reader does; a reader sent to the database is the relay's step. */
  #read(s: State, i: number, name: string, call: () => Call, wanted: readonly number[]): void {
    const n = s.slice();
    const before = byte(s, VER);
    const reply = this.#key.run(n, name, call);
    if (!wanted.includes(reply)) return;
    const who = i < 0 ? 'a reader' : `R${i + 1}`;
    if (reply === HIT) {
      this.#returned(this.#add(n, `${who} is served v${before}`), before, byte(s, NEED));
      return;
    }
    if (reply === REFRESH) {
      n[this.#shape.reader(i) + R_STATE] = READER.leased;
      this.#returned(this.#add(n, `${who} is served v${before}, takes the lease to refresh`), before, byte(s, NEED));
      return;
    }
    n[this.#shape.reader(i) + R_STATE] = READER.leased;
    this.#add(n, `${who} takes ${s[LEASE] === NO_LEASE ? 'the' : 'over the'} lease`);
  }

  #reader(s: State, i: number): void {
    const r = this.#shape.reader(i);
    const who = `R${i + 1}`;
    const state = s[r + R_STATE];
    if (state === READER.idle) return;
    const gone = s.slice();
    this.#release(gone, i);
    this.#add(gone, `${who} gives up`);
    if (this.#cut('grant sent once') && !s[r + R_MINE] && !hasValue(s) && s[LEASE] === NO_LEASE) {
      const n = s.slice();
      if (this.#key.run(n, `read ${i}`, () => calls.read(i)) === GRANTED) {
        this.#add(n, `${who}'s lease is granted again`);
      }
    }
    const tells = this.#p.tell && !this.#cut('tell before returning');
    if (state === READER.leased) {
      for (let v = this.#cut('read the primary') ? 0 : byte(s, CUR); v <= byte(s, CUR); v += 1) {
        const n = this.#set(s, r + R_STATE, READER.got);
        n[r + R_VAL] = v;
        if (v < byte(s, CUR)) {
          this.#add(n, `${who} reads a replica: v${v}`);
          continue;
        }
        if (!tells && !this.#p.ackOnly) raise(n, v);
        this.#add(n, `${who} reads the database: v${v}`);
      }
      return;
    }
    this.#fill(s, i, false);
    if (this.#p.mayBeLate) this.#fill(s, i, true);
    if (this.#cut('join only an unsent read')) {
      const v = byte(s, r + R_VAL);
      this.#returned(this.#add(s.slice(), `a joiner takes ${who}'s answer v${v}`), v, byte(s, NEED));
    }
  }

  #fill(s: State, i: number, late: boolean): void {
    const r = this.#shape.reader(i);
    const v = byte(s, r + R_VAL);
    const n = s.slice();
    if (late) this.#key.run(n, `fill late ${i} ${v}`, () => calls.fillLate(i, v));
    else this.#key.run(n, `fill ${i} ${v}`, () => calls.fill(i, v));
    if (this.#p.tell && !this.#cut('tell before returning')) raise(n, v);
    n[r + R_STATE] = READER.idle;
    n[r + R_VAL] = 0;
    if (n[r + R_MINE]) {
      n[r + R_MINE] = 0;
      n[LEASE] = ABANDONED;
    }
    this.#add(n, `R${i + 1} fills v${v}${late ? ' too late' : ''}`);
  }

  #returned(next: Next, v: number, need: number): void {
    if (v < need) next.bad = STALE;
    if (v > byte(next.state, CUR)) next.bad = FUTURE;
    raise(next.state, v);
  }

  #release(s: State, i: number): void {
    const r = this.#shape.reader(i);
    if (s[r + R_MINE]) s[LEASE] = ABANDONED;
    s[r + R_STATE] = READER.idle;
    s[r + R_VAL] = 0;
    s[r + R_MINE] = 0;
  }

  /** The relay, the replay of a key, and every reader that tells: any committed version, at any time, in any order. */
  #relay(s: State): void {
    for (let v = 1; v <= byte(s, CUR); v += 1) {
      const n = s.slice();
      this.#key.invalidate(n, v);
      raise(n, v);
      this.#add(n, `somebody invalidates v${v} (relay, replay, reader that tells) and then knows it`);
    }
  }

  #faults(s: State): void {
    const shape = this.#shape;
    if (s[LEASE] !== NO_LEASE) {
      const n = s.slice();
      this.#key.voidLease(n);
      this.#add(n, 'the lease times out');
    }
    if (this.#p.evict && hasTtl(s) && shape.keyExists(s)) {
      const n = s.slice();
      this.#key.wipe(n);
      this.#add(n, 'the key expires or is evicted');
    }
    if (this.#p.evict && hasValue(s) && (shape.fenced(s) || s[LEASE] !== NO_LEASE)) {
      this.#add(this.#set(s, KEY_LOW, byte(s, KEY_LOW) & ~VALUE), 'the value reaches its deadline');
    }
    if (this.#p.loss && shape.keyExists(s)) {
      const n = s.slice();
      this.#key.wipe(n);
      this.#add(n, 'the key is lost');
    }
    if (this.#p.outages) {
      const n = s.slice();
      this.#key.wipe(n);
      n[DOWN] = 1;
      this.#add(n, 'Redis dies');
    }
  }

  /** While Redis is dead writes are neither fenced nor published, database reads tell nobody, and all are answered. */
  #outage(s: State): void {
    this.#add(this.#set(s, DOWN, 0), 'Redis is back, empty');
    const known = s.slice();
    raise(known, byte(s, CUR));
    this.#add(known, `the database is read: v${s[CUR]}`);
    for (let i = 0; i < this.#p.writers; i += 1) {
      const w = this.#shape.writer(i);
      const state = s[w + W_STATE];
      if (state === WRITER.idle && this.#p.mayNotFence && !this.#shape.locked(s)) {
        this.#add(this.#set(s, w + W_STATE, WRITER.locked), `W${i + 1} begins unfenced, takes the row lock`);
      } else if (state === WRITER.fenced || state === WRITER.locked || state === WRITER.inserted) {
        this.#writer(s, i);
      } else if (state === WRITER.committed) {
        const n = s.slice();
        raise(n, byte(s, w + W_VER));
        this.#done(n, i);
        this.#add(n, `W${i + 1} acknowledges v${s[w + W_VER]} unpublished`);
      }
    }
    for (let i = 0; i < this.#p.readers; i += 1) {
      const r = this.#shape.reader(i);
      if (s[r + R_STATE] === READER.leased) {
        const n = this.#set(s, r + R_STATE, READER.got);
        n[r + R_VAL] = byte(s, CUR);
        this.#add(n, `R${i + 1} reads the database: v${s[CUR]}`);
      } else if (s[r + R_STATE] === READER.got) {
        const n = s.slice();
        raise(n, byte(s, r + R_VAL));
        this.#add(n, `R${i + 1} returns v${s[r + R_VAL]}`);
      }
    }
  }
}

function raise(s: State, v: number): void {
  if (v > byte(s, NEED)) s[NEED] = v;
}
