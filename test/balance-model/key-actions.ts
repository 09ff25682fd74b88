import { type Call, calls, HAS_TTL, KNOWN, type LuaKey, VALUE } from './lua-key.js';
import type { Protocol } from './protocol.js';
import { byte, CUR, hasTtl, hasValue, type Shape, type State, W_TOKEN, W_VER } from './state.js';

/** What is done to the key of a state, in place. Each script is the real one; only the faults are made here. */
export class KeyActions {
  readonly #p: Protocol;
  readonly #shape: Shape;
  readonly #lua: LuaKey;

  constructor(protocol: Protocol, shape: Shape, lua: LuaKey) {
    this.#p = protocol;
    this.#shape = shape;
    this.#lua = lua;
  }

  /** Runs a script on the state's key, in place. Returns its reply. */
  run(s: State, name: string, call: () => Call): number {
    const result = this.#lua.apply(name, call, this.#shape.keyOf(s));
    this.#shape.setKey(s, result >> 3);
    return result & 7;
  }

  fence(s: State, i: number): void {
    this.run(s, `fence ${i}`, () => calls.fence(i));
  }

  unfence(s: State, i: number): void {
    this.run(s, `unfence ${i}`, () => calls.unfence(i));
  }

  invalidate(s: State, v: number): void {
    this.run(s, `invalidate ${v}`, () => calls.invalidate(v));
  }

  swept(s: State, i: number, v: number): void {
    this.run(s, `swept ${i} ${v}`, () => calls.swept(i, v));
  }

  publish(s: State, i: number, late: boolean): void {
    const v = byte(s, this.#shape.writer(i) + W_VER);
    switch (this.#p.publish) {
      case 'publish':
        if (late) this.run(s, `publish late ${i} ${v}`, () => calls.publishLate(i, v));
        else this.run(s, `publish ${i} ${v}`, () => calls.publish(i, v));
        break;
      case 'invalidate':
        if (this.#p.cut.has('fence')) this.invalidate(s, v);
        else this.swept(s, i, v);
        break;
      case 'delete':
        this.wipe(s);
        break;
      case 'nothing':
        break;
    }
  }

  wipe(s: State): void {
    this.#shape.setKey(s, 0);
  }

  /** Without its lease a key that holds nothing else is none. */
  voidLease(s: State): void {
    let code = this.#shape.keyOf(s) & 0x7ff;
    const fenced = this.#shape.fenced(s);
    if (!(code & VALUE) && !fenced) code &= ~(KNOWN | (7 << 8));
    if (!fenced) code = code & (KNOWN | VALUE) ? code | HAS_TTL : code & ~HAS_TTL;
    this.#shape.setKey(s, code);
  }

  /** All writers and readers are dead: PostgreSQL ends what is open, leases time out, the sweeper and one reader run. */
  drained(from: State): boolean {
    const s = from.slice();
    for (let i = 0; i < this.#p.writers; i += 1) {
      const w = this.#shape.writer(i);
      if (!s[w + W_TOKEN]) continue;
      if (s[w + W_VER]) this.swept(s, i, byte(s, CUR));
      else this.unfence(s, i);
    }
    this.voidLease(s);
    if (!hasValue(s)) {
      this.run(s, 'read 0', () => calls.read(0));
      this.run(s, `fill 0 ${byte(s, CUR)}`, () => calls.fill(0, byte(s, CUR)));
    }
    return this.#lua.missing || (!this.#shape.fenced(s) && hasValue(s) && hasTtl(s));
  }
}
