import type { KeyActions } from './key-actions.js';
import type { Cut, Protocol } from './protocol.js';
import { byte, NEED, type Shape, type State } from './state.js';

export interface Next {
  state: State;
  what: string;
  bad: string | undefined;
}

/** What the steps of all actors are made with. Steps are gathered in `out`, which the actors share. */
export class Moves {
  constructor(
    protected readonly p: Protocol,
    protected readonly shape: Shape,
    protected readonly key: KeyActions,
    protected readonly out: Next[],
  ) {}

  protected cut(rule: Cut): boolean {
    return this.p.cut.has(rule);
  }

  protected add(state: State, what: string): Next {
    const next = { state, what, bad: undefined };
    this.out.push(next);
    return next;
  }

  protected set(s: State, at: number, value: number): State {
    const n = s.slice();
    n[at] = value;
    return n;
  }
}

/** Somebody was told version `v`. */
export function raise(s: State, v: number): void {
  if (v > byte(s, NEED)) s[NEED] = v;
}
