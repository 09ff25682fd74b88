import { behaviourOf, type Delays, type Status } from './destinations.js';

/** As it was told: the same key again must say the same. */
export interface Order {
  readonly key: string;
  /** In minor units. */
  readonly amount: string;
  readonly currency: string;
  readonly destination: string;
  readonly reference: string;
}

/** What the bank says of an instruction, at one time; a later word has a higher sequence. */
export interface Word {
  readonly status: Status;
  readonly atMs: number;
  readonly sequence: number;
}

export class Instruction {
  readonly words: Word[] = [];
  /** Sequence of the last word that was told, and heard. */
  told = 0;

  constructor(
    readonly order: Order,
    readonly bankReference: string,
    readonly takenAtMs: number,
  ) {
    if (this.refusal === undefined) this.say({ status: 'accepted', atMs: takenAtMs, sequence: 1 });
  }

  /** The code with which it was refused at once. */
  get refusal(): string | undefined {
    return behaviourOf(this.order.destination).refuses;
  }

  /** Undefined: it was refused. */
  get last(): Word | undefined {
    return this.words.at(-1);
  }

  get failureCode(): string | undefined {
    return behaviourOf(this.order.destination).steps[this.words.length - 2]?.failureCode;
  }

  /** What happens to it next: told by what has happened, so that nothing but that must be kept. */
  next(delays: Delays): Word | undefined {
    const { last } = this;
    const step = last && behaviourOf(this.order.destination).steps[this.words.length - 1];
    if (!step) return undefined;
    const atMs = last.atMs + (step.after ? delays[step.after] : 0);
    return { status: step.status, atMs, sequence: last.sequence + 1 };
  }

  /** A word that was said before is not said again. */
  say(word: Word): void {
    if (word.sequence > (this.last?.sequence ?? 0)) this.words.push(word);
  }
}
