/** A link of a list. It is in one list at a time. */
export interface Link {
  before: this | undefined;
  after: this | undefined;
}

/** First in, first out, from which a link in the middle is taken as cheaply as the first: a Set leaves holes that its first is sought behind. */
export class LinkedList<L extends Link> {
  #first: L | undefined;
  #last: L | undefined;

  #length = 0;

  get length(): number {
    return this.#length;
  }

  get first(): L | undefined {
    return this.#first;
  }

  push(link: L): void {
    link.before = this.#last;
    link.after = undefined;
    if (this.#last) this.#last.after = link;
    else this.#first = link;
    this.#last = link;
    this.#length += 1;
  }

  unshift(link: L): void {
    link.before = undefined;
    link.after = this.#first;
    if (this.#first) this.#first.before = link;
    else this.#last = link;
    this.#first = link;
    this.#length += 1;
  }

  remove(link: L): void {
    const { before, after } = link;
    if (before) before.after = after;
    else this.#first = after;
    if (after) after.before = before;
    else this.#last = before;
    link.before = undefined;
    link.after = undefined;
    this.#length -= 1;
  }
}
