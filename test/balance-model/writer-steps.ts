import { calls } from './lua-key.js';
import { Moves, type Next, raise } from './moves.js';
import {
  byte,
  CUR,
  DOWN,
  type State,
  W_BARRED,
  W_CONFIRMED,
  W_STATE,
  W_TOKEN,
  W_UNDERWAY,
  W_VER,
  WRITER,
} from './state.js';

/** Writers, and the sweeper who comes after them. */
export class WriterSteps extends Moves {
  /** What writer `i` may do. */
  steps(s: State, i: number): void {
    const w = this.shape.writer(i);
    const name = `W${i + 1}`;
    const locked = this.shape.locked(s);
    const fencesLater = this.cut('fence') || this.cut('fence before the row lock') || this.cut('fence before BEGIN');
    const abort = (): Next => this.add(this.set(s, w + W_STATE, WRITER.aborted), `${name}'s transaction aborts`);
    switch (s[w + W_STATE]) {
      case WRITER.idle:
        if ((fencesLater || this.p.mayNotFence) && !locked) {
          this.add(this.set(s, w + W_STATE, WRITER.locked), `${name} begins, takes the row lock`);
        }
        if (!fencesLater) {
          const n = this.set(s, w + W_STATE, WRITER.fenced);
          this.key.fence(n, i);
          if (this.p.unconfirmed) n[w + W_CONFIRMED] = 1;
          this.add(n, `${name} fences`);
        }
        if (this.p.unconfirmed && !locked) {
          const n = this.set(s, w + W_STATE, WRITER.locked);
          n[w + W_UNDERWAY] = 1;
          this.add(n, `${name} begins, takes the row lock, its fence under way`);
        }
        break;
      case WRITER.fenced:
        if (!locked) this.add(this.set(s, w + W_STATE, WRITER.locked), `${name} begins, takes the row lock`);
        abort();
        break;
      case WRITER.locked:
      case WRITER.lockedFenced:
        if (s[w + W_STATE] === WRITER.locked && this.cut('fence before the row lock')) {
          const n = this.set(s, w + W_STATE, WRITER.lockedFenced);
          this.key.fence(n, i);
          this.add(n, `${name} fences`);
        } else if (s[w + W_BARRED]) {
          this.add(this.set(s, w + W_STATE, WRITER.aborted), `${name}'s token is refused by write_fences`);
        } else {
          this.add(this.set(s, w + W_STATE, WRITER.inserted), `${name} inserts its token`);
        }
        abort();
        break;
      case WRITER.inserted: {
        abort();
        if (this.cut('publish after COMMIT') && s[w + W_TOKEN]) {
          const n = s.slice();
          this.key.run(n, `publish ${i} ${byte(s, CUR) + 1}`, () => calls.publish(i, byte(s, CUR) + 1));
          this.add(n, `${name} publishes v${byte(s, CUR) + 1} before COMMIT`);
        }
        if (this.cut('fence before BEGIN') && !s[w + W_CONFIRMED]) break;
        const n = this.set(s, w + W_STATE, WRITER.committed);
        n[CUR] = byte(s, CUR) + 1;
        n[w + W_VER] = byte(n, CUR);
        if (this.cut('ack after publish')) raise(n, byte(n, CUR));
        this.add(n, `${name} COMMIT v${n[CUR]}${this.cut('ack after publish') ? ', acknowledges' : ''}`);
        break;
      }
      case WRITER.committed:
        if (this.p.unconfirmed && !s[w + W_CONFIRMED] && !this.cut('invalidate behind an unconfirmed fence')) {
          this.#invalidateUnfenced(s, i);
          break;
        }
        this.#finish(s, i, false);
        if (this.p.mayBeLate) this.#finish(s, i, true);
        break;
      case WRITER.aborted: {
        if (this.cut('new token after ROLLBACK')) {
          this.add(this.set(s, w + W_STATE, WRITER.fenced), `${name} tries again with its token`);
        }
        const n = s.slice();
        if (!this.cut('fence')) this.key.unfence(n, i);
        this.done(n, i);
        this.add(n, `${name} unfences`);
        break;
      }
    }
    this.#writerAgain(s, i);
    if (this.p.unconfirmed && !s[DOWN]) this.#unconfirmed(s, i);
  }

