import { ProblemError } from '#kernel/problem.js';

/** Deeper than any request of the contract. */
const MAX_DEPTH = 20;
/** Twice the longest list of the contract, and twenty times its largest map: what is longer need not be validated. */
const MAX_ITEMS = 2_000;
const MAX_MEMBERS = 1_000;
/** A text or a number is read in one go, and a name stands in faults: both are many times the longest of the contract. */
const MAX_LENGTH = 65_536;
const MAX_NAME = 1_000;
/** Empty lists in lists cost a hundred times their bytes. Those of the contract have a name, or members that must be there. */
const BYTES_PER_CONTAINER = 16;
const SPARE_CONTAINERS = 1_000;
/** Exact as a sum of digits; longer numbers are converted from their text. */
const EXACT_DIGITS = 15;
/** From this length on V8 keeps a piece of a text as a view, which holds the whole body in memory with it. */
const VIEW_LENGTH = 13;
const FRACTION_OR_EXPONENT = /\.[0-9]+(?:[eE][+-]?[0-9]+)?|[eE][+-]?[0-9]+/y;

/** What may come next. */
type Next = 'value' | 'value or end' | 'key' | 'key or end' | 'colon' | 'comma or end' | 'nothing';

interface Container {
  /** Exactly one of the two. */
  readonly array: unknown[] | undefined;
  readonly object: Record<string, unknown> | undefined;
  members: number;
  /** Of the member that is being read. */
  key: string;
}

/**
 * Reads a JSON text once, from left to right, in as many pieces as the caller likes. The time for each byte is bounded whatever
 * the bytes are: nothing is looked at twice, nesting, lists and maps have a limit, and there is no reviver. Beyond JSON's own
 * rules it refuses what no field of the contract may hold: NUL and lone surrogates (PostgreSQL cannot store them), `__proto__`,
 * and a member that stands twice, of which JSON.parse takes the last. A number that is not written as an integer (1.5, 1e3)
 * comes out as NaN, which every schema refuses at its path: JSON.parse would make 1e3 a fine 1000.
 */
export class JsonReader {
  readonly #bytes: Buffer;
  readonly #text: string;
  /** Then bytes and text have the same offsets. */
  readonly #isAscii: boolean;
  readonly #open: Container[] = [];
  /** The last of `#open`. */
  #inmost: Container | undefined;
  #containers = 0;
  #next: Next = 'value';
  #at = 0;
  #value: unknown;

