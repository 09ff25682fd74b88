import { isDeepStrictEqual } from 'node:util';
import { Courier, type CourierOptions, type Destination } from '../../simulators/courier.js';
import { Refused } from '../../simulators/http.js';
import { type Credit, creditBooking } from './booking.js';
import { behaviourOf, type Delays } from './destinations.js';
import { Instruction, type Order, type Word } from './instruction.js';
import { Journal } from './journal.js';
import type { Account } from './statement.js';

/** Enough for a load, and a bound. */
const MAX_INSTRUCTIONS = 1_000_000;
/** The longest that a timer of Node's can be set for. */
const MAX_TIMER_MS = 2_147_483_647;

type Entry =
  | { readonly is: 'taken'; readonly order: Order; readonly atMs: number }
  | { readonly is: 'said'; readonly key: string; readonly word: Word }
  | { readonly is: 'told'; readonly key: string; readonly sequence: number }
  | { readonly is: 'credited'; readonly credit: Credit };

export interface BankOptions {
  readonly delays: Delays;
  readonly courier: CourierOptions;
  /** What it keeps. Without it, it forgets everything when it ends. */
  readonly file: string | undefined;
}

/** What became of an order. `again`: it was there already, and nothing was done. */
export type Taken = 'new' | 'again' | 'another under the key';

/** A bank that does, by destination, what banks do. Nothing is said before it is kept; nothing is paid twice. */
export class Bank {
  readonly #instructions = new Map<string, Instruction>();
  /** By what they are for: each came once. */
  readonly #credits = new Map<string, Credit>();
  readonly #options: BankOptions;
  readonly #journal: Journal<Entry>;
  readonly #timers = new Map<string, NodeJS.Timeout>();
  #courier: Courier | undefined;

  constructor(options: BankOptions) {
    this.#options = options;
    this.#journal = new Journal(options.file);
    for (const entry of this.#journal.read()) this.#apply(entry);
    for (const instruction of this.#instructions.values()) this.#await(instruction);
  }

  /** In the order in which they came. */
  get all(): IterableIterator<Instruction> {
    return this.#instructions.values();
  }

  /** By currency, each of them from the first that was heard of it; of an owner, with what is that one's alone. */
  accountsOf(owner?: string): Account[] {
    const isOwn = ({ order: { key } }: Instruction): boolean => owner === undefined || key.startsWith(`${owner}-`);
    const instructions = Map.groupBy([...this.#instructions.values()].filter(isOwn), ({ order }) => order.currency);
    const bookings = [...this.#credits.values()].map((credit, index) => ({ credit, number: index + 1 }));
    const credits = Map.groupBy(
      bookings
        .filter(({ credit }) => owner === undefined || credit.owner === owner)
        .map(({ credit, number }) => creditBooking(credit, number)),
      ({ currency }) => currency,
    );
    return [...new Set([...instructions.keys(), ...credits.keys()])].map((currency) => ({
      currency,
      instructions: instructions.get(currency) ?? [],
      credits: credits.get(currency) ?? [],
    }));
  }

  get(key: string): Instruction | undefined {
    return this.#instructions.get(key);
  }

  take(order: Order): Taken {
    const known = this.#instructions.get(order.key);
    if (known) return isDeepStrictEqual(known.order, order) ? 'again' : 'another under the key';
    if (this.#instructions.size >= MAX_INSTRUCTIONS) throw new Refused(`there are ${MAX_INSTRUCTIONS} instructions`);
    this.#record({ is: 'taken', order, atMs: Date.now() });
    this.#await(this.#known(order.key));
    return 'new';
  }

  /** Somebody pays us. */
  credit(credit: Credit): Taken {
    const known = this.#credits.get(credit.reference);
    if (known) return isDeepStrictEqual(known, credit) ? 'again' : 'another under the key';
    if (this.#credits.size >= MAX_INSTRUCTIONS) throw new Refused(`there are ${MAX_INSTRUCTIONS} credits`);
    this.#record({ is: 'credited', credit });
    return 'new';
  }

  /** From now on tells there what it has not told yet. */
  tellTo(destination: Destination): void {
    this.#courier?.stop();
    this.#courier = new Courier(destination, this.#options.courier, Math.random);
    for (const instruction of this.#instructions.values()) {
      for (const word of instruction.words) this.#tell(instruction, word);
    }
  }

  stop(): void {
    this.#courier?.stop();
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#journal.close();
  }

  #record(entry: Entry): void {
    this.#journal.append(entry);
    this.#apply(entry);
  }

  #apply(entry: Entry): void {
    if (entry.is === 'taken') {
      const { order, atMs } = entry;
      const bankReference = `BK${String(this.#instructions.size + 1).padStart(10, '0')}`;
      this.#instructions.set(order.key, new Instruction(order, bankReference, atMs));
    } else if (entry.is === 'credited') this.#credits.set(entry.credit.reference, entry.credit);
    else if (entry.is === 'said') this.#known(entry.key).say(entry.word);
    else this.#known(entry.key).told = entry.sequence;
  }

  #known(key: string): Instruction {
    const instruction = this.#instructions.get(key);
    if (!instruction) throw new Error(`no instruction ${key} was taken`);
    return instruction;
  }

  #await(instruction: Instruction): void {
    const { key } = instruction.order;
    const next = instruction.next(this.#options.delays);
    this.#timers.delete(key);
    if (!next) return;
    const inMs = Math.min(Math.max(0, next.atMs - Date.now()), MAX_TIMER_MS);
    this.#timers.set(
      key,
      setTimeout(() => this.#happen(instruction, next), inMs),
    );
  }

  #happen(instruction: Instruction, next: Word): void {
    const nowMs = Date.now();
    if (next.atMs <= nowMs) {
      const word = { ...next, atMs: nowMs };
      this.#record({ is: 'said', key: instruction.order.key, word });
      this.#tell(instruction, word);
    }
    this.#await(instruction);
  }

  #tell({ order: { key, destination }, bankReference, told }: Instruction, { status, sequence }: Word): void {
    if (!this.#courier || status === 'accepted' || sequence <= told) return;
    const message = { id: `${bankReference}-${sequence}`, body: { key, status, sequence } };
    for (let copy = 0; copy < behaviourOf(destination).tells; copy += 1) {
      void this.#courier.bring(message).then((isHeard) => {
        if (isHeard && sequence > this.#known(key).told) this.#record({ is: 'told', key, sequence });
      });
    }
  }
}