  /** A fence that nobody waits for any more, and what its writer sent behind it: each is a message of its own. */
  #unconfirmed(s: State, i: number): void {
    const w = this.shape.writer(i);
    const name = `W${i + 1}`;
    const state = s[w + W_STATE];
    if (s[w + W_UNDERWAY]) {
      const n = this.set(s, w + W_UNDERWAY, 0);
      this.key.fence(n, i);
      this.add(n, `${name}'s fence arrives${s[w + W_VER] ? ' after its COMMIT' : ', its answer does not'}`);
      if (state === WRITER.locked || state === WRITER.inserted) {
        this.add(this.set(n, w + W_CONFIRMED, 1), `${name}'s fence arrives and is answered`);
      }
    }
    if (state === WRITER.unfenced || state === WRITER.invalidated) this.#invalidateUnfenced(s, i);
    if (state === WRITER.done && s[w + W_TOKEN]) {
      const n = s.slice();
      this.key.unfence(n, i);
      this.done(n, i);
      this.add(n, `${name}'s unfence arrives late`);
    }
  }

  /** Token and version in either order; the acknowledgement needs the version invalidated, while the unfence may be lost. */
  #invalidateUnfenced(s: State, i: number): void {
    const w = this.shape.writer(i);
    const name = `W${i + 1}`;
    const v = byte(s, w + W_VER);
    const state = s[w + W_STATE];
    if (state === WRITER.committed) {
      const n = this.set(s, w + W_STATE, WRITER.unfenced);
      this.key.unfence(n, i);
      this.add(n, `${name} unfences`);
    }
    if (state === WRITER.committed || state === WRITER.unfenced) {
      const n = this.set(s, w + W_STATE, WRITER.invalidated);
      this.key.invalidate(n, v);
      this.add(n, `${name} invalidates v${v}`);
      return;
    }
    const n = s.slice();
    raise(n, v);
    this.done(n, i);
    this.add(n, `${name} acknowledges v${v}`);
  }

  /** Messages that come at odd times, or twice. */
  #writerAgain(s: State, i: number): void {
    const w = this.shape.writer(i);
    const name = `W${i + 1}`;
    const state = s[w + W_STATE];
    const fence = (confirmed: number, what: string): void => {
      const n = s.slice();
      this.key.fence(n, i);
      n[w + W_CONFIRMED] = confirmed;
      this.add(n, what);
    };
    const pendingFence =
      this.cut('fence before BEGIN') && state !== WRITER.idle && !s[w + W_CONFIRMED] && !s[w + W_VER];
    if (pendingFence && (state !== WRITER.done || !s[w + W_TOKEN])) fence(1, `${name}'s fence arrives`);
    const ambiguous = state === WRITER.inserted || state === WRITER.committed;
    if (this.cut('token kept on ambiguous COMMIT') && s[w + W_TOKEN] && ambiguous) {
      const n = s.slice();
      this.key.unfence(n, i);
      this.add(n, `${name} unfences on an ambiguous COMMIT`);
    }
    if (this.cut('fence sent once') && byte(s, w + W_STATE) >= WRITER.fenced) {
      fence(byte(s, w + W_CONFIRMED), `${name}'s fence is delivered again`);
    }
    if (this.cut('publish sent once') && state === WRITER.done && s[w + W_VER]) {
      const n = s.slice();
      this.key.publish(n, i, false);
      this.add(n, `${name}'s publish of v${s[w + W_VER]} is delivered again`);
    }
  }

  #finish(s: State, i: number, late: boolean): void {
    const n = s.slice();
    const v = byte(s, this.shape.writer(i) + W_VER);
    this.key.publish(n, i, late);
    raise(n, v);
    this.done(n, i);
    this.add(n, `W${i + 1} publishes v${v}${late ? ' too late' : ''}, acknowledges`);
  }

  /** Forgets what nobody can ask for again. */
  done(s: State, i: number): void {
    const w = this.shape.writer(i);
    s[w + W_STATE] = WRITER.done;
    if (this.cut('fence sent once') || this.cut('publish sent once')) return;
    s[w + W_BARRED] = 0;
    if (!this.cut('fence before BEGIN') || s[w + W_VER]) s[w + W_CONFIRMED] = this.cut('fence before BEGIN') ? 1 : 0;
    if (!s[w + W_TOKEN] && !s[w + W_UNDERWAY]) s[w + W_VER] = 0;
  }

  /** The sweeper has no state: each of its steps is enabled whenever some sweeper, however slow, could do it. */
  sweep(s: State, i: number): void {
    const w = this.shape.writer(i);
    const name = `W${i + 1}`;
    if (s[w + W_STATE] === WRITER.idle || this.cut('fence')) return;
    const remove = (what: string, act: (n: State) => void): void => {
      const n = s.slice();
      act(n);
      if (n[w + W_STATE] === WRITER.done && !this.cut('fence sent once') && !this.cut('publish sent once')) {
        n[w + W_VER] = 0;
        n[w + W_BARRED] = 0;
        n[w + W_CONFIRMED] = this.cut('fence before BEGIN') ? 1 : 0;
      }
      this.add(n, what);
    };
    const unfence = (what: string): void => remove(what, (n) => this.key.unfence(n, i));
    const swept = (v: number): void =>
      remove(`the sweeper invalidates v${v} and removes ${name}'s token`, (n) => this.key.swept(n, i, v));

    if (this.cut('sweeper’s row')) {
      if (s[w + W_TOKEN]) {
        const n = s.slice();
        this.key.unfence(n, i);
        this.add(n, `${name}'s token is removed without proof`);
      }
      return;
    }
    const waits = !this.cut('sweeper waits for an open row');
    const open = s[w + W_STATE] === WRITER.inserted;
    const mayBar = !s[w + W_VER] && !s[w + W_BARRED] && !(open && waits);
    if (mayBar && (s[w + W_STATE] !== WRITER.done || s[w + W_TOKEN])) {
      this.add(this.set(s, w + W_BARRED, 1), `the sweeper inserts ${name}'s token`);
    }
    if (s[w + W_BARRED] && s[w + W_TOKEN] && (!s[w + W_VER] || waits)) unfence(`the sweeper removes ${name}'s token`);
    if (s[w + W_BARRED] && this.cut('proof kept')) {
      this.add(this.set(s, w + W_BARRED, 0), `${name}'s row of write_fences is purged`);
    }
    if (this.cut('token row in the same transaction') && open && s[w + W_TOKEN]) swept(byte(s, CUR));
    if (!s[w + W_VER] || !s[w + W_TOKEN]) return;
    if (this.cut('sweeper invalidates')) {
      unfence(`the sweeper finds ${name} committed and only removes its token`);
      return;
    }
    const oldest = this.cut('version read after the conflict') ? 0 : byte(s, w + W_VER);
    for (let v = oldest; v <= byte(s, CUR); v += 1) swept(v);
  }
}