  /** `bytes` must be valid UTF-8. */
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.#text = bytes.toString();
    this.#isAscii = this.#text.length === bytes.length;
  }

  get value(): unknown {
    return this.#value;
  }

  /** Reads on, about `length` characters. True at the end of the text. Throws `malformed_json` and `validation_failed`. */
  read(length = Number.POSITIVE_INFINITY): boolean {
    const until = this.#at + length;
    while (this.#at < until) {
      this.#skipSpace(until);
      if (this.#at >= until) break;
      if (this.#at >= this.#text.length) {
        if (this.#next !== 'nothing') throw this.#malformed();
        return true;
      }
      this.#readOne(this.#text.charCodeAt(this.#at));
    }
    return false;
  }

  #skipSpace(until: number): void {
    const text = this.#text;
    let at = this.#at;
    while (at < until) {
      const code = text.charCodeAt(at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) break;
      at += 1;
    }
    this.#at = at;
  }

  #readOne(code: number): void {
    if (this.#next === 'comma or end') this.#readCommaOrEnd(code);
    else if (this.#next === 'key' || (this.#next === 'key or end' && code !== 0x7d) /* } */) this.#readKey(code);
    else if (this.#next === 'value' || (this.#next === 'value or end' && code !== 0x5d) /* ] */) this.#readValue(code);
    else if (this.#next === 'colon') this.#readColon(code);
    else if (this.#next !== 'nothing') this.#close();
    else throw this.#malformed();
  }

  #readCommaOrEnd(code: number): void {
    const isArray = this.#inmost?.array !== undefined;
    if (code === 0x2c /* , */) {
      this.#at += 1;
      this.#next = isArray ? 'value' : 'key';
    } else if (code === (isArray ? 0x5d : 0x7d)) {
      this.#close();
    } else {
      throw this.#malformed();
    }
  }

  #readKey(code: number): void {
    if (code !== 0x22 /* " */) throw this.#malformed();
    const container = this.#inmost as Container;
    const key = this.#readString('has a name that');
    container.key = key;
    if (key === '__proto__') throw refused('is not an allowed name', this.#path());
    if (Object.hasOwn(container.object as object, key)) throw this.#twice();
    container.members += 1;
    if (container.members > MAX_MEMBERS) {
      throw refused(`has more than ${MAX_MEMBERS} members`, this.#path().slice(0, -1));
    }
    this.#next = 'colon';
  }

  #readColon(code: number): void {
    if (code !== 0x3a /* : */) throw this.#malformed();
    this.#at += 1;
    this.#next = 'value';
  }

  #readValue(code: number): void {
    if (code === 0x22 /* " */) this.#put(this.#readString('must not'));
    else if (code === 0x7b /* { */) this.#enter({ array: undefined, object: {}, members: 0, key: '' }, 'key or end');
    else if (code === 0x5b /* [ */) this.#enter({ array: [], object: undefined, members: 0, key: '' }, 'value or end');
    else if (code === 0x74 /* t */) this.#put(this.#readWord('true', true));
    else if (code === 0x66 /* f */) this.#put(this.#readWord('false', false));
    else if (code === 0x6e /* n */) this.#put(this.#readWord('null', null));
    else this.#put(this.#readNumber());
  }

  #enter(container: Container, next: Next): void {
    if (this.#open.length >= MAX_DEPTH) throw refused(`is nested more than ${MAX_DEPTH} levels deep`, []);
    this.#containers += 1;
    if (this.#containers > SPARE_CONTAINERS + this.#at / BYTES_PER_CONTAINER) {
      throw refused('has too many lists and maps for its length', []);
    }
    this.#put(container.array ?? container.object);
    this.#open.push(container);
    this.#inmost = container;
    this.#at += 1;
    this.#next = next;
  }

  #close(): void {
    this.#open.pop();
    this.#inmost = this.#open.at(-1);
    this.#at += 1;
    this.#next = this.#open.length === 0 ? 'nothing' : 'comma or end';
  }

  #put(value: unknown): void {
    const container = this.#inmost;
    if (container === undefined) {
      this.#value = value;
      this.#next = 'nothing';
      return;
    }
    if (container.array) {
      if (container.array.length >= MAX_ITEMS) {
        throw refused(`has more than ${MAX_ITEMS} elements`, this.#path().slice(0, -1));
      }
      container.array.push(value);
    } else {
      (container.object as Record<string, unknown>)[container.key] = value;
    }
    this.#next = 'comma or end';
  }

  #readWord<Value>(word: string, value: Value): Value {
    if (!this.#text.startsWith(word, this.#at)) throw this.#malformed();
    this.#at += word.length;
    return value;
  }

  #readNumber(): number {
    const text = this.#text;
    const start = this.#at;
    const isNegative = text.charCodeAt(start) === 0x2d; /* - */
    const first = isNegative ? start + 1 : start;
    let end = first;
    let sum = 0;
    for (;;) {
      const digit = text.charCodeAt(end) - 0x30;
      if (!(digit >= 0 && digit <= 9)) break;
      sum = sum * 10 + digit;
      end += 1;
      if (end - first > MAX_LENGTH) throw refused(`is longer than ${MAX_LENGTH} digits`, this.#path());
    }
    if (end === first || (end > first + 1 && text.charCodeAt(first) === 0x30)) throw this.#malformed();
    this.#at = end;
    const code = text.charCodeAt(end) | 0x20;
    if (code === 0x2e /* . */ || code === 0x65 /* e */) return this.#skipFraction();
    if (end - first <= EXACT_DIGITS) return isNegative ? -sum : sum;
    return Number(text.slice(start, end));
  }

  #skipFraction(): number {
    FRACTION_OR_EXPONENT.lastIndex = this.#at;
    if (!FRACTION_OR_EXPONENT.test(this.#text)) throw this.#malformed();
    this.#at = FRACTION_OR_EXPONENT.lastIndex;
    return Number.NaN;
  }

  /** `fault` begins the sentence about what cannot be stored. */
  #readString(fault: 'must not' | 'has a name that'): string {
    const text = this.#text;
    const start = this.#at + 1;
    const longest = start + (fault === 'must not' ? MAX_LENGTH : MAX_NAME);
    let at = start;
    let hasEscapes = false;
    for (;;) {
      const code = text.charCodeAt(at);
      if (code === 0x22 /* " */) break;
      // NaN, behind the end of the text, is not at least a space either.
      if (!(code >= 0x20)) throw this.#malformed(at);
      if (code === 0x5c /* \ */) {
        hasEscapes = true;
        at += 1;
      }
      at += 1;
      if (at > longest) throw this.#tooLong(fault);
    }
    this.#at = at + 1;
    return hasEscapes ? this.#unescape(start, at, fault) : this.#copy(start, at);
  }

  #copy(start: number, end: number): string {
    if (end - start < VIEW_LENGTH) return this.#text.slice(start, end);
    if (this.#isAscii) return this.#bytes.toString('latin1', start, end);
    return JSON.parse(this.#text.slice(start - 1, end + 1)) as string;
  }

  #unescape(start: number, end: number, fault: string): string {
    let text: string;
    try {
      text = JSON.parse(this.#text.slice(start - 1, end + 1)) as string;
    } catch {
      throw this.#malformed(start);
    }
    const unfit = unstorable(text);
    if (unfit === undefined) return text;
    throw fault === 'must not'
      ? refused(unfit, this.#path())
      : refused('has a name with characters that cannot be stored', this.#path().slice(0, -1));
  }

  /** Where the reader is: the names and indexes that lead to what is being read. */
  #path(): string[] {
    // A list has those of its own that are open already, and lacks a text or number that is being read.
    return this.#open.map(({ array, key }, depth) =>
      array ? String(depth < this.#open.length - 1 ? array.length - 1 : array.length) : key,
    );
  }

  #tooLong(fault: 'must not' | 'has a name that'): ProblemError {
    return fault === 'must not'
      ? refused(`is longer than ${MAX_LENGTH} characters`, this.#path())
      : refused(`has a name of more than ${MAX_NAME} characters`, this.#path().slice(0, -1));
  }

  #twice(): ProblemError {
    const path = this.#path().join('.');
    return new ProblemError('malformed_json', `The body has the member ${path} twice.`, {
      errors: [{ path, message: 'stands twice' }],
    });
  }

  #malformed(at = this.#at): ProblemError {
    return new ProblemError('malformed_json', `The body is not valid JSON: see character ${at + 1}.`);
  }
}

/** Why PostgreSQL could not store the text, undefined when it can. */
export function unstorable(text: string): string | undefined {
  if (text.includes('\0')) return 'must not contain the NUL character';
  return text.isWellFormed() ? undefined : 'must not contain half of a surrogate pair';
}

function refused(message: string, path: readonly string[]): ProblemError {
  const where = path.join('.') || 'body';
  return new ProblemError('validation_failed', `${where}: ${message}`, { errors: [{ path: where, message }] });
}
