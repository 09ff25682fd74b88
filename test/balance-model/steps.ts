import { KeyActions } from './key-actions.js';
import { calls, type LuaKey, VALUE } from './lua-key.js';
import { Moves, type Next, raise } from './moves.js';
import type { Protocol } from './protocol.js';
import { ReaderSteps } from './reader-steps.js';
import {
  byte,
  CUR,
  DOWN,
  hasTtl,
  hasValue,
  KEY_LOW,
  LEASE,
  NO_LEASE,
  R_STATE,
  R_VAL,
  READER,
  type Shape,
  type State,
  VER,
  W_STATE,
  W_VER,
  WRITER,
} from './state.js';
import { WriterSteps } from './writer-steps.js';

const NOT_LATEST = 'a servable value is not the latest committed version';
const TTL_WRONG = 'a fenced key has a TTL, or an unfenced key has none';
const NOT_SERVING = 'the cache does not serve again';

/** Every step that somebody could take from a state. Each step on the key is a call of the real script. */
export class Stepper extends Moves {
  readonly #writers: WriterSteps;
  readonly #readers: ReaderSteps;

  constructor(protocol: Protocol, shape: Shape, lua: LuaKey) {
    const key = new KeyActions(protocol, shape, lua);
    const out: Next[] = [];
    super(protocol, shape, key, out);
    this.#writers = new WriterSteps(protocol, shape, key, out);
    this.#readers = new ReaderSteps(protocol, shape, key, out);
  }

  steps(s: State): Next[] {
    this.out.length = 0;
    if (s[DOWN]) this.#outage(s);
    else {
      for (let i = 0; i < this.p.writers; i += 1) {
        this.#writers.steps(s, i);
        this.#writers.sweep(s, i);
      }
      this.#readers.steps(s);
      this.#relay(s);
      this.#monitor(s);
      this.#faults(s);
    }
    return this.out;
  }

  /** What is wrong with a state by itself. */
  wrongWith(s: State): string | undefined {
    const shape = this.shape;
    const servable = hasValue(s) && !shape.fenced(s);
    if (this.p.checkLatest && servable && s[VER] !== s[CUR]) return NOT_LATEST;
    if (!this.p.sound) return undefined;
    if (shape.keyExists(s) && shape.fenced(s) === hasTtl(s)) return TTL_WRONG;
    return this.key.drained(s) ? undefined : NOT_SERVING;
  }

  /** The relay, the replay of a key, and every reader that invalidates: any committed version, at any time, in any order. */
  #relay(s: State): void {
    for (let v = 1; v <= byte(s, CUR); v += 1) {
      const n = s.slice();
      this.key.invalidate(n, v);
      raise(n, v);
      this.add(n, `somebody invalidates v${v} (relay, replay, reader that invalidates) and then knows it`);
    }
  }

  /** Whatever made it suspect the value: it may have seen it, and read the ledger, long ago. */
  #monitor(s: State): void {
    if (!this.p.heal) return;
    for (let seen = 0; seen <= byte(s, CUR); seen += 1) {
      for (let ledger = 0; ledger <= byte(s, CUR); ledger += 1) {
        const n = s.slice();
        this.key.run(n, `heal ${seen} ${ledger}`, () => calls.heal(seen, ledger));
        this.add(n, `the monitor heals v${seen}, having read v${ledger}`);
      }
    }
  }

  #faults(s: State): void {
    const shape = this.shape;
    if (s[LEASE] !== NO_LEASE) {
      const n = s.slice();
      this.key.voidLease(n);
      this.add(n, 'the lease times out');
    }
    if (this.p.evict && hasTtl(s) && shape.keyExists(s)) {
      const n = s.slice();
      this.key.wipe(n);
      this.add(n, 'the key expires or is evicted');
    }
    if (this.p.evict && hasValue(s) && (shape.fenced(s) || s[LEASE] !== NO_LEASE)) {
      this.add(this.set(s, KEY_LOW, byte(s, KEY_LOW) & ~VALUE), 'the value reaches its deadline');
    }
    if (this.p.loss && shape.keyExists(s)) {
      const n = s.slice();
      this.key.wipe(n);
      this.add(n, 'the key is lost');
    }
    if (this.p.outages) {
      const n = s.slice();
      this.key.wipe(n);
      n[DOWN] = 1;
      this.add(n, 'Redis dies');
    }
  }

  /** While Redis is dead writes are neither fenced nor published, database reads invalidate nothing, and all are answered. */
  #outage(s: State): void {
    this.add(this.set(s, DOWN, 0), 'Redis is back, empty');
    const known = s.slice();
    raise(known, byte(s, CUR));
    this.add(known, `the database is read: v${s[CUR]}`);
    for (let i = 0; i < this.p.writers; i += 1) {
      const w = this.shape.writer(i);
      const state = s[w + W_STATE];
      if (state === WRITER.idle && this.p.mayNotFence && !this.shape.locked(s)) {
        this.add(this.set(s, w + W_STATE, WRITER.locked), `W${i + 1} begins unfenced, takes the row lock`);
      } else if (state === WRITER.fenced || state === WRITER.locked || state === WRITER.inserted) {
        this.#writers.steps(s, i);
      } else if (state === WRITER.committed || state === WRITER.unfenced || state === WRITER.invalidated) {
        const n = s.slice();
        raise(n, byte(s, w + W_VER));
        this.#writers.done(n, i);
        this.add(n, `W${i + 1} acknowledges v${s[w + W_VER]} unpublished`);
      }
    }
    for (let i = 0; i < this.p.readers; i += 1) {
      const r = this.shape.reader(i);
      if (s[r + R_STATE] === READER.leased) {
        const n = this.set(s, r + R_STATE, READER.got);
        n[r + R_VAL] = byte(s, CUR);
        this.add(n, `R${i + 1} reads the database: v${s[CUR]}`);
      } else if (s[r + R_STATE] === READER.got) {
        const n = s.slice();
        raise(n, byte(s, r + R_VAL));
        this.add(n, `R${i + 1} returns v${s[r + R_VAL]}`);
      }
    }
  }
}
